"""The Authorization header: the one bearer credential in it.

The rule: a header that could be read as a bearer credential is one, or the request is refused.
"""

import re

from extauthz.errors import InvalidCredential, MalformedRequest
from extauthz.values.request import HttpRequest

_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_LATER_BEARER = re.compile(r",[ \t]*bearer[ \t]", re.IGNORECASE)


def bearer(http: HttpRequest) -> str | None:
    """The bearer token of the Authorization header; `None` without the header and for other schemes.

    Raises `MalformedRequest` and `InvalidCredential`.
    """
    values = http.headers.get("authorization")
    if values is None:
        return None
    if len(values) != 1:
        raise MalformedRequest(f"authorization: sent {len(values)} times")
    value = values[0]
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "bearer":  # RFC 9110 section 11.4, RFC 6750 section 2.1
        return token.lstrip(" ")
    odd = _SCHEME.match(value)
    if odd is not None and odd[1].lower() == "bearer":
        raise InvalidCredential("authorization: expected `Bearer`, a blank and one token")
    # Envoy joins repeated headers with a comma; a reader that takes the last would see a token.
    if _LATER_BEARER.search(value) is not None:
        raise MalformedRequest("authorization: two credentials in one header")
    return None
