"""What Envoy says of the request itself, from the bytes in which it says it.

The rule: what is read here is what protobuf makes of the same bytes (held by tests). A request that is laid out as most
are is read in one pass; protobuf reads all others, and says what is none.
"""

from typing import Final

from extauthz._pb.extauthz.check_pb2 import Check
from extauthz.values.headers import OneLineEach
from extauthz.wire.header_entries import Usual
from extauthz.wire.spans import span

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


class HttpFields:
    """The fields of `AttributeContext.HttpRequest` that are read, of their names.

    `headers` are the entries of the map, `header_map` those of the lines, `None` where there is no such message; or
    where it is as usual, and `usual` are the headers that it gives.
    """

    __slots__ = (
        "body",
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


Fields = tuple[int, int, HttpFields | None]
"""Of `AttributeContext.Request`: seconds and nanoseconds of its time, and `http`."""


def read(content: bytes, usual: Usual) -> Fields:
    """The fields of `envoy.service.auth.v3.AttributeContext.Request`.

    Raises:
        DecodeError: the bytes are none.
    """
    try:
        fields = _in_order(content, usual)
    except (IndexError, UnicodeDecodeError):  # cut off, or no text
        fields = None
    return _in_any_order(content) if fields is None else fields


def _in_order(content: bytes, usual: Usual) -> Fields | None:
    """The fields of a request that is laid out as most are: each once, behind those of a lower number."""
    size, at = len(content), 0
    seconds = nanos = 0
    if size and content[0] == _TIME:
        at, end = span(content, 0)
        if at < end and content[at] == _SECONDS:
            seconds, at = _number(content, at + 1)
        if at < end and content[at] == _NANOS:
            nanos, at = _number(content, at + 1)
        if at != end or nanos > _LARGEST_NANOS:
            return None
    if at == size:
        return seconds, nanos, None
    start, end = span(content, at)
    if content[at] != _HTTP or end != size:
        return None
    http = _http(content, start, usual)
    return None if http is None else (seconds, nanos, http)


def _http(content: bytes, at: int, usual: Usual) -> HttpFields | None:
    """The fields from there to the end."""
    http = HttpFields()
    size, before = len(content), 0
    while at < size:
        tag = content[at]
        if tag < before or tag == before != _HEADER:
            return None
        before = tag
        if tag == _SIZE:
            http.size, at = _signed(content, at + 1)
            continue
        start, at = span(content, at)
        if tag == _HEADER:
            http.headers.append(content[start:at])
        elif tag == _RAW_BODY:
            http.raw_body = content[start:at]
        elif tag != _HEADER_MAP:
            if not _take_text(http, tag, content[start:at].decode()):
                return None
        # Of a target with a `!` the lines themselves are asked for.
        elif at != size or "!" in http.path or (headers := usual.known(content, start)) is None:
            http.header_map = _lines(content[start:at])
            if http.header_map is None:
                return None
        else:
            http.usual = headers
    return http if at == size else None


def _take_text(http: HttpFields, tag: int, text: str) -> bool:
    """Take what a field says; whether it is one that is read."""
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
        return False
    return True


def _lines(piece: bytes) -> list[bytes] | None:
    """The entries of a map of lines, if there is nothing else in it."""
    lines: list[bytes] = []
    at, size = 0, len(piece)
    while at < size:
        if piece[at] != _LINE:
            return None
        start, at = span(piece, at)
        lines.append(piece[start:at])
    return lines if at == size else None


def _signed(content: bytes, at: int) -> tuple[int, int]:
    """A size, and where it ends; an end behind the content if it is not what Envoy says."""
    end = at + len(_UNKNOWN_SIZE)
    if content[at:end] == _UNKNOWN_SIZE:
        return -1, end
    value, end = _number(content, at)
    return value, end if value >= 0 else len(content) + 1


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number of up to five bytes, and where it ends; -1 for one that has more, and where it begins."""
    value = shift = 0
    for place in range(at, at + 5):
        byte = content[place]
        value += (byte & 127) << shift
        if byte < 128:
            return value, place + 1
        shift += 7
    return -1, at


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
