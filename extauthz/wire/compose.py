"""CheckRequest bytes as Envoy would send them, from plain values: for policy tests and for asking by hand."""

from collections.abc import Mapping
from typing import Any

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.values.request import EMPTY, Peer

_PARTIAL = "x-envoy-auth-partial-body"
NOBODY = Peer()


def check_request(
    *,
    host: str,
    method: str = "GET",
    path: str = "/",
    scheme: str = "https",
    protocol: str = "HTTP/2",
    headers: Mapping[str, str | list[str]] = EMPTY,
    body: bytes | None = None,
    truncated: bool = False,
    raw_headers: bool = False,
    source_ip: str = "",
    source_port: int = 0,
    principal: str = "",
    certificate: str = "",
    destination: Peer = NOBODY,
    context: Mapping[str, str] = EMPTY,
    metadata: Mapping[str, Mapping[str, Any]] = EMPTY,
    route_metadata: Mapping[str, Mapping[str, Any]] = EMPTY,
    sni: str = "",
    time: tuple[int, int] = (0, 0),
    id: str = "",  # noqa: A002  the field's name in every layer
) -> bytes:
    """The check of an HTTP request.

    `path` holds the query. A list in `headers` is a header that was sent as several lines; Envoy joins them with
    commas, or (`raw_headers`) keeps them apart. `body` is what Envoy has buffered, `None` where it buffers nothing;
    `truncated` says that there was more of it. `principal` is the verified identity of the peer, `time` seconds and
    nanoseconds since the epoch.
    """
    check = _connection(
        source=Peer(ip=source_ip, port=source_port, principal=principal, certificate=certificate),
        destination=destination,
        context=context,
        metadata=metadata,
        route_metadata=route_metadata,
        sni=sni,
    )
    request = check.attributes.request
    request.time.seconds, request.time.nanos = time
    http = request.http
    http.id, http.method, http.path, http.host = id, method, path, host
    http.scheme, http.protocol, http.size = scheme, protocol, -1
    lines = [(":authority", host), (":method", method), (":path", path), (":scheme", scheme)]
    for name, sent in headers.items():
        lines.extend((name.lower(), value) for value in ([sent] if isinstance(sent, str) else sent))
    # Envoy strips the client's own copy of the header that it sets itself.
    lines = [line for line in lines if line[0] != _PARTIAL]
    if body is not None:
        http.raw_body = body
        lines.append((_PARTIAL, "true" if truncated else "false"))
    _add_headers(http, lines, raw=raw_headers)
    return check.SerializeToString(deterministic=True)


def tcp_check_request(
    *,
    source_ip: str = "",
    source_port: int = 0,
    principal: str = "",
    destination: Peer = NOBODY,
    context: Mapping[str, str] = EMPTY,
    sni: str = "",
) -> bytes:
    """The check of a TCP connection."""
    check = _connection(
        source=Peer(ip=source_ip, port=source_port, principal=principal),
        destination=destination,
        context=context,
        metadata=EMPTY,
        route_metadata=EMPTY,
        sni=sni,
    )
    return check.SerializeToString(deterministic=True)


def _connection(
    *,
    source: Peer,
    destination: Peer,
    context: Mapping[str, str],
    metadata: Mapping[str, Mapping[str, Any]],
    route_metadata: Mapping[str, Mapping[str, Any]],
    sni: str,
) -> CheckRequest:
    check = CheckRequest()
    attributes = check.attributes
    attributes.SetInParent()
    _set_peer(attributes.source, source)
    _set_peer(attributes.destination, destination)
    attributes.context_extensions.update(context)
    for name, content in metadata.items():
        attributes.metadata_context.filter_metadata[name].update(content)
    for name, content in route_metadata.items():
        attributes.route_metadata_context.filter_metadata[name].update(content)
    if sni:
        attributes.tls_session.sni = sni
    return check


def _set_peer(message: AttributeContext.Peer, peer: Peer) -> None:
    if peer.ip:
        address = message.address.socket_address
        address.address, address.port_value = peer.ip, peer.port
    message.principal, message.certificate = peer.principal, peer.certificate


def _add_headers(http: AttributeContext.HttpRequest, lines: list[tuple[str, str]], *, raw: bool) -> None:
    for name, value in lines:
        if raw:
            http.header_map.headers.append(HeaderValue(key=name, raw_value=value.encode()))
        else:
            known = http.headers.get(name)
            http.headers[name] = value if known is None else f"{known},{value}"
