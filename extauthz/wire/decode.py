"""CheckRequest bytes to a RequestView: the only place that reads what Envoy sends.

The rule: any bytes give a RequestView or MalformedRequest. `x-forwarded-uri`, `x-original-url` and their like are
never an input to method, host or path.
"""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

from google.protobuf.message import DecodeError

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.extauthz.check_pb2 import Check, Pieces
from extauthz.errors import MalformedRequest
from extauthz.values.headers import Headers
from extauthz.values.native import i64
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView
from extauthz.wire import body as bodies
from extauthz.wire import header_entries, request_fields
from extauthz.wire import host as hosts
from extauthz.wire import path as targets
from extauthz.wire.fragments import field
from extauthz.wire.header_entries import Form, Usual
from extauthz.wire.header_pattern import is_telling
from extauthz.wire.metadata import metadata_of, metadata_of_route
from extauthz.wire.peers import both_peers
from extauthz.wire.reading import STRICT, Reading
from extauthz.wire.request_fields import Connection, HttpFields, is_method
from extauthz.wire.size import LARGEST, LARGEST_BESIDE, is_too_large
from extauthz.wire.spans import OutOfOrder, span

# Larger than a request's headers are anywhere: a bound on what one Check may cost.
_LONGEST_TARGET: Final = 65_536
_LARGEST_PEER: Final = 65_536
_LARGEST_KEPT_PEER: Final = 8_192
_LARGEST_KEPT_ROUTE: Final = 2_048
_MOST_CONNECTIONS: Final = 512
_MOST_ROUTES: Final = 256
_MOST_KINDS: Final = 8
"""Numbers of headers for which it is known what first requests look like."""
_EACH: Final = 16
"""Of so many that look like none before, one is learnt from: those of clients of all kinds come in turns."""
_MOST_EXTENSIONS: Final = 1_024

# The fields that come first, and that Envoy always sends. Tags of wire type 2.
_SOURCE: Final = 0x0A
_DESTINATION: Final = 0x12
_REQUEST: Final = 0x22
_NAMES_IN_FRONT: Final = ("source", "destination", "request")
# Those behind: `context_extensions`, an entry each, `metadata_context`, `tls_session`, `route_metadata_context`.
_BEHIND: Final = b"\x52\x5a\x62\x6a"
_EXTENSION, _METADATA, _TLS_SESSION, _ROUTE_METADATA = _BEHIND


class _Route:
    """What comes behind the request, most often the same: context extensions, metadata of filters, SNI, metadata of the
    route. `rest` are its bytes.
    """

    __slots__ = ("context", "metadata", "rest", "route_metadata", "size", "sni", "tells_buffered")

    def __init__(
        self,
        rest: bytes,
        context: Mapping[str, str],
        metadata: Mapping[str, Any],
        sni: str,
        route_metadata: Mapping[str, Any],
    ) -> None:
        self.rest, self.size = rest, len(rest)
        self.context = context
        self.tells_buffered = bodies.BUFFERED in context
        self.metadata = metadata
        self.sni = sni
        self.route_metadata = route_metadata


class _Ends:
    """Both ends of a connection, and what is known of its requests: `route` is that of the last one.

    Most connections in some places bring one request. So the first is compared with the first ones of the others, and
    nothing is learnt of its connection.
    """

    __slots__ = ("_connection", "destination", "route", "source")

    def __init__(self, source: Peer, destination: Peer) -> None:
        self.source = source
        self.destination = destination
        self.route = _NOWHERE
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """What the next request is compared with."""
        connection = self._connection
        if connection is None:
            self._connection = connection = _first_requests
        elif connection is _first_requests:
            self._connection = connection = Connection()
        return connection


_NOWHERE: Final = _Route(b"", EMPTY, EMPTY, "", EMPTY)
_connections: Final[dict[bytes, _Ends]] = {}
"""The last ones that began, by what is said of their ends. Held while one is added: `_beginning`."""
_beginning: Final = Lock()
_first_requests: Final = Connection(most=_MOST_KINDS, each=_EACH)
"""What the first requests of connections are compared with, as if they came on one."""
_routes: Final[dict[bytes, _Route]] = {}
"""Those that say nothing of a single request, by their bytes."""


def decode(payload: bytes, reading: Reading = STRICT) -> RequestView:
    """Read one CheckRequest. `http` is `None` in the check of a TCP connection.

    Raises:
        MalformedRequest: the bytes are no CheckRequest, or the request is malformed or ambiguous.
    """
    if len(payload) > LARGEST_BESIDE and is_too_large(payload):
        raise MalformedRequest(
            f"the Check is larger than {LARGEST} bytes, or than {LARGEST_BESIDE} beside its body",
            reason="malformed-check",
        )
    try:
        try:
            head_end, start, end = _in_front(payload)
            head = payload[3:head_end]
        except (OutOfOrder, IndexError):  # IndexError: cut off
            head, content, rest = _in_pieces(payload)
            payload, start, end = content + rest, 0, len(content)
        # A memory of bounded count must also be one of bounded bytes.
        ends: _Ends = _kept_ends(head) if len(head) <= _LARGEST_KEPT_PEER else _large_ends(head)
        connection, route = ends.connection(), ends.route
        if route.size != len(payload) - end or not payload.endswith(route.rest):
            route = _route(payload[end:], ends)
        seconds, nanos, said = request_fields.read_within(payload, start, end, connection, reading.accept)
        http: HttpRequest | None = None
        if isinstance(said, HttpRequest):
            http = said
            if reading.buffered or route.tells_buffered or is_telling(http.headers):
                http = _whole(http, "", b"", route, reading)
        elif said is not None:
            http = _whole(_http(said, reading, connection.headers), said.body, said.raw_body, route, reading)
        return RequestView(
            ends.source,
            ends.destination,
            http,
            (seconds, nanos),
            route.sni,
            route.context,
            route.metadata,
            route.route_metadata,
            reading.messages,
        )
    except DecodeError:
        raise MalformedRequest("the bytes are no CheckRequest", reason="malformed-check") from None


def _in_front(payload: bytes) -> tuple[i64, i64, i64]:
    """Where the two ends of the connection end, and where the content of the request begins and ends, of a Check that
    is laid out as most are: attributes alone, their fields in the order of their numbers, and lengths of up to two
    bytes (Protocol Buffers, "Encoding").
    """
    size: i64 = len(payload)
    if not (
        130 < size < 16_387 and payload[0] == 10 and payload[1] > 127 and payload[2] * 128 + payload[1] == size + 125
    ):
        raise OutOfOrder
    _, destination = span(payload, 3)
    _, request = span(payload, destination)
    start, end = span(payload, request)
    if end > size or payload[3] != _SOURCE or payload[destination] != _DESTINATION or payload[request] != _REQUEST:
        raise OutOfOrder
    return request, start, end


def _in_pieces(payload: bytes) -> tuple[bytes, bytes, bytes]:
    """The ends, the content of the request, and what is behind it, of a Check that is laid out in any way, if no two
    readers can put it together differently.
    """
    attributes = Pieces.Attributes.FromString(_only(Pieces.FromString(payload).attributes, "attributes"))
    head = field(1, _only(attributes.source, "source")) + field(2, _only(attributes.destination, "destination"))
    request = _only(attributes.request, "request")
    for name in _NAMES_IN_FRONT:
        attributes.ClearField(name)
    return head, request, attributes.SerializeToString()


def _only(pieces: Sequence[bytes], name: str) -> bytes:
    """The one that is there, or nothing."""
    if len(pieces) > 1:
        raise _twice(name)
    return pieces[0] if pieces else b""


def _twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"the Check has its {name} more than once", reason="malformed-check")


def _large_ends(head: bytes) -> _Ends:
    if len(head) > _LARGEST_PEER:
        raise MalformedRequest(
            f"what is said of the connection is larger than {_LARGEST_PEER} bytes", reason="malformed-check"
        )
    return _ends(head)


def _ends(head: bytes) -> _Ends:
    """Both ends, and what is known of the requests."""
    source, destination = both_peers(head)
    return _Ends(source, destination)


def _kept_ends(head: bytes) -> _Ends:
    """Both ends, once for the many Checks of a connection."""
    ends = _connections.get(head)
    if ends is None:
        ends = _ends(head)
        with _beginning:
            while len(_connections) >= _MOST_CONNECTIONS:
                del _connections[next(iter(_connections))]  # the oldest
            _connections[head] = ends
    return ends


def _route(rest: bytes, ends: _Ends) -> _Route:
    """What comes behind the request where it is not what it was in the last one of the connection."""
    known = _routes.get(rest)
    if known is None:
        return _behind(rest)
    ends.route = known
    return known


def _behind(rest: bytes) -> _Route:
    parts = _in_order(rest) or _in_any_order(rest)
    metadata, route_metadata = parts.get(_METADATA, b""), parts.get(_ROUTE_METADATA, b"")
    tls_session = parts.get(_TLS_SESSION, b"")
    if len(tls_session) > _LARGEST_PEER:
        raise MalformedRequest(f"the TLS session is larger than {_LARGEST_PEER} bytes", reason="malformed-check")
    route = _Route(
        rest,
        _context(Check.Extensions.FromString(rest).context_extensions) if _EXTENSION in parts else EMPTY,
        metadata_of(metadata) if metadata else EMPTY,
        AttributeContext.TLSSession.FromString(tls_session).sni if tls_session else "",
        metadata_of_route(route_metadata) if route_metadata else EMPTY,
    )
    # What filters noted is of one request, and may be secret.
    if not metadata and len(rest) <= _LARGEST_KEPT_ROUTE:
        if len(_routes) >= _MOST_ROUTES:
            _routes.clear()
        _routes[rest] = route
    return route


def _in_order(rest: bytes) -> dict[int, bytes] | None:
    """The parts by their tags, of extensions one of them; `None` if they are not as most writers have them: each behind
    one of a lower number, but for extensions, and with a length of up to two bytes. None is there twice then.
    """
    parts: dict[int, bytes] = {}
    at: i64 = 0
    before, size = 0, len(rest)
    try:
        while at < size:
            tag = rest[at]
            if tag not in _BEHIND or tag < before or tag == before != _EXTENSION:
                return None
            start, at = span(rest, at)
            parts[tag], before = rest[start:at], tag
    except IndexError:  # cut off
        return None
    return parts if at == size else None


def _in_any_order(rest: bytes) -> dict[int, bytes]:
    attributes = Pieces.Attributes.FromString(rest)
    for name in _NAMES_IN_FRONT:
        if getattr(attributes, name):  # it was in front already
            raise _twice(name)
    parts = {
        _METADATA: _only(attributes.metadata_context, "metadata_context"),
        _TLS_SESSION: _only(attributes.tls_session, "tls_session"),
        _ROUTE_METADATA: _only(attributes.route_metadata_context, "route_metadata_context"),
    }
    return parts | dict.fromkeys([_EXTENSION] if attributes.context_extensions else [], b"")


def _context(extensions: Mapping[str, str]) -> Mapping[str, str]:
    if len(extensions) > _MOST_EXTENSIONS:
        raise MalformedRequest("the route has too many context extensions", reason="malformed-check")
    return {name: extensions[name] for name in extensions}  # `dict` asks a map of protobuf by way of Python


def _http(http: HttpFields, reading: Reading, usual: Usual) -> HttpRequest:
    """The request, without its body."""
    method, authority, target = http.method, http.host, http.path
    if len(target) > _LONGEST_TARGET:
        raise MalformedRequest(f"the target is longer than {_LONGEST_TARGET} characters", reason="malformed-path")
    if http.usual is None and "!" in target:  # what is usual has none
        _refuse_replaced(http, target)
    raw_path, mark, raw_query = target.partition("?")
    if mark:
        targets.check_query(raw_path, raw_query)
    if not is_method(method):
        raise MalformedRequest("the method is no upper-case token", reason="malformed-method")
    host = http.canonical_host or hosts.read(authority)
    path, segments = targets.canonical(raw_path, method, authority, reading.accept)
    return HttpRequest(
        http.id,
        method,
        http.scheme,
        host,
        authority,
        path,
        segments,
        raw_path,
        raw_query,
        http.protocol,
        _headers(http, usual),
        http.size,
        None,
        mark != "",
    )


def _whole(request: HttpRequest, text: str, raw: bytes, route: _Route, reading: Reading) -> HttpRequest:
    """The request with its body, if that is known, where its headers name no other host; `text` and `raw` are what came
    of the body, in one of the two forms.
    """
    headers = request.headers
    if "host" in headers and hosts.read(headers["host"][0]) != request.host:
        raise MalformedRequest("`host` and `:authority` name different hosts", reason="malformed-host")
    body = bodies.known(request.method, text, raw, headers, route.context, buffered=reading.buffered)
    return request if body is None else request.with_body(body)


def _headers(http: HttpFields, usual: Usual) -> Headers:
    lines = http.header_map
    if http.headers and (lines is not None or http.usual is not None):
        # Envoy sends one of the two forms; of both, nobody knows which one the upstream gets.
        raise MalformedRequest("the headers came in both forms", reason="malformed-check")
    if http.usual is not None:
        return http.usual
    if lines is not None:
        return header_entries.read(lines, Form.RAW, usual)
    http.headers.sort()  # the entries of a map come in any order, and in another one each time
    return header_entries.read(http.headers, Form.JOINED, usual)


def _refuse_replaced(http: HttpFields, target: str) -> None:
    """Refuse a target of which a `!` may be one that Envoy wrote for a byte that is no UTF-8.

    HTTP/2 carries such bytes, and the upstream gets them as they came. The raw form of the headers has them, too.
    """
    lines = map(HeaderValue.FromString, http.header_map or ())
    if [line.raw_value for line in lines if line.key == ":path"] != [target.encode()]:
        raise MalformedRequest(
            "a `!` of the target may stand for a byte that is no UTF-8; set `encode_raw_headers: true` in Envoy",
            reason="malformed-path",
        )
