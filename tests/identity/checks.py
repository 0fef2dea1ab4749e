"""Checks as `wire.decode` would hand them over."""

from collections.abc import Mapping, Sequence
from typing import Any

from identity.issuer import NOW

from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest, Peer, RequestView


def build_request(
    headers: Mapping[str, str | Sequence[str]] | None = None,
    *,
    principal: str = "",
    certificate: str = "",
    ip: str = "192.0.2.1",
    metadata: Mapping[str, Any] | None = None,
    **parts: Any,
) -> RequestView:
    """A GET of the shop; `parts` are other fields of its `HttpRequest`."""
    http = HttpRequest(
        **{
            "id": "1",
            "method": "GET",
            "scheme": "https",
            "host": "shop.example.com",
            "authority": "shop.example.com",
            "path": "/",
            "segments": (),
            "raw_path": "/",
            "raw_query": "",
            "protocol": "HTTP/2",
            **parts,
        },
        headers={name: (value,) if isinstance(value, str) else tuple(value) for name, value in (headers or {}).items()},
    )
    return RequestView(
        source=Peer(ip=ip, principal=principal, certificate=certificate), http=http, metadata=metadata or {}
    )


def identified(resolver: Resolver, request: RequestView, *, now: float = NOW) -> Identity:
    """Who makes the request, which is known without asking anybody."""
    known = resolver.identify(request, now=now)
    assert isinstance(known, Identity)
    return known
