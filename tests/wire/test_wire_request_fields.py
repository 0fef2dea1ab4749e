"""The request of a Check, read from its bytes: what protobuf makes of them is read, however they are laid out."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz._pb.extauthz.check_pb2 import Check
from extauthz.errors import MalformedRequest
from extauthz.values.request import HttpRequest
from extauthz.wire import header_entries
from extauthz.wire import host as hosts
from extauthz.wire import path as targets
from extauthz.wire.compose import check_request
from extauthz.wire.header_entries import Form, Usual
from extauthz.wire.request_fields import Connection, Fields, FieldsOrRequest, HttpFields, _in_order, read, read_within

Read = tuple[int, int, dict[str, object] | None]
HTTP = b"\x12"
NAMES = ["body", "header_map", "headers", "host", "id", "method", "path", "protocol", "raw_body", "scheme", "size"]
MINUS_ONE = b"\x48" + b"\xff" * 9 + b"\x01"


def told(fields: Fields) -> Read:
    seconds, nanos, http = fields
    return seconds, nanos, None if http is None else {name: getattr(http, name) for name in NAMES}


def by_protobuf(content: bytes) -> Read:
    request = Check.Request.FromString(content)
    http, said = None, request.http
    if request.HasField("http"):
        http = {name: getattr(said, name) for name in NAMES}
        http["headers"] = list(said.headers)
        http["header_map"] = list(said.header_map.headers) if said.HasField("header_map") else None
    return request.time.seconds, request.time.nanos, http


def same(content: bytes) -> Read | None:
    """What both make of it; `None` if it is no request for either."""
    try:
        meant = by_protobuf(content)
    except DecodeError:
        with pytest.raises(DecodeError):
            read(content, Connection())
        return None
    assert told(read(content, Connection())) == meant
    return meant


def length(size: int, padding: int = 0) -> bytes:
    """A number of Protocol Buffers, with so many bytes more than it needs."""
    groups = []
    while size > 127:
        groups.append(size & 127 | 128)
        size >>= 7
    groups += [size | 128, *[128] * (padding - 1), 0] if padding else [size]
    return bytes(groups)


def field(tag: bytes, content: bytes, padding: int = 0) -> bytes:
    return tag + length(len(content), padding) + content


PADDING = st.sampled_from([0, 0, 0, 0, 1, 2])
NUMBER = st.tuples(st.integers(0, 2**64 - 1) | st.sampled_from([0, 127, 128, 255, 2**31, 2**35]), PADDING).map(
    lambda one: length(*one)
)
TEXT = st.sampled_from([b"", b"GET", b"\xc3\xa4", b"\xff", b"\xed\xa0\x80", b"/a?b", b"x" * 130, b"y" * 16_384])
LINE = st.builds(field, st.sampled_from([b"\x0a", b"\x0a", b"\x0a", b"\x12", b"\x08"]), TEXT | st.binary(), PADDING)
LINES = st.lists(LINE, max_size=3).map(b"".join)
TAGS = [bytes([number << 3 | 2]) for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 14)]
PART = st.one_of(
    st.builds(field, st.sampled_from(TAGS), TEXT, PADDING),
    st.builds(field, st.just(b"\x6a"), LINES, PADDING),
    NUMBER.map(b"\x48".__add__),
    st.just(MINUS_ONE),
    st.builds(bytes.__add__, st.sampled_from([b"\x0d", b"\x11", b"\x50", b"\x6b"]), st.binary(max_size=9)),
    st.binary(max_size=3),
)
PARTS = st.lists(PART, max_size=5) | st.lists(PART, max_size=5).map(sorted)
TIME = st.lists(st.builds(bytes.__add__, st.sampled_from([b"\x08", b"\x10"]), NUMBER), max_size=3).map(b"".join)
REQUEST = st.lists(
    st.builds(field, st.just(b"\x0a"), TIME, PADDING)
    | st.builds(field, st.just(HTTP), PARTS.map(b"".join), PADDING)
    | st.binary(max_size=2),
    max_size=3,
)


@example(b"")
@example(field(b"\x0a", b"\x08\x05\x10\x06"))
@example(field(b"\x0a", b"\x10\x06\x08\x05"))
@example(field(b"\x0a", b"\x08\x05\x10" + length(2**32 + 5)))
@example(field(b"\x0a", b"\x08" + length(2**64 - 1)))
@example(field(b"\x0a", b"\x08\x85") + field(HTTP, b""))
@example(field(HTTP, b"") + field(b"\x0a", b"\x08\x05"))
@example(field(HTTP, b"\x12\x03GET") + field(HTTP, b"\x12\x04POST\x22\x01/"))
@example(field(HTTP, b"\x12\x03GET\x12\x04POST"))
@example(field(HTTP, b"\x22\x01/\x12\x03GET"))
@example(field(HTTP, b"\x12\x03GET\x22\x05/"))
@example(field(HTTP, b"\x12\x83\x00GET\x22\x81\x80\x00/"))
@example(field(HTTP, MINUS_ONE))
@example(field(HTTP, b"\x48\xff\x01"))
@example(field(HTTP, b"\x48\xff\x01\x52\x06HTTP/1"))
@example(field(HTTP, b"\x12\x03GET\x70\x01x"))
@example(field(HTTP, b"\x48" + length(2**63 - 1)))
@example(field(HTTP, b"\x48\x05\x48\x06"))
@example(field(HTTP, b"\x6a\x00"))
@example(field(HTTP, b"\x6a\x03\x0a\x01x\x6a\x03\x0a\x01y"))
@example(field(HTTP, b"\x6a\x03\x12\x01x"))
@example(field(HTTP, b"\x6a\x03\x0a\x02x"))
@example(field(HTTP, b"\x3a\x01\xff"))
@given(REQUEST.map(b"".join))
def test_however_it_is_laid_out_it_is_read_as_by_protobuf(content: bytes) -> None:
    same(content)


def content_of(*, raw_headers: bool) -> bytes:
    """What Envoy says of a request."""
    sent = check_request(
        id="17",
        method="POST",
        host="shop.example.com",
        path="/orders?\u00e4=1",
        headers={"accept": "*/*", "x-long": "x" * 200},
        raw_headers=raw_headers,
        body=b"{}",
        time=(1_790_000_000, 123_456_789),
    )
    return CheckRequest.FromString(sent).attributes.request.SerializeToString(deterministic=True)


CONTENT = content_of(raw_headers=True)


@given(
    st.integers(0, len(CONTENT)),
    st.integers(0, 3),
    st.binary(max_size=3) | st.sampled_from([b"\x80", b"\xff", b"\x0a", b"\x12", b"\x6a"]),
)
def test_however_it_is_damaged_it_is_read_as_by_protobuf(at: int, gone: int, instead: bytes) -> None:
    same(CONTENT[:at] + instead + CONTENT[at + gone :])


@pytest.mark.parametrize("raw_headers", [True, False])
def test_what_envoy_sends_is_read_in_one_pass(raw_headers: bool) -> None:
    content = content_of(raw_headers=raw_headers)
    assert told(_in_order(content, Connection())) == same(content)


ALIKE = [b"*\x01a", b"*\x01b", b"2\x04http", b"2\x05https", MINUS_ONE, b"\x48\x05", b"R\x01x", b"R\x02xy", b"Z\x01b"]


def cut_off(fields: list[bytes], size: int) -> bytes:
    """A request with these fields, of which so many bytes are missing."""
    content = b"\x0a\x011\x12\x03GET\x22\x01/" + b"".join(fields)
    return field(HTTP, content[: len(content) - size])


@example([([b"*\x01a", b"R\x02xy"], 1), ([b"*\x01a", b"R\x02xZ", b"\x01b"], 0)])
@example([([b"*\x01a", b"R\x01x"], 0), ([b"*\x01a", b"R\x01x", b"R\x01y"], 0), ([b"*\x01a", b"R\x01x", b"Z\x01b"], 0)])
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(ALIKE), max_size=5, unique=True).map(sorted) | st.lists(st.sampled_from(ALIKE)),
            st.sampled_from([0, 0, 0, 1, 2]),
        ),
        max_size=5,
    )
)
def test_what_requests_before_on_a_connection_said_changes_nothing(requests: list[tuple[list[bytes], int]]) -> None:
    connection = Connection()
    for fields, size in requests:
        content = cut_off(fields, size)
        meant = same(content)
        if meant is not None:
            assert told(read(content, connection)) == meant
        else:
            with pytest.raises(DecodeError):
                read(content, connection)


def test_what_requests_say_alike_is_looked_at_once() -> None:
    connection = Connection()
    first, again = (read(cut_off([b"*\x01a", b"2\x04http", b"R\x01x"], 0), connection)[2] for _ in range(2))
    assert first is not None
    assert again is not None
    assert (again.host, again.scheme, again.size, again.protocol) == ("a", "http", 0, "x")
    assert connection._alike is not None
    large = Connection()
    read(cut_off([field(b"*", b"a" * 600), b"R\x01x"], 0), large)
    assert large._alike is None


NUMBERED = st.sampled_from([b"", b"1", b"17", b"\xc3\xa4", b"\xff", b"x" * 127, b"y" * 300])
USUALLY = [
    b"\x0a\x04\x08\x05\x10\x06",
    b"\x0a\x0217",
    b"\x12\x03GET",
    b"\x22\x02/a",
    b"*\x01a",
    b"2\x04http",
    b"R\x01x",
]
NO_TEXT = b"\x02/\xff"
OTHERS = [b"", b"\x0a\x04\x08\x05\x10\x07", b"\x12\x04POST", b"\x12\x03P\xc3\xa4", b"\x22\x03/!a", b"*\x01b", b"Z\x01b"]


@st.composite
def usual_requests(draw: st.DrawFn) -> bytes:
    """What Envoy sends of requests on one connection, in which more may differ than usually does."""
    time, *fields = [draw(st.sampled_from(OTHERS)) if draw(st.integers(0, 19)) == 0 else usual for usual in USUALLY]
    if draw(st.booleans()):
        fields[0], fields[2] = field(b"\x0a", draw(NUMBERED)), field(b"\x22", b"/" + draw(NUMBERED))
    lines = [(b"te", b"1"), (b"x-id", draw(NUMBERED)), (b"via", b"2"), (b"x-no", draw(NUMBERED))]
    entries = [field(b"\x0a", field(b"\x0a", name) + field(b"\x1a", value)) for name, value in lines]
    http = b"".join(fields) + field(b"\x6a", b"".join(entries))
    content = time + field(HTTP, http)
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=1)) + content[at + draw(st.integers(0, 1)) :]
    return content


def told_of(request: HttpRequest) -> object:
    """What a request at hand says, as its fields would."""
    target = request.raw_path + ("?" + request.raw_query if request.has_query else "")
    assert request.path == request.raw_path
    assert request.segments == tuple(request.path.strip("/").split("/") if request.path != "/" else ())
    assert request.body is None
    assert request.host == hosts.read(request.authority)
    said: dict[str, object] = {
        "body": "",
        "raw_body": b"",
        "headers": [],
        "header_map": None,
        "path": target,
        "host": request.authority,
    }
    return said | {name: getattr(request, name) for name in ("id", "method", "protocol", "scheme", "size")}


def told_with_headers(read: Callable[[], FieldsOrRequest]) -> object:
    """What is told, and the headers, which may be those that are usual; or how it is refused."""
    try:
        seconds, nanos, http = read()
    except (DecodeError, MalformedRequest) as refused:
        return str(refused) if isinstance(refused, MalformedRequest) else DecodeError
    if isinstance(http, HttpRequest):
        return (seconds, nanos, told_of(http)), dict(http.headers)
    told_ = told((seconds, nanos, http))
    if http is not None:
        try:  # of a request that is at hand it is looked at already
            targets.canonical(http.path.partition("?")[0], http.method, http.host)
        except MalformedRequest as refused:
            return str(refused)
    if http is None or (http.usual is None and http.header_map is None):
        return told_
    assert told_[2] is not None
    if http.usual is not None:
        assert http.header_map is None
        assert "!" not in http.path, "there the lines are looked at"
        return told_, dict(http.usual)
    try:
        headers = dict(header_entries.read(http.header_map or [], Form.RAW, Usual()))
    except (MalformedRequest, DecodeError):
        headers = {}
    told_[2]["header_map"] = None
    return told_, headers


def usual_http(number: int) -> bytes:
    lines = [(b"te", b"1"), (b"x-id", b"%d" % number), (b"via", b"2"), (b"x-no", b"%d" % number)]
    entries = [field(b"\x0a", field(b"\x0a", name) + field(b"\x1a", value)) for name, value in lines]
    return b"".join(USUALLY[1:]) + field(b"\x6a", b"".join(entries))


def read_and_learned(payload: bytes, start: int, end: int, connection: Connection) -> FieldsOrRequest:
    """What is read; the next request is compared with it."""
    fields = read_within(payload, start, end, connection)
    if isinstance(fields[2], HttpFields) and fields[2].header_map is not None:
        with suppress(MalformedRequest, DecodeError):
            header_entries.read(fields[2].header_map, Form.RAW, connection.headers)
    return fields


def used_connection() -> Connection:
    connection = Connection()
    for number in range(3):
        content = field(HTTP, usual_http(number))
        read_and_learned(content, 0, len(content), connection)
    return connection


@given(st.lists(usual_requests(), min_size=1, max_size=4))
def test_a_request_that_is_as_those_before_it_is_read_as_it_is_alone(contents: list[bytes]) -> None:
    connection = used_connection()
    for content in contents:
        payload, end = b"before" + content + b"behind", 6 + len(content)
        alone = told_with_headers(partial(read_within, content, 0, len(content), Connection()))
        assert told_with_headers(partial(read_and_learned, payload, 6, end, connection)) == alone


def assert_read_as_alone(content: bytes) -> None:
    """What is read on a connection that was used is what is read on a new one, refusals included."""
    alone = told_with_headers(partial(read_within, content, 0, len(content), Connection()))
    assert told_with_headers(partial(read_within, content, 0, len(content), used_connection())) == alone


@pytest.mark.parametrize("usual", range(len(USUALLY)))
def test_where_a_request_is_not_as_those_before_it_that_is_read(usual: int) -> None:
    for other in [*OTHERS, *(USUALLY[usual][:1] + NO_TEXT for _ in range(usual > 0))]:
        http = b"".join(other if at == usual else one for at, one in enumerate(USUALLY) if at)
        time = other if usual == 0 else USUALLY[0]
        for content in (
            time + field(HTTP, http + usual_http(4)[len(b"".join(USUALLY[1:])) :]),
            time + field(HTTP, http + usual_http(4)[len(b"".join(USUALLY[1:])) :] + b"Z\x01b"),
            time + field(HTTP, http + usual_http(4)[len(b"".join(USUALLY[1:])) :]) + b"\x12\x00",
        ):
            assert_read_as_alone(content)


def test_every_byte_of_a_request_is_looked_at() -> None:
    whole = USUALLY[0] + field(HTTP, usual_http(4))
    for at in range(len(whole)):
        for byte in (b"", b"\x01", bytes([whole[at] ^ 1]), bytes([whole[at] ^ 128]), bytes([whole[at] - 1 & 255])):
            content = whole[:at] + byte + whole[at + 1 :]
            assert_read_as_alone(content)


def test_the_fourth_request_of_a_connection_is_as_those_before_it() -> None:
    assert used_connection().as_before(usual_http(3), 0, len(usual_http(3)), frozenset()) is not None
    assert Connection().as_before(usual_http(3), 0, len(usual_http(3)), frozenset()) is None


@pytest.mark.parametrize("time", [b"\x08" + length(253_402_300_800), b"\x10" + length(1_000_000_000)])
def test_a_time_that_is_none_is_refused_wherever_it_comes(time: bytes) -> None:
    for connection in (used_connection(), Connection()):
        content = field(b"\x0a", time) + field(HTTP, usual_http(3))
        with pytest.raises(MalformedRequest, match="time"):
            read_within(content, 0, len(content), connection)


def test_there_is_no_http_of_a_tcp_connection() -> None:
    assert same(field(b"\x0a", b"\x08\x05\x10\x06")) == (5, 6, None)
    assert same(b"") == (0, 0, None)
