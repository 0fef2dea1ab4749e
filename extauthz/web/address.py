"""The address of the browser, as the limiter of wrong codes sees it.

The rule is that of `identity.address`: count from the right. Here Envoy itself is the peer, so that its own word, if it
appends one to X-Forwarded-For, is what stands rightmost.
"""

from starlette.requests import Request

from extauthz.identity.address import canonical
from extauthz.identity.config import ClientSettings


def browser_address(request: Request, settings: ClientSettings) -> str:
    """The browser's address in canonical text, empty if Envoy does not tell it."""
    index = settings.trusted_hops + (1 if settings.xff == "appended" else 0)
    entries = ",".join(request.headers.getlist("x-forwarded-for")).rsplit(",", index)
    return canonical(entries[-index].strip(" \t")) if 0 < index <= len(entries) else ""
