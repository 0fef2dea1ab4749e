"""Request headers in both of Envoy's forms."""

from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire.header_forms import NAMES, VALUES, from_message, outcome, raw, same

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz.errors import MalformedRequest
from extauthz.wire.header_entries import Form, Usual, read
from extauthz.wire.headers import SINGLE, from_lines


def test_pseudo_headers_are_not_among_the_headers() -> None:
    sent = {":authority": "a", ":method": "GET", ":path": "/", ":scheme": "https", ":protocol": "websocket", "x": "1"}
    assert from_message(sent) == {"x": ("1",)}
    assert raw(*((name, value.encode()) for name, value in sent.items())) == {"x": ("1",)}


def test_the_raw_form_keeps_lines_apart_and_in_order() -> None:
    assert raw(("accept", b"a"), ("x", b"1"), ("accept", b"b, c")) == {"accept": ("a", "b, c"), "x": ("1",)}


def test_the_joined_form_has_one_value_a_name() -> None:
    assert from_message({"accept": "a,b, c"}) == {"accept": ("a,b, c",)}


def test_names_are_lower_case_and_merge_when_they_differ_by_case() -> None:
    assert from_message({"X-A": "1"}) == {"x-a": ("1",)}
    assert sorted(from_message({"X-A": "1", "x-a": "2"})["x-a"]) == ["1", "2"]
    with pytest.raises(MalformedRequest):
        from_message({"Authorization": "Bearer a", "authorization": "Bearer b"})


def test_names_with_an_underscore_are_kept_as_they_are() -> None:
    assert from_message({"x_user": "1", "x-user": "2"}) == {"x_user": ("1",), "x-user": ("2",)}


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a\0", "a:b", "a,b", "caf\u00e9", "a(", "\u212a"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(MalformedRequest):
        from_message({name: "1"})
    with pytest.raises(MalformedRequest):
        raw((name, b"1"))


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "\r\n", "\0", "\n"])
def test_cr_lf_and_nul_in_a_value_are_refused(value: str) -> None:
    for sent in ({"x": value}, {"a": "1", "x": value, "z": "2"}):
        with pytest.raises(MalformedRequest) as refused:
            from_message(sent)
        assert refused.value.reason == "malformed-header"
    with pytest.raises(MalformedRequest):
        raw(("x", value.encode()))


@pytest.mark.parametrize("value", ["", " ", "a\tb", "caf\u00e9", "x" * 60_000, '"', "a=b; c=d"])
def test_empty_odd_and_very_long_values_are_read(value: str) -> None:
    assert from_message({"x": value}) == {"x": (value,)}
    assert raw(("x", value.encode())) == {"x": (value,)}


def test_no_headers_are_no_headers() -> None:
    assert from_message({}) == {}
    assert raw() == {}


def test_bytes_that_are_no_utf8_are_read_as_what_no_rule_can_ask_for() -> None:
    assert raw(("x-user", b"j\xfcrgen")) == {"x-user": ("j\ufffdrgen",)}
    assert raw(("a", b"\xe2\x82"), ("b", b"\xac"), ("c", b"\xc3")) == {
        "a": ("\ufffd",),
        "b": ("\ufffd",),
        "c": ("\ufffd",),
    }


def test_in_the_raw_form_a_value_may_stand_in_either_field() -> None:
    sent = [HeaderValue(key="a", value="1"), HeaderValue(key="b", raw_value=b"2"), HeaderValue(key="c")]
    entries = [header.SerializeToString() for header in sent]
    usual = Usual()
    assert read(entries, Form.RAW, usual) == {"a": ("1",), "b": ("2",), "c": ("",)}
    for key, value in (("b", "3"), ("c", "4")):
        changed = [HeaderValue(key=key, value=value) if header.key == key else header for header in sent]
        entries = [header.SerializeToString() for header in changed]
        assert read(entries, Form.RAW, usual)[key] == (value,)


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_single_valued_header_with_several_values_is_refused(name: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        raw((name, b"a"), (name, b"b"))
    assert refused.value.reason == "repeated-header"
    with pytest.raises(MalformedRequest):
        raw((name, b"a"), (name, b"a"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "a.example,b.example"),
        ("content-length", "1,1"),
        ("content-type", "text/plain,application/json"),
        ("content-type", 'multipart/form-data; boundary="a,b",text/plain'),
        ("authorization", "Bearer a.b.c,Bearer d.e.f"),
        ("authorization", "Bearer a.b.c==, Basic eA=="),
        ("authorization", "Bearer a ,x"),
        ("authorization", ",Bearer a"),
        ("authorization", "Negotiate,Bearer a"),
        ("sec-fetch-mode", "navigate,cors"),
        ("origin", "https://a.example,https://b.example"),
        ("x-extauthz-otp", "123456,654321"),
        ("dpop", "a.b.c,d.e.f"),
    ],
)
def test_a_single_valued_header_that_envoy_joined_from_several_is_refused(name: str, value: str) -> None:
    for others in ({}, {"accept": "*/*", "x-tier": "gold", ":path": "/"}):
        with pytest.raises(MalformedRequest) as refused:
            from_message({**others, name: value})
        assert refused.value.reason == "repeated-header"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", 'Digest username="a", realm="b"'),
        ("authorization", "AWS4-HMAC-SHA256 Credential=A/2026/s3/aws4_request, SignedHeaders=host, Signature=0"),
        ("authorization", "Bearer a.b.c"),
        ("content-type", 'multipart/form-data; boundary="a,b"'),
        ("content-type", 'text/plain; x="\\",\\""'),
        ("content-encoding", "gzip, br"),
        ("cookie", "a=1; b=2,3"),
        ("user-agent", "Mozilla/5.0 (KHTML, like Gecko)"),
    ],
)
def test_commas_of_a_headers_own_grammar_are_read(name: str, value: str) -> None:
    for others in ({}, {"accept": "*/*", "x-tier": "gold"}):
        assert from_message({**others, name: value})[name] == (value,)


def test_a_line_feed_in_a_name_makes_no_two_names_of_it() -> None:
    assert from_message({"a": "1", "b": "2", "c": "3"}) == {"a": ("1",), "b": ("2",), "c": ("3",)}
    for names in (["a\nb", "c"], ["a", "b\nc"], ["a\nb\nc", "d"]):
        with pytest.raises(MalformedRequest):
            from_message(dict.fromkeys(names, ""))


@pytest.mark.parametrize("count", [64, 2_000])
def test_many_headers_are_read_like_few(count: int) -> None:
    sent = {f"x-header-{number}": str(number) for number in range(count)}
    assert from_message(sent) == {name: (value,) for name, value in sent.items()}
    with pytest.raises(MalformedRequest):
        from_message({**sent, "x-header-7": "a\nb"})


def test_headers_do_not_change_once_they_are_read() -> None:
    for headers in (from_message({"a": "1", "b": "2"}), from_message({"a": "1"}), raw(("a", b"1"), ("a", b"2"))):
        with pytest.raises(TypeError):
            headers["a"] = ("3",)  # type: ignore[index]  # this is what must fail


@example({"a": "", "A": "="})
@given(st.dictionaries(NAMES, VALUES, max_size=5) | st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=5))
def test_the_quick_reading_of_the_joined_form_is_the_careful_one(sent: dict[str, str]) -> None:
    for again in (sent, sent, dict(reversed(sent.items()))):
        careful = outcome(partial(from_lines, again.items()))
        quick = outcome(partial(from_message, again))
        # Of two things that are wrong either may be told.
        assert same(quick, careful)


@given(
    st.lists(
        st.tuples(NAMES, st.binary(max_size=4) | VALUES.map(str.encode)), max_size=5, unique_by=lambda line: line[0]
    )
)
def test_the_quick_reading_of_the_raw_form_is_the_careful_one(sent: list[tuple[str, bytes]]) -> None:
    for again in (sent, sent, sent[::-1]):
        careful = outcome(partial(from_lines, [(name, value.decode(errors="replace")) for name, value in again]))
        quick = outcome(partial(raw, *again))
        assert quick == careful or (isinstance(quick, str) and isinstance(careful, str))


REGULAR = st.sampled_from(["accept", "authorization", "content-type", "cookie", "host", "x_y", "x-y", ":path"])


TEXTS = st.text(alphabet='ab,; "=\u00e9', max_size=6)


@given(st.dictionaries(REGULAR, TEXTS, max_size=6))
def test_the_two_forms_of_a_request_without_repeated_headers_give_the_same_view(sent: dict[str, str]) -> None:
    lines = [(name, value.encode()) for name, value in sent.items()]
    assert outcome(lambda: from_message(sent)) == outcome(lambda: raw(*lines))


@given(st.lists(st.tuples(REGULAR, TEXTS), max_size=8))
def test_where_the_raw_form_has_several_lines_the_joined_form_has_them_joined_or_is_refused(
    lines: list[tuple[str, str]],
) -> None:
    joined: dict[str, str] = {}
    for name, value in lines:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    one = outcome(lambda: from_message(joined))
    each = outcome(lambda: raw(*((name, value.encode()) for name, value in lines)))
    if isinstance(one, dict):
        assert one == {name: (value,) for name, value in joined.items() if not name.startswith(":")}
        if isinstance(each, dict):
            assert one == {name: (",".join(values),) for name, values in each.items()}
        else:  # of a header with commas of its own two lines look like one
            assert each == "repeated-header"
    else:
        assert each == one == "repeated-header"


@given(st.lists(st.tuples(NAMES, st.binary(max_size=6)), max_size=5))
def test_what_is_read_has_valid_names_and_values(lines: list[tuple[str, bytes]]) -> None:
    try:
        headers = raw(*lines)
    except MalformedRequest:
        return
    for name, values in headers.items():
        assert name == name.lower()
        assert not name.startswith(":")
        assert values
        assert name not in SINGLE or len(values) == 1
        assert not any(set(value) & set("\r\n\0") for value in values)
