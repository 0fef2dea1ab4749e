"""CheckRequest bytes to a RequestView: the only place that reads what Envoy sends.

The rule: any bytes give a RequestView or MalformedRequest. `x-forwarded-uri`, `x-original-url` and their like are
never an input to method, host or path.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from extauthz._pb.envoy.config.core.v3.base_pb2 import Metadata
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.errors import MalformedRequest
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView
from extauthz.wire import headers as header_lines
from extauthz.wire import host as hosts
from extauthz.wire import path as targets
from extauthz.wire.swift import swift

_HttpRequest: Final = swift(HttpRequest)
_RequestView: Final = swift(RequestView)

# Methods are case-sensitive (RFC 9110 section 9.1), but not to every upstream: one spelling is let in.
_METHOD: Final = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+\Z")
_NONE: Final[frozenset[str]] = frozenset()
_BILLION: Final = 1_000_000_000
# What a timestamp of protobuf can say: the years 1 to 9999.
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799


def decode(payload: bytes, *, accept: frozenset[str] = _NONE) -> RequestView:
    """Read one CheckRequest. `accept` relaxes the canonical path, see `wire.path.ACCEPTABLE`.

    `http` is `None` in the check of a TCP connection.

    Raises:
        MalformedRequest: the bytes are no CheckRequest, or the request is malformed or ambiguous.
    """
    try:
        attributes = CheckRequest.FromString(payload).attributes
    except DecodeError:
        raise MalformedRequest("the bytes are no CheckRequest", reason="malformed-check") from None
    request = attributes.request
    context = attributes.context_extensions
    return _RequestView(
        source=_peer(attributes.source),
        destination=_peer(attributes.destination),
        http=_http(request.http, accept) if request.HasField("http") else None,
        time=_time(request),
        sni=attributes.tls_session.sni,
        context=dict(context) if context else EMPTY,
        metadata=_metadata(attributes.metadata_context) if attributes.HasField("metadata_context") else EMPTY,
    )


def _peer(peer: AttributeContext.Peer) -> Peer:
    address = peer.address.socket_address
    return _peer_value(address.address, address.port_value, peer.principal, peer.certificate)


@lru_cache(maxsize=1024)
def _peer_value(ip: str, port: int, principal: str, certificate: str) -> Peer:
    """One value for the many Checks of one connection."""
    return Peer(ip=ip, port=port, principal=principal, certificate=certificate)


def _time(request: AttributeContext.Request) -> tuple[int, int]:
    time = request.time
    seconds, nanos = time.seconds, time.nanos
    if not (_FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanos < _BILLION):
        raise MalformedRequest("the time of the request is out of range", reason="malformed-check")
    return seconds, nanos


def _http(http: AttributeContext.HttpRequest, accept: frozenset[str]) -> HttpRequest:
    method, authority = http.method, http.host
    if _METHOD.match(method) is None:
        raise MalformedRequest("the method is no upper-case token", reason="malformed-method")
    host = hosts.read(authority)
    path, segments, raw_path, raw_query = targets.read(http.path, method, authority, accept)
    headers = (
        header_lines.from_raw(http.header_map.headers)
        if http.HasField("header_map")
        else header_lines.from_map(http.headers)
    )
    if (sent := headers.get("host")) is not None and hosts.read(sent[0]) != host:
        raise MalformedRequest("`host` and `:authority` name different hosts", reason="malformed-host")
    return _HttpRequest(
        id=http.id,
        method=method,
        scheme=http.scheme,
        host=host,
        authority=authority,
        path=path,
        segments=segments,
        raw_path=raw_path,
        raw_query=raw_query,
        protocol=http.protocol,
        headers=headers,
        size=http.size,
        body=_body(http) if headers.get("x-envoy-auth-partial-body") == ("false",) else None,
        has_query="?" in http.path,
    )


def _body(http: AttributeContext.HttpRequest) -> bytes | None:
    """The whole body, which Envoy says it has buffered.

    Without `pack_as_bytes` it comes as text in which Envoy has put `!` for every byte that is no UTF-8: text with a
    `!` is not known to be what the upstream reads.
    """
    text = http.body
    if not text:
        return http.raw_body
    return None if "!" in text else text.encode()


def _metadata(context: Metadata) -> Mapping[str, object]:
    return {name: _struct(content) for name, content in context.filter_metadata.items()}


def _struct(struct: Struct) -> dict[str, object]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Value) -> object:
    """A Struct's value as plain Python; numbers are floats. Nesting is bounded by protobuf's parser."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return _list(value.list_value)
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _list(values: ListValue) -> list[object]:
    return [_value(value) for value in values.values]
