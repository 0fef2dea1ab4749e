"""Checks as `wire.decode` would hand them over."""

from collections.abc import Mapping, Sequence
from typing import Any

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
