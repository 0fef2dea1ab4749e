"""Envoy, extauthz and the service read one path, or the request is refused.

What Envoy routes on is told by Envoy: the same spelling goes to a listener that asks nobody and to one that asks
extauthz, and the routes write down which of them was taken and for which path.
"""

import socket
import unicodedata
from collections.abc import Callable
from posixpath import normpath
from urllib.parse import unquote, unquote_plus

import pytest
from e2e.readings import Answer, Readings
from e2e.stage import HOST, Stage

# How Envoy may be told to treat `%2F` and `%5C`, with `normalize_path` and `merge_slashes`; and the shipped
# configuration, and one without any normalization.
SETTINGS = ["redirecting", "rejecting", "plain", "unnormalised"]
# What passes under `redirecting` and `rejecting`, and the canonical path.
READ = {
    "/": "/",
    "/files": "/files",
    "/files/": "/files/",
    "/files/a": "/files/a",
    "/files/a/b": "/files/a/b",
    "/files/a/": "/files/a/",
    "/files/A": "/files/A",
    "/FILES/a": "/FILES/a",
    "/files/a?b=/../secret": "/files/a",
    "/files/a?b=//c": "/files/a",
    "/files/a?%2F..%2f=1": "/files/a",
    "/files/a?": "/files/a",
    "/?x": "/",
    "/files/%61": "/files/a",
    "/files/%41": "/files/A",
    "/f%69les/a": "/files/a",
    "/%66iles/secret/key": "/files/secret/key",
    "/files/%73ecret/key": "/files/secret/key",
    "/files/%53ecret/key": "/files/Secret/key",
    "/files/secret": "/files/secret",
    "/files/secret/": "/files/secret/",
    "/files/secret/key": "/files/secret/key",
    "/files/secretive": "/files/secretive",
    "/files/secret%20key": "/files/secret key",
    "/files/secret/%20": "/files/secret/ ",
    "/files/a%20b": "/files/a b",
    "/files/a+b": "/files/a+b",
    "/files/a%2Bb": "/files/a+b",
    "/files/a%2bb": "/files/a+b",
    "/files/a-b_c.d~e": "/files/a-b_c.d~e",
    "/files/a%2Db": "/files/a-b",
    "/files/a%5fb": "/files/a_b",
    "/files/a%2Eb": "/files/a.b",
    "/files/a%7Eb": "/files/a~b",
    "/files/a:b@c": "/files/a:b@c",
    "/files/a%3Ab%40c": "/files/a:b@c",
    "/files/a$b,c=d&e!f": "/files/a$b,c=d&e!f",
    "/files/a%24b": "/files/a$b",
    "/files/a%26b": "/files/a&b",
    "/files/(a)*'": "/files/(a)*'",
    "/files/a%28b": "/files/a(b",
    "/files/a%3Fb=c": "/files/a?b=c",
    "/files/a%3fb?c=d": "/files/a?b",
    "/files/a%23b": "/files/a#b",
    "/files/a%25": "/files/a%",
    "/files/100%25%25": "/files/100%%",
    "/files/%2541": "/files/%41",
    "/files/caf%C3%A9": "/files/café",
    "/files/caf%c3%a9": "/files/café",
    "/files/%E2%82%AC": "/files/€",
    "/files/%F0%9F%98%80": "/files/😀",
    "/files/e%CC%81": "/files/é",
    "/files/%EF%BC%8F": "/files/\uff0f",
    "/files/%EF%BC%8E%EF%BC%8E/secret": "/files/\uff0e\uff0e/secret",
    "/files/[a]": "/files/[a]",
    "/files/{a}": "/files/{a}",
    "/files/a|b": "/files/a|b",
    '/files/"a"': '/files/"a"',
    "/files/<a>": "/files/<a>",
    "/files/a^b`c": "/files/a^b`c",
    "/files/%7Ba%7D": "/files/{a}",
    "/files/.a": "/files/.a",
    "/files/..a": "/files/..a",
    "/files/a.": "/files/a.",
    "/files/a..": "/files/a..",
    "/files/...": "/files/...",
    "/files/%2ea": "/files/.a",
    "/files/%2e%2e%2e": "/files/...",
    "/.well-known/a": "/.well-known/a",
    "/./files/a": "/files/a",
    "/files/./a": "/files/a",
    "/files/.": "/files/",
    "/files/..": "/",
    "/files/a/..": "/files/",
    "/files/a/.": "/files/a/",
    "/files/a/../b": "/files/b",
    "/files/x/../secret/key": "/files/secret/key",
    "/files/./secret/key": "/files/secret/key",
    "/files/secret/../a": "/files/a",
    "/files/secret/..": "/files/",
    "/../files/secret/key": "/files/secret/key",
    "/../../files/a": "/files/a",
    "/files/a/../../files/secret/key": "/files/secret/key",
    "/files/%2e/secret/key": "/files/secret/key",
    "/files/%2E%2e/files/secret/key": "/files/secret/key",
    "/files/.%2e/files/a": "/files/a",
    "/files/%2e./files/secret/key": "/files/secret/key",
    "/files/x/%2e%2e/secret/key": "/files/secret/key",
    "/files/a/..?b": "/files/",
    "/files/..;/files/secret/key": "/files/secret/key",
    "/files/..;x/secret": "/secret",
    "//files/a": "/files/a",
    "//files/secret/key": "/files/secret/key",
    "/files//a": "/files/a",
    "/files//secret/key": "/files/secret/key",
    "/files//secret//key": "/files/secret/key",
    "/files/secret//": "/files/secret/",
    "///files///secret///key": "/files/secret/key",
    "/files/x//../secret/key": "/files/x/secret/key",
    "/files//../files/secret/key": "/files/files/secret/key",
    "//paths.example.com/files/a": "/paths.example.com/files/a",
    "/files/a//?b": "/files/a/",
    "/.//files/secret/key": "/files/secret/key",
    "/files/a\\b": "/files/a/b",
    "/files\\secret\\key": "/files/secret/key",
    "/files/x\\..\\secret\\key": "/files/secret/key",
    "/\\files/a": "/files/a",
    "http://paths.example.com/files/a": "/files/a",
    "http://paths.example.com/files/../secret/key": "/secret/key",
    "http://paths.example.com": "/",
    "HTTP://paths.example.com/files//secret/key": "/files/secret/key",
    "http://other@paths.example.com/files/a": "/files/a",
    "/files/a%20": "/files/a ",
    "/files/%20secret/key": "/files/ secret/key",
}
# What Envoy redirects or rejects, and the target to which it redirects.
ESCAPED_SLASHES = {
    "/files/a%2Fb": "/files/a/b",
    "/files/a%2fb": "/files/a/b",
    "/files%2Fsecret%2Fkey": "/files/secret/key",
    "/files/%2Fsecret/key": "/files/secret/key",
    "/files/x%2F..%2Fsecret/key": "/files/secret/key",
    "/files/x%2f%2e%2e%2fsecret/key": "/files/secret/key",
    "/files/..%2Ffiles%2Fsecret%2Fkey": "/files/secret/key",
    "/%2Ffiles/secret/key": "/files/secret/key",
    "/files/a%2F": "/files/a/",
    "/files/secret%2Fkey": "/files/secret/key",
    "/files/secret%2F..%2Fa": "/files/a",
    "/files/a%5Cb": "/files/a/b",
    "/files/a%5cb": "/files/a/b",
    "/files/secret%5Ckey": "/files/secret/key",
    "/files/x%5C..%5Csecret%5Ckey": "/files/secret/key",
    "/files/%5Csecret": "/files/secret",
}
# What Envoy would route, and extauthz refuses.
REFUSED = [
    "//",
    "/files/%252e%252e/secret",
    "/files/%252E/secret/key",
    "/files/%252Fsecret",
    "/files/a%252fb",
    "/files/a%255cb",
    "/files/%25252e",
    "/files/%25%32%65/secret",
    "/files/%%32%65",
    "/files/%2%65",
    "/files/a;v=1",
    "/files/secret;v=1/key",
    "/files/a%3Bb",
    "/;/files/secret/key",
    "/files/;a",
    "/files/a%zz",
    "/files/a%",
    "/files/a%2",
    "/files/%u002e",
    "/files/%ff",
    "/files/%C3",
    "/files/%c0%af",
    "/files/%c0%ae%c0%ae/secret",
    "/files/%e0%80%af",
    "/files/%ed%a0%80",
    "/files/%f4%90%80%80",
    "/files/a%0Ab",
    "/files/a%0d%0ab",
    "/files/a%1f",
    "/files/a%7Fb",
    "/files/a%C2%80",
]
# What Envoy itself refuses.
REFUSED_BY_ENVOY = [
    "%2Ffiles/a",
    "\\files\\a",
    "/files/a#b",
    "/files/a%00b",
    "/files/secret%00/key",
    "/files/a\x01b",
    "/files/a\x7fb",
    "/files/a\x80b",
    "/files/cafÃ©",
    "/files/a\tb",
    "*",
    "files/a",
    "",
    "http://paths.example.com?a",
    "https://paths.example.com/files/a",
    "ftp://paths.example.com/files/a",
    "paths.example.com:80",
    "http:///files/a",
    "?a",
]
SPELLINGS = [*READ, *ESCAPED_SLASHES, *REFUSED, *REFUSED_BY_ENVOY]


def test_the_table_has_well_over_a_hundred_spellings() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) > 170


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("target", SPELLINGS)
def test_the_canonical_path_is_the_one_that_envoy_routes_on_or_the_request_is_refused(
    readings: Readings, target: str, setting: str
) -> None:
    alone, asked = _get(readings, target, f"{setting}-alone"), _get(readings, target, setting)
    if not alone.received:  # Envoy answers by itself, and asks nobody
        assert (asked.status, asked.headers["location"]) == (alone.status, alone.headers["location"])
        assert (asked.received, asked.reason) == ([], None)
    elif asked.status != 200:
        assert (asked.status, asked.reason) == (400, "malformed-path")
    else:
        routed = alone.told("x-routed-path") or ""
        assert asked.told("x-routed-path") == routed
        assert _seen(asked) == _decoded(routed)
        # A rule for `/files/secret/**` covers what Envoy's route for `/files/secret` takes. Without normalization it
        # covers more: `%73ecret` is no other path to extauthz.
        if alone.told("x-route") == "secret" or setting != "unnormalised":
            assert (asked.told("x-seen-secret") == "yes") == (alone.told("x-route") == "secret")


@pytest.mark.parametrize("setting", ["redirecting", "rejecting"])
@pytest.mark.parametrize("target", SPELLINGS)
def test_each_spelling_has_the_reading_of_the_table(readings: Readings, target: str, setting: str) -> None:
    answer = _get(readings, target, setting)
    if target in READ:
        assert (answer.status, _seen(answer)) == (200, READ[target])
    elif target in REFUSED:
        assert answer.reason == "malformed-path"
    elif target in ESCAPED_SLASHES and setting == "redirecting":
        assert (answer.status, answer.headers["location"]) == (307, ESCAPED_SLASHES[target])
        assert ESCAPED_SLASHES[target] in READ
    else:
        assert answer.status in (400, 403, 404)
        assert (answer.received, answer.reason) == ([], None)


WRONG_READINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "decoded twice": lambda path: unquote(unquote(path)),
    "decoded before the query is cut off": lambda path: unquote(path).partition("?")[0],
    "decoded as a form": unquote_plus,
    "decoded as Latin-1": lambda path: unquote(path, encoding="latin-1"),
    "in one case": lambda path: unquote(path).lower(),
    "in one form of Unicode": lambda path: unicodedata.normalize("NFKC", unquote(path)),
    "without its trailing slash": lambda path: unquote(path).rstrip("/"),
    "normalised once more": lambda path: normpath(unquote(path)),
    "without blanks": lambda path: unquote(path).strip(),
}


@pytest.mark.parametrize("wrong", WRONG_READINGS.values(), ids=WRONG_READINGS)
def test_the_table_tells_a_wrong_reading_from_the_right_one(wrong: Callable[[str], str]) -> None:
    assert any(wrong(target.partition("?")[0]) != path for target, path in READ.items() if _decoded(target) == path)


@pytest.mark.parametrize(
    "target", ["/files/secret/key", "/files/./secret/key", "/files/x/../secret/key", "/files/%73ecret/key"]
)
def test_a_guarded_path_is_guarded_in_every_spelling(gateway: Stage, target: str) -> None:
    before = len(gateway.service.received)
    assert _status(gateway, target) == 403
    assert len(gateway.service.received) == before


def _get(readings: Readings, target: str, listener: str) -> Answer:
    return readings.ask([f"GET {target} HTTP/1.1".encode("latin-1"), "host: paths.example.com"], listener=listener)


def _seen(answer: Answer) -> str:
    """The canonical path: extauthz wrote it as UTF-8, and the service's library reads headers as Latin-1."""
    seen = (answer.told("x-seen-path") or "").encode("latin-1").decode()
    assert seen[:1] + seen[-1:] == "[]"
    return seen[1:-1]


def _decoded(target: str) -> str:
    path = target.partition("?")[0]
    return "/".join(unquote(segment, errors="strict") for segment in path.split("/"))


def _status(gateway: Stage, target: str) -> int:
    """The status for exactly these bytes, over TLS."""
    request = f"GET {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode("latin-1")
    with (
        socket.create_connection(("127.0.0.1", gateway.admin.port("https")), timeout=15) as connection,
        gateway.context().wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(request)
        answer = secured.makefile("rb").read()
    return int(answer.split(b" ", 2)[1])
