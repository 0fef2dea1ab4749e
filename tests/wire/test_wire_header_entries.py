"""Headers that are compared with those of requests before: what is read is what it would be alone."""

from functools import partial

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from wire.header_forms import NAMES, VALUES, from_message, outcome, raw, same

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.extauthz.check_pb2 import Check, Pieces
from extauthz.errors import MalformedRequest
from extauthz.wire import header_entries
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.header_entries import Form, Usual, read
from extauthz.wire.headers import from_lines

KEPT = ["te", "via", "dnt", "accept"]
LONG = st.integers(120, 136).map("x".__mul__) | st.integers(16_370, 16_390).map("x".__mul__)


@example([{"a": "1", "b": "2"}, {"a": "1", "c": ""}, {"a": "1", "b": "2"}])
@example([{":path": "/", "a": "1", "b": "2"}, {"a": "1", "b": "2", "c": ""}])
@example([{":path": "/", "te": "1", "via": "2"}, {":path": "/\n", "te": "3", "via": "2"}])
@example([{"te": "1", "via": "2"}, {"te": "1", "via": "\n"}])
@example([{"te": "1", "via": "2"}, {"te": "\r", "via": "2"}])
@example([{"a": "1", "b": "2"}, {"a": "\0", "b": "2"}])
@example([{"a": "1", "authorization": "x", "b": "2"}, {"a": "1\r", "authorization": "a,b", "b": "2"}])
@example([{"a": "1", "authorization": "x", "b": "2"}, {"a": "1", "authorization": "a,b", "b": "2\r"}])
@example([{"connection": "close", "b": "2"}, {"connection": "x-user", "b": "2"}])
@example([{"a": "1", "host": "a"}, {"a": "1", "host": "a,b"}, {"a": "1", "host": "a"}])
@given(
    st.lists(
        st.dictionaries(NAMES | st.sampled_from(["a", "b", "te", "via", "dnt"]), VALUES | LONG, max_size=4), max_size=6
    )
)
def test_what_came_before_on_a_connection_changes_nothing(sent: list[dict[str, str]]) -> None:
    usual, raw_usual = Usual(), Usual()
    for headers in sent:
        careful = outcome(partial(from_lines, headers.items()))
        lines = [(name, value.encode()) for name, value in headers.items()]
        for quick in (partial(from_message, headers, usual), partial(raw, *lines, usual=raw_usual)):
            assert same(outcome(quick), careful)


WRITTEN = st.lists(
    st.tuples(
        st.sampled_from([b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x08"]),
        st.sampled_from([b"", b"\x80", b"\xff"]),  # before the length: an overlong one, or a long one
        st.binary(max_size=3) | st.sampled_from([b"te", b"via", b"\x81\x00"]),
    ).map(lambda part: part[0] + part[1] + bytes([len(part[2])]) + part[2]),
    max_size=3,
).map(b"".join)


@example([b"\x0a\x02te\x1a\x01x", b"\x0a\x03via\x1a\x01x"], [b"\x0a\x02te\x1a\x81\x00x", b"\x0a\x03via\x1a\x01x"])
@example([b"\x0a\x02te\x1a\x01x", b"\x0a\x03via\x1a\x01x"], [b"\x0a\x02te\x1a\x01x\x1a\x01y", b"\x0a\x03via\x1a\x01x"])
@example([b"\x0a\x02te\x1a\x01x", b"\x0a\x03via\x1a\x01x"], [b"\x0a\x02te\x1a", b"\x0a\x03via\x1a\x02x"])
@example([b"\x0a\x02te\x12\x01x", b"\x0a\x03via\x12\x01x"], [b"\x0a\x02te\x12\x01\xff", b"\x0a\x03via\x12\x01y"])
@given(
    st.lists(st.sampled_from([b"\x0a\x02te\x1a\x01x", b"\x0a\x03via\x12\x01x", b"\x0a\x01c\x1a\x01x"]), unique=True),
    st.lists(WRITTEN, max_size=3),
)
def test_entries_that_are_laid_out_in_other_ways_are_read_as_protobuf_reads_them(
    first: list[bytes], then: list[bytes]
) -> None:
    for form in Form:
        usual = Usual()
        read_or_not(first, form, usual)
        read_or_not(first, form, usual)
        assert same(read_or_not(then, form, usual), as_protobuf_reads(then, form))


@pytest.mark.parametrize("length", [127, 128, 300, 8_000, 16_383, 16_384, 20_000])
def test_a_length_that_is_another_ones_is_not_passed_over(length: int) -> None:
    usual = Usual()
    raw(("te", b"1"), ("via", b"2"), usual=usual)
    entry = HeaderValue(key="te", raw_value=b"x" * length).SerializeToString()
    other = HeaderValue(key="via", raw_value=b"2").SerializeToString()
    assert read([entry, other], Form.RAW, usual)["te"] == ("x" * length,)
    for place in (5, 6):
        for byte in (0, 1, 127, 128, 255):
            tampered = [entry[:place] + bytes([byte]) + entry[place + 1 :], other]
            assert same(read_or_not(tampered, Form.RAW, usual), as_protobuf_reads(tampered, Form.RAW))


def test_a_length_of_three_bytes_is_not_taken_for_one_of_two() -> None:
    usual, size = Usual(), 20_000
    raw(("te", b"1"), ("via", b"2"), usual=usual)
    entry = b"\x0a\x02te\x1a" + bytes([size & 127 | 128, size >> 7]) + b"x" * size
    other = HeaderValue(key="via", raw_value=b"2").SerializeToString()
    assert same(read_or_not([entry, other], Form.RAW, usual), as_protobuf_reads([entry, other], Form.RAW))


def test_what_one_form_has_given_is_not_given_for_the_other() -> None:
    entries = [b"\x0a\x02te\x1a\x01x", b"\x0a\x03via\x1a\x01x"]
    for forms in (list(Form), [*reversed(Form)]):
        usual = Usual()
        for form in [*forms, *forms, *forms]:
            assert read_or_not(entries, form, usual) == as_protobuf_reads(entries, form)


def read_or_not(entries: list[bytes], form: Form, usual: Usual) -> object:
    try:
        return outcome(lambda: read(entries, form, usual))
    except DecodeError:
        return "no entry"


def as_protobuf_reads(entries: list[bytes], form: Form) -> object:
    try:
        sent = [HeaderValue.FromString(entry) for entry in entries]
    except DecodeError:
        return "no entry"
    if form is Form.JOINED:
        joined = {header.key: header.value for header in sent}
        return outcome(lambda: from_lines(joined.items())) if len(joined) == len(sent) else "malformed-check"
    return outcome(
        lambda: from_lines([(header.key, header.raw_value.decode(errors="replace") or header.value) for header in sent])
    )


def test_of_a_connection_a_few_requests_are_kept_and_no_large_one() -> None:
    usual = Usual()
    for count in [2, *range(2, 12)]:
        raw(*((f"x-{number}", b"1") for number in range(count)), usual=usual)
        assert len(usual.samples) <= 2
    assert usual.samples
    usual = Usual()
    for agent in (b"x", b"x", b"x" * 9_000):
        usual.samples.clear()
        raw(("user-agent", agent), ("b", b"1"), usual=usual)
        assert all(sample.size <= 8_192 for sample in usual.samples.values())
    raw(("user-agent", b"x" * 8_000), ("b", b"1"), usual=usual)
    assert usual.samples


def test_what_changes_make_of_a_request_is_bounded_as_well() -> None:
    usual = Usual()
    for _ in range(2):
        raw(*((name, b"1") for name in "abcdefghij"), usual=usual)
    assert usual.samples
    with pytest.raises(MalformedRequest):
        raw(*((name, b"x" * 16_000) for name in "abcdefghij"), usual=usual)


def test_nothing_is_kept_that_may_be_a_secret() -> None:
    usual = Usual()
    sent = [(name, b"s3cret") for name in ("authorization", "cookie", "dpop", "x-api-key", ":path", "x-extauthz-otp")]
    for _ in range(3):
        assert raw(*sent, ("te", b"trailers"), usual=usual)["cookie"] == ("s3cret",)
    for sample in (*usual.samples.values(), *header_entries._anywhere.values()):
        assert b"s3cret" not in b"".join(filter(None, sample.entries))
        assert "s3cret" not in sample.headers.lines
    (sample,) = usual.samples.values()
    assert "trailers" in sample.headers.lines


def test_of_an_entry_that_holds_more_than_its_header_nothing_is_kept() -> None:
    usual = Usual()
    more = HeaderValue(key="user-agent", value="a", raw_value=b"s3cret").SerializeToString()
    other = HeaderValue(key="via", value="b").SerializeToString()
    for _ in range(3):
        assert read([more, other], Form.JOINED, usual) == {"user-agent": ("a",), "via": ("b",)}
    for sample in (*usual.samples.values(), *header_entries._anywhere.values()):
        assert b"s3cret" not in b"".join(filter(None, sample.entries))


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("layout", [b"", b"\x20\x0d"])
def test_names_with_a_line_feed_make_no_request_of_others_readable(form: Form, layout: bytes) -> None:
    """As many names in as many lines as there are entries, of which one came twice."""
    names = ["authorization\nauthorization", "authorization", "authorization", "te", "via"]
    entries = [layout + HeaderValue(key=name).SerializeToString() + form.value + b"\x011" for name in names]
    thrice = ["authorization"] * 3 + ["te", "via"]
    three = [HeaderValue(key=name, raw_value=b"1").SerializeToString() for name in thrice]
    for _ in range(3):
        assert isinstance(read_or_not(entries, form, Usual()), str)
        assert read_or_not(three, form, Usual()) in {"repeated-header", "malformed-check"}


def test_requests_with_more_headers_than_clients_send_are_not_kept() -> None:
    usual = Usual()
    header_entries._anywhere.clear()
    for _ in range(3):
        raw(*((f"x-{number}", b"1") for number in range(65)), usual=usual)
    assert not usual.samples
    assert not header_entries._anywhere


@pytest.mark.parametrize("entry", [b"", b"\x0a"])
def test_an_entry_that_is_empty_is_not_one_that_was_not_kept(entry: bytes) -> None:
    usual, whole = Usual(), HeaderValue(key="a", raw_value=b"1").SerializeToString()
    for _ in range(3):
        read([whole, HeaderValue(key="b", raw_value=b"2").SerializeToString()], Form.RAW, usual)
    assert isinstance(read_or_not([whole, entry], Form.RAW, usual), str)


def test_what_came_on_other_connections_is_bounded() -> None:
    for number in range(600):
        raw((f"x{'-' * (number % 50)}", b"1"), (f"y{'-' * (number // 50)}", b"2"))
        assert len(header_entries._anywhere) <= 256
    raw(("a" * 77, b"1"), ("user-agent", b"x" * 9_000))
    assert all(sample.size <= 8_192 for sample in header_entries._anywhere.values())


def test_a_map_that_came_in_another_order_is_the_same() -> None:
    payload = check_request(host="a.example", headers={"te": "1", "via": "2", "dnt": "3"}, source_ip="10.0.0.9")
    view = decode(payload)
    assert view.http is not None
    attributes = Pieces.Attributes.FromString(Pieces.FromString(payload).attributes[0])
    request = Check.Request.FromString(attributes.request[0])
    headers = request.http.headers
    last = view.http.headers
    for number in range(4):
        headers.append(headers.pop(0))
        attributes.request[:] = [request.SerializeToString()]
        again = decode(Pieces(attributes=[attributes.SerializeToString()]).SerializeToString())
        assert again.http is not None
        assert again.http.headers == view.http.headers
        if number > 1:  # what is compared with is the second request of the connection
            assert again.http.headers is last
        last = again.http.headers


def test_a_connection_whose_headers_vary_is_read_as_any_other() -> None:
    for names in (("a", "b"), ("a", "c"), ("a", "b"), ("b", "c"), ("a", "b", "c")):
        checked = decode(
            check_request(host="a", headers=dict.fromkeys(names, "1"), source_ip="10.0.0.7", source_port=7)
        )
        assert checked.http is not None
        assert set(checked.http.headers) == set(names)
