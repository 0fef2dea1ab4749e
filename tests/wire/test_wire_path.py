"""The canonical path: a golden table of spellings, and what holds for all of them."""

import contextlib
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz.errors import MalformedRequest
from extauthz.wire import path as targets
from extauthz.wire.path import ACCEPTABLE

# What is read, and as what: target, canonical path, segments.
READ = [
    ("/", "/", ()),
    ("/a", "/a", ("a",)),
    ("/a/", "/a/", ("a",)),
    ("/a/b", "/a/b", ("a", "b")),
    ("/a/b/c/", "/a/b/c/", ("a", "b", "c")),
    ("/?x=1", "/", ()),
    ("/a?x=1", "/a", ("a",)),
    ("/a/?x=1", "/a/", ("a",)),
    ("/a?", "/a", ("a",)),
    ("/a??b", "/a", ("a",)),
    ("/a?b/c", "/a", ("a",)),
    ("/a?/../b", "/a", ("a",)),
    ("/a?b;c", "/a", ("a",)),
    ("/a?b\\c", "/a", ("a",)),
    ("/a?%zz", "/a", ("a",)),
    ("/a?x=%00", "/a", ("a",)),
    ("/a?http://b/", "/a", ("a",)),
    ("/a%20b", "/a b", ("a b",)),
    ("/%61", "/a", ("a",)),
    ("/%41", "/A", ("A",)),
    ("/A", "/A", ("A",)),
    ("/a%2Db", "/a-b", ("a-b",)),
    ("/a%2db", "/a-b", ("a-b",)),
    ("/a%7Eb", "/a~b", ("a~b",)),
    ("/a+b", "/a+b", ("a+b",)),
    ("/a%2Bb", "/a+b", ("a+b",)),
    ("/a=b&c", "/a=b&c", ("a=b&c",)),
    ("/a,b", "/a,b", ("a,b",)),
    ("/a:b", "/a:b", ("a:b",)),
    ("/a@b", "/a@b", ("a@b",)),
    ("/user@host", "/user@host", ("user@host",)),
    ("/$a!b'(c)*", "/$a!b'(c)*", ("$a!b'(c)*",)),
    ("/a|b", "/a|b", ("a|b",)),
    ("/{a}", "/{a}", ("{a}",)),
    ('/"a"', '/"a"', ('"a"',)),
    ("/[a]", "/[a]", ("[a]",)),
    ("/a^b`c", "/a^b`c", ("a^b`c",)),
    ("/<a>", "/<a>", ("<a>",)),
    ("/.a", "/.a", (".a",)),
    ("/..a", "/..a", ("..a",)),
    ("/a.", "/a.", ("a.",)),
    ("/a..", "/a..", ("a..",)),
    ("/...", "/...", ("...",)),
    ("/a.b.c", "/a.b.c", ("a.b.c",)),
    ("/.well-known/x", "/.well-known/x", (".well-known", "x")),
    ("/a%2eb", "/a.b", ("a.b",)),
    ("/%2ea", "/.a", (".a",)),
    ("/%2e%2e%2e", "/...", ("...",)),
    ("/100%25", "/100%", ("100%",)),
    ("/%25", "/%", ("%",)),
    ("/%25%25", "/%%", ("%%",)),
    ("/%2541", "/%41", ("%41",)),
    ("/a%252Db", "/a%2Db", ("a%2Db",)),
    ("/x%3Fa=b", "/x?a=b", ("x?a=b",)),
    ("/x%3fa=b?c", "/x?a=b", ("x?a=b",)),
    ("/x%23a", "/x#a", ("x#a",)),
    ("/caf%C3%A9", "/café", ("café",)),
    ("/caf%c3%a9/", "/café/", ("café",)),
    ("/%E2%82%AC", "/€", ("€",)),
    ("/%F0%9F%98%80", "/😀", ("😀",)),
    ("/e%CC%81", "/e\u0301", ("e\u0301",)),
    ("/%EF%BC%8F", "/\uff0f", ("\uff0f",)),
    ("/a/%62/c", "/a/b/c", ("a", "b", "c")),
    ("/-._~", "/-._~", ("-._~",)),
    ("/0", "/0", ("0",)),
]

REFUSED = [
    "/x%3Ba",
    "/p/13%3b",
    "/p/13%253b",
    "/p/13%25253b",
    "",
    "a",
    "admin/x",
    "?",
    "?a",
    "*",
    "*/a",
    "http://example.com/",
    "https://example.com/a",
    "example.com:443",
    "example.com",
    "//",
    "//admin",
    "/a//b",
    "/a//",
    "///",
    "/a//?x",
    "//example.com/a",
    "/.",
    "/..",
    "/./",
    "/../",
    "/./a",
    "/a/.",
    "/a/..",
    "/a/./b",
    "/a/../b",
    "/../a",
    "/a/..?x",
    "/%2e",
    "/%2E",
    "/%2e%2e",
    "/%2E%2e/a",
    "/.%2e/a",
    "/%2e./a",
    "/a/%2e%2e/b",
    "/a%2Fb",
    "/a%2fb",
    "/%2f",
    "/a/%2F/b",
    "/..%2fadmin",
    "/%2e%2e%2fadmin",
    "/a%5Cb",
    "/a%5cb",
    "/..%5cadmin",
    "/a\\b",
    "\\a",
    "/\\a",
    "/a/..\\b",
    "/%00",
    "/a%00b",
    "/a%0Ab",
    "/a%0db",
    "/a%1fb",
    "/a%7Fb",
    "/a%C2%80b",
    "/a%C2%9Fb",
    "/a\x00b",
    "/a\tb",
    "/a\nb",
    "/a\rb",
    "/a\x7fb",
    "/a b",
    " /a",
    "/a ",
    "/a\n",
    "/caf\u00e9",
    "/\u20ac",
    "/a;b",
    "/a;",
    "/;a",
    "/a;b/c",
    "/..;/a",
    "/a/..;x/b",
    "/a#b",
    "/#",
    "#",
    "/a?b#c",
    "/a?#",
    "/a?b c",
    "/a?b\x00",
    "/a?b\n",
    "/a?caf\u00e9",
    "/%",
    "/a%",
    "/%2",
    "/%zz",
    "/%2g",
    "/a%%b",
    "/%%32%65",
    "/%u002e",
    "/%ff",
    "/%C3",
    "/%C3%28",
    "/%c0%af",
    "/%c0%ae",
    "/%e0%80%af",
    "/%C1%9C",
    "/%ed%a0%80",
    "/%f4%90%80%80",
    "/%252e",
    "/%252E%252e",
    "/a/%252e%252e/b",
    "/%252f",
    "/a%252Fb",
    "/a%255cb",
    "/a%2500b",
    "/a%250ab",
    "/a%257fb",
    "/%25252e",
    "/%2525252f",
    "/%25%32%65",
    "/%25%32%66",
    "/%2%35",
    "/%25%2532e",
    "/%25%2532%2565",
    "/" + "%25" + "25" * 20 + "41",
]


def read(
    target: str, method: str, authority: str, accept: frozenset[str] = frozenset()
) -> tuple[str, tuple[str, ...], str, str]:
    """The canonical path, its segments, the raw path and the raw query."""
    raw_path, mark, raw_query = target.partition("?")
    if mark:
        targets.check_query(raw_path, raw_query)
    return *targets.canonical(raw_path, method, authority, accept), raw_path, raw_query


def canonical(target: str, *accept: str, method: str = "GET", authority: str = "a") -> str:
    return read(target, method, authority, frozenset(accept))[0]


@pytest.mark.parametrize(("target", "path", "segments"), READ)
def test_a_target_has_one_reading(target: str, path: str, segments: tuple[str, ...]) -> None:
    raw_path, _, raw_query = target.partition("?")
    assert read(target, "GET", "a") == (path, segments, raw_path, raw_query)


@pytest.mark.parametrize("target", REFUSED)
def test_what_two_readers_could_read_differently_is_refused(target: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(target, "GET", "a")
    assert refused.value.reason == "malformed-path"


def test_the_table_covers_a_hundred_spellings() -> None:
    targets = [target for target, _, _ in READ] + REFUSED
    assert len(set(targets)) == len(targets) > 150


@pytest.mark.parametrize(
    ("accepted", "target", "path"),
    [
        ("semicolon", "/a;b", "/a;b"),
        ("semicolon", "/a;v=1/b", "/a;v=1/b"),
        ("semicolon", "/;", "/;"),
        ("empty_segment", "//", "//"),
        ("empty_segment", "//admin", "//admin"),
        ("empty_segment", "/a//b/", "/a//b/"),
        ("encoded_slash", "/a%2Fb", "/a%2Fb"),
        ("encoded_slash", "/a%2fb", "/a%2Fb"),
        ("semicolon", "/x%3Ba", "/x;a"),
        ("dot_segment", "/a/./b", "/a/b"),
        ("dot_segment", "/a/../b", "/b"),
        ("dot_segment", "/a/%2e%2E/b", "/b"),
        ("dot_segment", "/../../a", "/a"),
        ("dot_segment", "/a/b/..", "/a/"),
        ("dot_segment", "/a/.", "/a/"),
        ("dot_segment", "/..", "/"),
        ("dot_segment", "/.", "/"),
        ("dot_segment", "/mid/content=5/../6", "/mid/6"),
        ("dot_segment", "/a/b/c/./../../g", "/a/g"),
    ],
)
def test_each_relaxation_lets_in_one_item(accepted: str, target: str, path: str) -> None:
    assert canonical(target, accepted) == path
    with pytest.raises(MalformedRequest):
        canonical(target, *(ACCEPTABLE - {accepted}))


@pytest.mark.parametrize(
    "target",
    ["/..;/a", "/..;x/a", "/.;/a", "/a%2F..%2Fb", "/..%2fb", "/a%2f.", "/a%5cb", "/a%252fb", "/%252e", "/..;a%2fb"],
)
def test_no_relaxation_lets_in_what_hides_a_dot_segment_or_a_backslash(target: str) -> None:
    with pytest.raises(MalformedRequest):
        canonical(target, *ACCEPTABLE)


@pytest.mark.parametrize("target", ["/a/../b//c;d/e%2Ff", "/./;/%2f"])
def test_relaxations_work_together(target: str) -> None:
    assert canonical(target, *ACCEPTABLE) in ("/b//c;d/e%2Ff", "/;/%2F")


def test_an_encoded_slash_stays_within_its_segment() -> None:
    assert read("/a%2Fb/c", "GET", "", frozenset({"encoded_slash"}))[1] == ("a/b", "c")


def test_empty_segments_are_kept_where_they_are_accepted() -> None:
    accept = frozenset({"empty_segment"})
    assert read("/a//b/", "GET", "", accept)[1] == ("a", "", "b")
    assert read("/a//", "GET", "", accept)[1] == ("a", "")
    assert read("//", "GET", "", accept)[1] == ("",)


def test_asterisk_is_for_options_only() -> None:
    assert read("*", "OPTIONS", "a") == ("*", (), "*", "")
    for target in ("**", "*?a", "/*x#", "*/"):
        with pytest.raises(MalformedRequest):
            canonical(target, method="OPTIONS")


def test_connect_has_the_authority_or_nothing_for_a_target() -> None:
    assert read("a.example:443", "CONNECT", "a.example:443") == ("", (), "a.example:443", "")
    assert read("", "CONNECT", "a.example:443") == ("", (), "", "")
    with pytest.raises(MalformedRequest):
        canonical("b.example:443", method="CONNECT", authority="a.example:443")


def test_an_extended_connect_has_a_path_like_any_other() -> None:
    assert canonical("/chat%20room", method="CONNECT") == "/chat room"


TARGETS = st.one_of(
    st.text(alphabet="/.%25eEfFcC;?#\\ a*", max_size=24).map(lambda text: "/" + text),
    st.text(max_size=30),
)
ACCEPTS = st.frozensets(st.sampled_from(sorted(ACCEPTABLE)))


def escaped(path: str) -> str:
    """A path whose segments are percent-encoded again, as a careful client would send it."""
    return "/".join(quote(segment.replace("%2F", "/"), safe="") for segment in path.split("/"))


@given(TARGETS, ACCEPTS)
@example("/a%2Fb", frozenset({"encoded_slash"}))
@example("/%25", frozenset())
def test_the_canonical_path_is_idempotent(target: str, accept: frozenset[str]) -> None:
    try:
        path, segments, _, _ = read(target, "GET", "", accept)
    except MalformedRequest:
        return
    again = read(escaped(path), "GET", "", accept)
    assert (again[0], again[1]) == (path, segments)


@given(TARGETS)
def test_by_default_no_segment_is_empty_or_a_dot_segment_and_none_holds_structure(target: str) -> None:
    try:
        path, segments, raw_path, raw_query = read(target, "GET", "")
    except MalformedRequest:
        return
    assert path.rstrip("/") == "".join(f"/{segment}" for segment in segments)
    for segment in segments:
        assert segment not in ("", ".", "..")
        assert not set(segment) & set("/\\\0\r\n")
    assert target == (f"{raw_path}?{raw_query}" if "?" in target else raw_path)


@given(st.text(max_size=30), ACCEPTS)
def test_any_text_is_read_or_refused(target: str, accept: frozenset[str]) -> None:
    with contextlib.suppress(MalformedRequest):
        assert read(target, "GET", "a", accept)[0].startswith("/")


@given(TARGETS, ACCEPTS)
def test_relaxing_never_changes_what_was_read_without(target: str, accept: frozenset[str]) -> None:
    try:
        strict = read(target, "GET", "")
    except MalformedRequest:
        return
    assert read(target, "GET", "", accept) == strict


def test_a_long_path_is_read_in_linear_time() -> None:
    for hostile in ("/a" * 30_000 + "\0", "/" + "a" * 60_000 + "\0", "/%25" + "25" * 30_000, "/" + "." * 60_000 + "/."):
        with pytest.raises(MalformedRequest):
            canonical(hostile)


def test_a_relaxation_of_dot_segments_lets_no_empty_segment_in() -> None:
    with pytest.raises(MalformedRequest, match="empty"):
        read("/public//../admin", "GET", "a", frozenset({"dot_segment"}))


def test_a_path_that_needs_a_second_look_has_a_bounded_number_of_segments() -> None:
    assert len(read("/%61" * 1_000, "GET", "a")[1]) == 1_000
    with pytest.raises(MalformedRequest, match="more than 1024 segments"):
        read("/%61" * 1_025, "GET", "a")


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF) | st.sampled_from('!"$~ #\x7f\x80'), max_size=4))
@example("")
def test_a_query_is_of_visible_ascii_without_a_number_sign(query: str) -> None:
    with contextlib.nullcontext() if re.fullmatch(r"[!\"$-~]*", query) else pytest.raises(MalformedRequest):
        targets.check_query("/", query)


def test_every_character_of_a_query_is_looked_at() -> None:
    for code in (*range(0x300), 0x2028, 0x1F600, 0xD800):
        with contextlib.nullcontext() if 0x21 <= code <= 0x7E and code != 0x23 else pytest.raises(MalformedRequest):
            targets.check_query("/", f"a{chr(code)}b")
