"""Which body of a request is known (design section 3, "What a condition sees").

The rule: a body is known only if somebody who can tell says so. Envoy says it of a body that it has buffered whole. Of
a request without one it says nothing, whether it would have buffered or not: the operator must, for the route. `size`
and `content-length` are evidence of a body, never of none.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.values.headers import Headers
from extauthz.wire.headers import PARTIAL_BODY

BUFFERED: Final = "extauthz.buffered"
"""The context extension by which a route says `true` or `false`."""

_WHOLE: Final = ("false",)
_EMPTY: Final = (None, ("0",))
_NONE: Final = ("",)


def known(
    method: str, text: str, raw: bytes, headers: Headers, context: Mapping[str, str], *, buffered: bool
) -> bytes | None:
    """The body if all of it is known, else `None`. `text` and `raw` are what came of it, in one of the two forms;
    `buffered` is for routes without a word of their own.
    """
    partial = headers.get(PARTIAL_BODY)
    if partial is None:
        if context[BUFFERED] != "true" if BUFFERED in context else not buffered:
            return None
        return None if raw or text or _may_follow(method, headers) else b""
    if partial != _WHOLE or (text and raw):  # Envoy sends one of the two
        return None
    # Without `pack_as_bytes` Envoy has put `!` for every byte that is no UTF-8: text with a `!` is not known to be
    # what the upstream reads.
    return None if "!" in text else raw or text.encode()


def _may_follow(method: str, headers: Headers) -> bool:
    """Whether bytes may follow that Envoy does not buffer on a route that buffers.

    It buffers nothing of an upgrade (RFC 9110 section 7.8), whose first bytes an upstream that knows none may read as a
    body; and what goes through a tunnel (section 9.3.6) is no body that ends. A length that is announced says that the
    route does not buffer after all, and so does a gRPC call, which always has a body: streams are not buffered, and
    anybody may call a request one.
    """
    return (
        method == "CONNECT"
        or "upgrade" in headers
        or "transfer-encoding" in headers
        or headers.get("content-length") not in _EMPTY
        or headers.get("content-type", _NONE)[0].lower().startswith("application/grpc")
    )
