"""What a CheckRequest says, after `wire.decode` has refused everything that two readers could read differently.

The rule kept here: they are values, which nobody changes. They are compiled because one of each is made for every
Check, and read by all that is compiled. What represents them shows nothing of them: a request may hold secrets.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Protocol

from extauthz.values.headers import Headers

EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


def empty() -> Mapping[str, Any]:
    """`EMPTY` as a default: Python 3.11 takes a mapping proxy for a mutable one (it has no hash there)."""
    return EMPTY


class Messages(Protocol):
    """The types of the messages of gRPC calls, as the operator described them."""

    def read(self, path: tuple[str, ...], body: bytes) -> Mapping[str, Any]:
        """The message that `body` holds in a call of the method that `path` names, as CEL values.

        Raises:
            EvalError: there is none, not one alone, or none of the type that the method takes.
        """


class Peer:
    """One end of the connection.

    `principal` is the identity that Envoy verified in the certificate of that end (the URI SAN if there is one),
    empty over plaintext. `certificate` is what Envoy copied from the handshake (URL-encoded PEM), else empty.
    """

    def __init__(self, ip: str = "", port: int = 0, principal: str = "", certificate: str = "") -> None:
        self.ip: Final = ip
        self.port: Final = port
        self.principal: Final = principal
        self.certificate: Final = certificate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peer) and self._fields() == other._fields()

    def _fields(self) -> tuple[object, ...]:
        return self.ip, self.port, self.principal, self.certificate


_NOBODY: Final = Peer()


class HttpRequest:
    """The `http` part of a Check, in one canonical reading (design section 3, canonical path).

    `method` is upper case as sent; `host` is lower case without port and without one trailing dot, `authority` as
    sent. `path` is canonical: split at `/`, each segment percent-decoded once, `segments` the same as a tuple ("/" is
    the empty tuple, one trailing slash is ignored there). `raw_path` and `raw_query` are the bytes as sent before and
    after the first `?`, `has_query` is whether there is one: `/x` and `/x?` are two targets. `headers` maps lower-
    case names to every value that was sent, in order; pseudo headers are not among them. `body` is `None` unless the
    whole body is known. `size` is Envoy's figure, -1 if unknown.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - its name
        method: str,
        scheme: str,
        host: str,
        authority: str,
        path: str,
        segments: tuple[str, ...],
        raw_path: str,
        raw_query: str,
        protocol: str,
        headers: Headers,
        size: int = -1,
        body: bytes | None = None,
        has_query: bool = False,
    ) -> None:
        self.id: Final = id
        self.method: Final = method
        self.scheme: Final = scheme
        self.host: Final = host
        self.authority: Final = authority
        self.path: Final = path
        self.segments: Final = segments
        self.raw_path: Final = raw_path
        self.raw_query: Final = raw_query
        self.protocol: Final = protocol
        self.headers: Final = headers
        self.size: Final = size
        self.body: Final = body
        self.has_query: Final = has_query

    def with_body(self, body: bytes) -> "HttpRequest":
        """The same, of which the body is known."""
        return HttpRequest(
            self.id,
            self.method,
            self.scheme,
            self.host,
            self.authority,
            self.path,
            self.segments,
            self.raw_path,
            self.raw_query,
            self.protocol,
            self.headers,
            self.size,
            body,
            self.has_query,
        )

    def header(self, name: str) -> str | None:
        """The only value of the header with this lower-case name, `None` if it is absent or sent more than once."""
        values = self.headers.get(name)
        return values[0] if values is not None and len(values) == 1 else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpRequest) and self._fields() == other._fields()

    def _fields(self) -> tuple[object, ...]:
        return (
            *(self.id, self.method, self.scheme, self.host, self.authority, self.path, self.segments, self.raw_path),
            *(self.raw_query, self.protocol, self.headers, self.size, self.body, self.has_query),
        )


class RequestView:
    """One Check: both peers, what the filter was told, and `http` unless it is a TCP check.

    `time` is when Envoy saw the request: seconds and nanoseconds since the epoch, (0, 0) if it did not say. `metadata`
    is what filters before noted about this request, `route_metadata` what the operator wrote at its route; both by
    namespace. `messages` reads bodies of gRPC calls, `None` if nobody has described any.
    """

    def __init__(
        self,
        source: Peer = _NOBODY,
        destination: Peer = _NOBODY,
        http: HttpRequest | None = None,
        time: tuple[int, int] = (0, 0),
        sni: str = "",
        context: Mapping[str, str] = EMPTY,
        metadata: Mapping[str, Any] = EMPTY,
        route_metadata: Mapping[str, Any] = EMPTY,
        messages: Messages | None = None,
    ) -> None:
        self.source: Final = source
        self.destination: Final = destination
        self.http: Final = http
        self.time: Final = time
        self.sni: Final = sni
        self.context: Final = context
        self.metadata: Final = metadata
        self.route_metadata: Final = route_metadata
        self.messages: Final = messages

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestView) and self._fields() == other._fields()

    def _fields(self) -> tuple[object, ...]:
        return (
            *(self.source, self.destination, self.http, self.time, self.sni, self.context, self.metadata),
            *(self.route_metadata, self.messages),
        )


class Glimpse:
    """What was seen of a request that can't be read: as it was sent, cut short, and good for nothing but finding it.

    `path` ends where a query, a parameter or a fragment may begin.
    """

    def __init__(self, *, id: str, method: str, host: str, path: str, source_ip: str) -> None:  # noqa: A002 - its name
        self.id: Final = id
        self.method: Final = method
        self.host: Final = host
        self.path: Final = path
        self.source_ip: Final = source_ip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Glimpse) and self._fields() == other._fields()

    def _fields(self) -> tuple[object, ...]:
        return self.id, self.method, self.host, self.path, self.source_ip


class Caller(Enum):
    """Who reads the answer: decides the form of a refusal or a challenge (design section 4)."""

    NAVIGATION = "navigation"
    FORM_POST = "form-post"
    API = "api"
    GRPC = "grpc"
    PREFLIGHT = "preflight"
    TCP = "tcp"
