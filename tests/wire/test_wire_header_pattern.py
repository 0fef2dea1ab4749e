"""Maps of header lines that are laid out as those before them: what is read is what is read of them alone."""

from functools import partial

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from wire.header_forms import NAMES, outcome, same

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz._pb.extauthz.check_pb2 import Check
from extauthz.errors import MalformedRequest
from extauthz.values.common import Common
from extauthz.values.headers import Headers, OneLineEach
from extauthz.wire import header_entries
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.header_entries import Form, Usual
from extauthz.wire.headers import LARGEST, from_lines
from extauthz.wire.request_fields import Connection, read

Line = tuple[str, bytes]

FRONT = b"\x12\x03"
"""Something of the request that comes before its headers."""
OFTEN = [":path", "x-id", "cookie", "te", "host", "content-type", "user-agent"]
VALUE = st.sampled_from([b"", b"1", b"1", b"2", b"a,b", b"\xc3\xa4", b"\xff", b"a\n", b"\r", b"\0"]) | st.one_of(
    st.integers(100, 136).map(b"x".__mul__), st.integers(16_370, 16_390).map(b"y".__mul__)
)


def entries_of(lines: list[Line]) -> list[bytes]:
    return [HeaderValue(key=name, raw_value=value).SerializeToString() for name, value in lines]


def content_of(entries: list[bytes]) -> bytes:
    return FRONT + Check.HeaderMap(headers=entries).SerializeToString()


def by_pattern(content: bytes, usual: Usual) -> Headers | None:
    """What is read at once, in the place where the map begins."""
    return usual.known(content, len(FRONT), len(content))


def by_protobuf(content: bytes) -> object:
    try:
        entries = Check.HeaderMap.FromString(content[len(FRONT) :]).headers
        sent = [HeaderValue.FromString(entry) for entry in entries]
    except DecodeError:
        return "no map"
    return outcome(
        lambda: from_lines([(header.key, header.raw_value.decode(errors="replace") or header.value) for header in sent])
    )


def learned(*requests: list[Line]) -> Usual:
    usual = Usual()
    for lines in requests:
        header_entries.read(entries_of(lines), Form.RAW, usual)
    return usual


def browser(number: int, agent: bytes = b"Mozilla/5.0") -> list[Line]:
    return [
        (":path", b"/orders/%d" % number),
        ("user-agent", agent),
        ("te", b"trailers"),
        ("x-request-id", b"%036d" % number),
        ("cookie", b"c" * number),
        ("content-type", b"text/plain"),
        ("accept", b"*/*"),
    ]


def test_the_fourth_request_of_a_connection_is_read_at_once() -> None:
    for numbers in ([1, 2, 3, 4], [10, 10, 10, 1000], [5, 5, 5, 200], [200, 200, 200, 1], [1, 2_000, 7, 16_000]):
        header_entries.read(entries_of(browser(numbers[0])), Form.RAW, Usual())  # as those of other connections
        usual = Usual()
        for number in numbers[1:-1]:
            lines = browser(number)
            content = content_of(entries_of(lines))
            assert by_pattern(content, usual) is None
            header_entries.read(entries_of(lines), Form.RAW, usual)
        content = content_of(entries_of(browser(numbers[-1])))
        headers = by_pattern(content, usual)
        assert headers is not None
        assert dict(headers) == by_protobuf(content)


def test_what_is_not_the_same_after_all_is_read_at_once_from_then_on() -> None:
    usual = learned(browser(1), browser(2), browser(3))
    other = content_of(entries_of(browser(4, agent=b"curl/8")))
    assert by_pattern(other, usual) is None
    header_entries.read(entries_of(browser(4, agent=b"curl/8")), Form.RAW, usual)
    for agent in (b"curl/8", b"Mozilla/5.0", b"wget"):
        content = content_of(entries_of(browser(5, agent)))
        headers = by_pattern(content, usual)
        assert headers is not None
        assert dict(headers) == by_protobuf(content)


def test_two_kinds_of_requests_take_turns_and_of_three_the_last_two_are_known() -> None:
    kinds = [browser(7)[:count] for count in (5, 6, 7)]
    usual = learned(*[kind for kind in kinds[:2] for _ in range(3)])
    contents = [content_of(entries_of(kind)) for kind in kinds]
    assert [by_pattern(content, usual) is not None for content in contents] == [True, True, False]
    for _ in range(2):
        header_entries.read(entries_of(kinds[2]), Form.RAW, usual)
    assert len(usual.patterns) <= 2
    assert by_pattern(contents[2], usual) is not None


LINES = st.lists(st.tuples(st.sampled_from(OFTEN), VALUE), max_size=5, unique_by=lambda line: line[0])


@st.composite
def connections(draw: st.DrawFn) -> list[list[Line]]:
    """Requests that most often have the same names in the same order."""
    first = draw(LINES)
    return [first] + [
        draw(LINES) if draw(st.integers(0, 9)) == 0 else [(name, draw(st.just(value) | VALUE)) for name, value in first]
        for _ in range(draw(st.integers(2, 6)))
    ]


@example([[("te", b"1"), ("x-id", b"2")]] * 4 + [[("te", b"1"), ("x-id", b"2\n")]])
@example(
    [[("te", b"1"), ("host", b"2")]] * 2 + [[("te", b"1"), ("host", b"3")]] * 2 + [[("te", b"1"), ("host", b"a,b")]]
)
@given(connections())
def test_what_came_before_on_a_connection_changes_nothing(requests: list[list[Line]]) -> None:
    usual = Usual()
    for lines in requests:
        entries = entries_of(lines)
        content = content_of(entries)
        alone = by_protobuf(content)
        headers = by_pattern(content, usual)
        assert headers is None or same(dict(headers), alone)
        assert same(outcome(partial(header_entries.read, entries, Form.RAW, usual)), alone)


@example([browser(number) for number in (1, 2, 3, 4, 5)] + [browser(6, agent=b"curl/8")] * 3)
@given(connections())
def test_what_headers_have_in_common_is_all_that_does_not_vary(requests: list[list[Line]]) -> None:
    usual, seen = Usual(), dict[Common, list[OneLineEach]]()
    for lines in requests:
        content = content_of(entries_of(lines))
        outcome(partial(header_entries.read, entries_of(lines), Form.RAW, usual))
        headers = by_pattern(content, usual)
        if isinstance(headers, OneLineEach):
            assert headers.common is not None
            seen.setdefault(headers.common, []).append(headers)
    for common, alike in seen.items():
        first = alike[0]
        for other in alike:
            assert other.places == first.places
            differ = {at for at, (one, two) in enumerate(zip(first.lines, other.lines, strict=True)) if one != two}
            assert differ <= common.varying


KNOWN = learned(*[browser(number) for number in (1, 130, 150)])
CONTENT = content_of(entries_of(browser(140)))


@given(
    st.integers(0, len(CONTENT)),
    st.integers(0, 3),
    st.binary(max_size=3) | st.sampled_from([b"\x80", b"\xff", b"\x0a", b"\x1a", b"\x0a\x00", b"\x80\x00"]),
)
def test_however_a_map_is_damaged_it_is_read_as_by_protobuf(at: int, gone: int, instead: bytes) -> None:
    content = FRONT + (CONTENT[:at] + instead + CONTENT[at + gone :])[len(FRONT) :]
    headers = by_pattern(content, KNOWN)
    assert headers is None or same(dict(headers), by_protobuf(content))


def test_every_byte_of_what_is_the_same_is_looked_at() -> None:
    assert by_pattern(CONTENT, KNOWN) is not None
    for at in range(len(FRONT), len(CONTENT)):
        for byte in (CONTENT[at] ^ 1, CONTENT[at] ^ 128, 0):
            content = CONTENT[:at] + bytes([byte]) + CONTENT[at + 1 :]
            headers = by_pattern(content, KNOWN)
            assert headers is None or same(dict(headers), by_protobuf(content))
    for size in range(len(FRONT), len(CONTENT)):
        assert by_pattern(CONTENT[:size], KNOWN) is None


@pytest.mark.parametrize("lengths", [b"\x8b\x00\x0a\x04x-id\x1a\x83\x00", b"\x0a\x0a\x04x-id\x1a\x83\x00"])
def test_a_length_that_takes_more_bytes_than_it_needs_is_one(lengths: bytes) -> None:
    usual = learned(*[[("te", b"1"), ("x-id", value)] for value in (b"1", b"2", b"34")])
    content = FRONT + b"\x0a\x07\x0a\x02te\x1a\x011" + b"\x0a" + lengths + b"abc"
    headers = by_pattern(content, usual)
    assert headers is None or same(dict(headers), by_protobuf(content))


def test_no_more_is_read_at_once_than_may_be_sent() -> None:
    names = [f"x-{number}" for number in range(12)]
    usual = learned(*[[(name, value) for name in names] for value in (b"1", b"2", b"3")])
    assert by_pattern(content_of(entries_of([(name, b"x" * 9_000) for name in names])), usual) is not None
    large = content_of(entries_of([(name, b"x" * 12_000) for name in names]))
    assert len(large) > LARGEST
    assert by_pattern(large, usual) is None


@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"a\0b"])
def test_what_is_refused_is_not_read_at_once(value: bytes) -> None:
    usual = learned(*[[("a", value), ("b", value), ("te", b"1")] for value in (b"1", b"2", b"3")])
    for lines in ([("a", value), ("b", b"1")], [("a", b"1"), ("b", value)]):
        assert by_pattern(content_of(entries_of([*lines, ("te", b"1")])), usual) is None


@pytest.mark.parametrize("value", [b"\xc3\xa4", b"\xff", b"a\xed\xa0\x80b", b""])
def test_bytes_of_all_kinds_are_read_at_once(value: bytes) -> None:
    usual = learned(*[[("a", value), ("b", value), ("te", b"1")] for value in (b"1", b"2", b"3")])
    content = content_of(entries_of([("a", b"1"), ("b", b"1"), ("te", b"1")])).replace(
        b"\x0a\x06\x0a\x01b\x1a\x011",
        b"\x0a" + bytes([5 + len(value)]) + b"\x0a\x01b\x1a" + bytes([len(value)]) + value,
    )
    headers = by_pattern(content, usual)
    assert headers is not None
    assert dict(headers) == by_protobuf(content)


def test_a_single_header_may_have_commas_of_its_own() -> None:
    usual = learned(*[[("authorization", b"Digest " + value), ("te", b"1")] for value in (b"a=1", b"a=2", b"a=3")])
    for value, known in ((b"Digest a=1, b=2", True), (b"Bearer abc, Bearer abc", False)):
        content = content_of(entries_of([("authorization", value), ("te", b"1")]))
        headers = by_pattern(content, usual)
        assert (None if headers is None else dict(headers)) == (by_protobuf(content) if known else None)
        assert isinstance(by_protobuf(content), dict) is known


def test_other_names_of_the_same_number_are_known_when_they_come_again() -> None:
    kinds = [[(name, b"1"), ("te", b"1")] for name in ("x-a", "x-bc")]
    usual = learned(*[kind for kind in kinds for _ in range(4)])
    assert by_pattern(content_of(entries_of(kinds[1])), usual) is not None


def test_a_map_that_ends_before_the_request_does_is_not_read_to_its_end() -> None:
    connection = Connection()
    connection.headers = learned(*[[("te", b"1"), ("x-id", value)] for value in (b"1", b"2", b"3")])
    lines = Check.HeaderMap(headers=entries_of([("te", b"1"), ("x-id", b"4")])).SerializeToString()
    for size in range(len(lines) + 1):
        content = b"\x12" + bytes([len(lines) + 2]) + b"\x6a" + bytes([size]) + lines
        try:
            http = Check.Request.FromString(content).http
        except DecodeError:
            with pytest.raises(DecodeError):
                read(content, connection)
            continue
        _, _, found = read(content, connection)
        assert found is not None
        assert (found.id, found.usual is None) == (http.id, size < len(lines))
        assert found.header_map == (list(http.header_map.headers) if size < len(lines) else None)


def test_headers_in_both_forms_are_refused_on_any_connection() -> None:
    for number in range(5):
        headers = {"te": "trailers", "x-id": str(number)}
        sent = check_request(host="a.example", path="/", headers=headers, raw_headers=True, source_port=9_998)
        decode(sent)
    both = CheckRequest.FromString(sent)
    both.attributes.request.http.headers["x-id"] = "9"
    with pytest.raises(MalformedRequest, match="both forms"):
        decode(both.SerializeToString(deterministic=True))


def test_a_connection_that_varies_has_no_pattern() -> None:
    """What `Connection` says is looked at each time."""
    requests = [[("connection", value), ("te", b"1")] for value in (b"close", b"keep-alive", b"close", b"x-user")]
    usual = learned(*requests[:3])
    assert by_pattern(content_of(entries_of(requests[3])), usual) is None


@given(
    st.lists(st.tuples(NAMES.filter(lambda name: name.lower() not in {"te", "host"}), st.just(b"s3cret")), max_size=5)
)
def test_nothing_is_kept_that_may_be_a_secret(lines: list[Line]) -> None:
    usual = Usual()
    for _ in range(4):
        outcome(lambda: header_entries.read(entries_of([*lines, ("te", b"1")]), Form.RAW, usual))
    for pattern in usual.patterns:
        assert all(b"s3cret" not in gap.opening + gap.head for gap in pattern._gaps)
        assert b"s3cret" not in pattern._behind
        assert "s3cret" not in pattern._lines


def test_a_target_with_a_mark_is_looked_for_in_a_map_that_is_usual() -> None:
    """As `test_a_mark_that_envoy_may_have_written_for_a_byte_is_refused_unless_the_raw_form_has_it`, but later."""
    for path in ("/a", "/b", "/c", "/d", "/d!", "/e"):
        headers = {"te": "trailers", "x-id": path}
        view = decode(check_request(host="a.example", path=path, headers=headers, raw_headers=True, source_port=9_999))
        assert view.http is not None
        assert (view.http.path, view.http.headers["x-id"]) == (path, (path,))
