"""What Envoy says of the request itself, from the bytes in which it says it.

The rule: what is read here is what protobuf makes of the same bytes (held by tests). A request that is laid out as most
are is read in one pass; protobuf reads all others, and says what is none.
"""

import re
from contextlib import suppress
from typing import Final

from extauthz._pb.extauthz.check_pb2 import Check
from extauthz.errors import MalformedRequest
from extauthz.values.headers import OneLineEach
from extauthz.values.native import i64
from extauthz.values.request import HttpRequest
from extauthz.wire import host as hosts
from extauthz.wire import path as targets
from extauthz.wire.header_entries import MOST_SAMPLES, Usual
from extauthz.wire.spans import OutOfOrder, span

# Tags of fields (Protocol Buffers, "Encoding"): the number, and wire type 2, or 0 of the three that are numbers.
_TIME: Final = 0x0A
_HTTP: Final = 0x12
_SECONDS: Final = 0x08
_NANOS: Final = 0x10
_ID: Final = 0x0A
_METHOD: Final = 0x12
_HEADER: Final = 0x1A
_PATH: Final = 0x22
_HOST: Final = 0x2A
_SCHEME: Final = 0x32
_SIZE: Final = 0x48
_PROTOCOL: Final = 0x52
_BODY: Final = 0x5A
_RAW_BODY: Final = 0x62
_HEADER_MAP: Final = 0x6A
_LINE: Final = 0x0A

_UNKNOWN_SIZE: Final = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""-1, which Envoy says where it does not know the size."""
_LARGEST_NANOS: Final = 0x7FFF_FFFF
# With the lengths of up to two bytes that are read here, but for what comes with a body.
_LONGEST_COMPARED: Final = 16_384

_LONGEST_ALIKE: Final = 512

# Methods are case-sensitive (RFC 9110 section 9.1), but not to every upstream: one spelling is let in.
_LET_IN: Final = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
# Of most requests it is one of these.
_USUAL_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
# What a timestamp of protobuf can say: the years 1 to 9999.
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
_BILLION: Final = 1_000_000_000


def is_method(text: str) -> bool:
    """Whether that is a method which is let in."""
    return text in _USUAL_METHODS or _LET_IN.match(text) is not None


class HttpFields:
    """The fields of `AttributeContext.HttpRequest` that are read, of their names.

    `headers` are the entries of the map, `header_map` those of the lines, `None` where there is no such message; or
    where it is as usual, and `usual` are the headers that it gives. `canonical_host` is empty if it was not looked at.
    """

    __slots__ = (
        "body",
        "canonical_host",
        "header_map",
        "headers",
        "host",
        "id",
        "method",
        "path",
        "protocol",
        "raw_body",
        "scheme",
        "size",
        "usual",
    )

    def __init__(self) -> None:
        self.id = ""
        self.method = ""
        self.headers: list[bytes] = []
        self.path = ""
        self.host = ""
        self.scheme = ""
        self.size = 0
        self.protocol = ""
        self.body = ""
        self.raw_body = b""
        self.header_map: list[bytes] | None = None
        self.usual: OneLineEach | None = None
        self.canonical_host = ""


class _Alike:
    """What requests on a connection say one behind the other, and most often alike: `content` are the bytes.

    `method` is that of the request they were first read of, if it is let in, else empty; `said` is how it is said.
    """

    __slots__ = ("canonical_host", "content", "host", "length", "method", "protocol", "said", "scheme", "size")

    def __init__(self, content: bytes, http: HttpFields, canonical_host: str) -> None:
        self.content: Final = content
        self.length: i64 = len(content)
        self.method = http.method if is_method(http.method) else ""
        self.said = self.method.encode()
        self.canonical_host = canonical_host
        self.host, self.scheme, self.size, self.protocol = http.host, http.scheme, http.size, http.protocol

    def method_said(self, said: bytes) -> str:
        """The method that a request says; empty if it is none that is let in."""
        if said == self.said:
            return self.method
        method = said.decode("latin-1")
        return method if is_method(method) else ""


def _say_alike(http: HttpFields, alike: _Alike) -> None:
    http.host, http.canonical_host = alike.host, alike.canonical_host
    http.scheme, http.size, http.protocol = alike.scheme, alike.size, alike.protocol


class Connection:
    """What is known of the requests on one connection: what their headers are like, and what else they say alike."""

    __slots__ = ("_alike", "headers")

    def __init__(self, most: int = MOST_SAMPLES, each: int = 1) -> None:
        """`most` and `each` are as in `Usual`."""
        self.headers = Usual(most, each)
        self._alike: _Alike | None = None

    def as_before(self, content: bytes, at: i64, end: i64, accept: frozenset[str]) -> HttpRequest | None:
        """The request from there to the end, if it is as one that was seen here, but for its id, method and target, and
        values of its headers, and its target is plain. `None` of any other; `IndexError` if it is cut off.

        Raises:
            MalformedRequest: as `wire.path.canonical`.
        """
        alike = self._alike
        if alike is None or content[at] != _ID:
            return None
        id_at, id_end = span(content, at)
        if content[id_end] != _METHOD:
            return None
        method_at, method_end = span(content, id_end)
        if content[method_end] != _PATH:
            return None
        path_at, path_end = span(content, method_end)
        mark = targets.query_mark(content, path_at, path_end)
        at = path_end + alike.length
        if mark < 0 or content[path_end:at] != alike.content or content[at] != _HEADER_MAP:
            return None
        start, at = span(content, at)
        method = alike.method_said(content[method_at:method_end])
        if at != end or not method:
            return None
        for pattern in self.headers.patterns:
            headers = pattern.headers_in(content, start, end)
            if headers is not None:
                # First, for a Check that is none is told before what its path is.
                id_ = content[id_at:id_end].decode()
                raw_path = content[path_at:mark].decode()
                path, segments = targets.canonical(raw_path, method, alike.host, accept)
                return HttpRequest(
                    id_,
                    method,
                    alike.scheme,
                    alike.canonical_host,
                    alike.host,
                    path,
                    segments,
                    raw_path,
                    content[mark + 1 : path_end].decode() if mark < path_end else "",
                    alike.protocol,
                    headers,
                    alike.size,
                    None,
                    mark < path_end,
                )
        return None

    def take_alike(self, http: HttpFields, content: bytes, at: i64) -> i64:
        """Take host, scheme, size and protocol if these fields are there as before; where they end, else `at`."""
        alike = self._alike
        if alike is None or content[at : at + alike.length] != alike.content:
            return at
        _say_alike(http, alike)
        return at + alike.length

    def keep_alike(self, http: HttpFields, content: bytes) -> None:
        """Compare requests to come with these fields, which were read."""
        if len(content) <= _LONGEST_ALIKE:
            with suppress(MalformedRequest):  # that one is refused where it is looked at
                self._alike = _Alike(content, http, hosts.read(http.host))


Fields = tuple[int, int, HttpFields | None]
"""Of `AttributeContext.Request`: seconds and nanoseconds of its time, and `http`."""
FieldsOrRequest = tuple[int, int, HttpFields | HttpRequest | None]
"""The same, or the request itself, without its body, where that is at hand."""


def read_within(
    payload: bytes, start: i64, end: i64, connection: Connection, accept: frozenset[str] = frozenset()
) -> FieldsOrRequest:
    """Those that are between there and there; of what is as it was before on the connection, the request.

    Raises:
        MalformedRequest: the time is out of range, or the path is malformed or ambiguous, as by `accept`.
        DecodeError: the bytes are none.
    """
    if end - start <= _LONGEST_COMPARED:
        try:
            seconds, nanos, at = _time(payload, start, end)
            if at < end and payload[at] == _HTTP and _is_time(seconds, nanos):
                at, http_end = span(payload, at)
                if http_end == end:
                    request = connection.as_before(payload, at, end, accept)
                    if request is not None:
                        return seconds, nanos, request
        except (OutOfOrder, IndexError, UnicodeDecodeError):
            pass
    seconds, nanos, http = read(payload[start:end], connection)
    if not _is_time(seconds, nanos):
        raise MalformedRequest("the time of the request is out of range", reason="malformed-check")
    return seconds, nanos, http


def _is_time(seconds: i64, nanos: i64) -> bool:
    return _FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanos < _BILLION


def read(content: bytes, connection: Connection) -> Fields:
    """The fields of `envoy.service.auth.v3.AttributeContext.Request`.

    Raises:
        DecodeError: the bytes are none.
    """
    try:
        return _in_order(content, connection)
    except (OutOfOrder, IndexError, UnicodeDecodeError):  # in any order; or cut off, or no text
        return _in_any_order(content)


def _in_order(content: bytes, connection: Connection) -> Fields:
    """The fields of a request that is laid out as most are: each once, behind those of a lower number."""
    size = len(content)
    seconds, nanos, at = _time(content, 0, size)
    if at == size:
        return seconds, nanos, None
    start, end = span(content, at)
    if content[at] != _HTTP or end != size:
        raise OutOfOrder
    return seconds, nanos, _http(content, start, connection)


def _time(content: bytes, at: i64, end: i64) -> tuple[i64, i64, i64]:
    """Its seconds and nanoseconds, none if it is not there, and where it ends."""
    seconds: i64 = 0
    nanos: i64 = 0
    if at < end and content[at] == _TIME:
        at, end = span(content, at)
        if at < end and content[at] == _SECONDS:
            seconds, at = _number(content, at + 1)
        if at < end and content[at] == _NANOS:
            nanos, at = _number(content, at + 1)
        if at != end or nanos > _LARGEST_NANOS:
            raise OutOfOrder
    return seconds, nanos, at


def _http(content: bytes, at: i64, connection: Connection) -> HttpFields:
    """The fields from there to the end."""
    http = HttpFields()
    size, before = len(content), 0
    host_at: i64 = 0
    while at < size:
        tag = content[at]
        if tag < before or tag == before != _HEADER:
            raise OutOfOrder
        before = tag
        if tag == _HOST:
            host_at = at
            if (at := connection.take_alike(http, content, at)) > host_at:
                before = _PROTOCOL
                continue
        if tag == _SIZE:
            http.size, at = _signed(content, at + 1)
            continue
        start, at = span(content, at)
        if at > size:
            raise OutOfOrder
        if tag == _HEADER_MAP and at == size:
            _take_map(http, content[start:], connection.headers)
        else:
            _take(http, tag, content[start:at])
        if tag == _PROTOCOL and host_at > 0:
            connection.keep_alike(http, content[host_at:at])
    return http


def _take_map(http: HttpFields, piece: bytes, usual: Usual) -> None:
    """Take the map of lines."""
    if "!" not in http.path:  # else the lines themselves are asked for
        http.usual = usual.known(piece, 0, len(piece))
    if http.usual is None:
        http.header_map = _lines(piece)


def _take(http: HttpFields, tag: int, piece: bytes) -> None:
    """Take what a field says, if it is one that is read."""
    if tag == _HEADER:
        http.headers.append(piece)
    elif tag == _RAW_BODY:
        http.raw_body = piece
    else:
        _take_text(http, tag, piece.decode())


def _take_text(http: HttpFields, tag: int, text: str) -> None:
    if tag == _ID:
        http.id = text
    elif tag == _METHOD:
        http.method = text
    elif tag == _PATH:
        http.path = text
    elif tag == _HOST:
        http.host = text
    elif tag == _SCHEME:
        http.scheme = text
    elif tag == _PROTOCOL:
        http.protocol = text
    elif tag == _BODY:
        http.body = text
    else:
        raise OutOfOrder


def _lines(piece: bytes) -> list[bytes]:
    """The entries of a map of lines, if there is nothing else in it."""
    lines: list[bytes] = []
    at: i64 = 0
    size: i64 = len(piece)
    while at < size:
        if piece[at] != _LINE:
            raise OutOfOrder
        start, at = span(piece, at)
        lines.append(piece[start:at])
    if at != size:
        raise OutOfOrder
    return lines


def _signed(content: bytes, at: i64) -> tuple[i64, i64]:
    """A size, and where it ends."""
    end = at + len(_UNKNOWN_SIZE)
    return (-1, end) if content[at:end] == _UNKNOWN_SIZE else _number(content, at)


def _number(content: bytes, at: i64) -> tuple[i64, i64]:
    """A number of up to five bytes, and where it ends."""
    value: i64 = 0
    shift: i64 = 0
    end = at + 5
    while at < end:
        byte: i64 = content[at]
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
    raise OutOfOrder


def _in_any_order(content: bytes) -> Fields:
    request = Check.Request.FromString(content)
    time = request.time
    if not request.HasField("http"):
        return time.seconds, time.nanos, None
    said, http = request.http, HttpFields()
    http.id = said.id
    http.method = said.method
    http.headers = said.headers[:]
    http.path = said.path
    http.host = said.host
    http.scheme = said.scheme
    http.size = said.size
    http.protocol = said.protocol
    http.body = said.body
    http.raw_body = said.raw_body
    http.header_map = said.header_map.headers[:] if said.HasField("header_map") else None
    return time.seconds, time.nanos, http
