"""The Authorization header: the one token in it, sent as `Bearer` (RFC 6750) or as `DPoP` (RFC 9449).

The rule: a header that could be read as such a credential is one, or the request is refused.
"""

import re
from collections.abc import Mapping
from typing import get_args

from extauthz.errors import InvalidCredential, MalformedRequest
from extauthz.values.request import HttpRequest
from extauthz.values.schemes import Scheme

_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_LATER: Mapping[Scheme, re.Pattern[str]] = {
    scheme: re.compile(rf",[ \t]*{scheme}[ \t]", re.IGNORECASE) for scheme in get_args(Scheme)
}
_LOWER = {scheme: scheme.lower() for scheme in _LATER}
_KNOWN = frozenset(_LOWER.values())


def bearer(http: HttpRequest) -> str | None:
    """The bearer token of the Authorization header; `None` without the header and for other schemes.

    Raises `MalformedRequest` and `InvalidCredential`.
    """
    return credential(http, "Bearer")


def credential(http: HttpRequest, name: Scheme) -> str | None:
    """The token that the Authorization header sends by the scheme `name`; `None` without one and for other schemes.

    Raises `MalformedRequest` and `InvalidCredential`.
    """
    values = http.headers.get("authorization")
    if values is None:
        return None
    if len(values) != 1:
        raise MalformedRequest(f"authorization: sent {len(values)} times")
    value = values[0]
    scheme, _, token = value.partition(" ")
    sent, wanted = scheme.lower(), _LOWER[name]
    if sent == wanted:  # RFC 9110 section 11.4, RFC 6750 section 2.1, RFC 9449 section 7.1
        return token.lstrip(" ")
    if sent in _KNOWN and "," not in value:  # the other one, and it alone
        return None
    odd = _SCHEME.match(value)
    if odd is not None and odd[1].lower() == wanted:
        raise InvalidCredential(f"authorization: expected `{name}`, a blank and one token", oauth_error="invalid_token")
    # Envoy joins repeated headers with a comma; a reader that takes the last would see a token.
    if _LATER[name].search(value) is not None:
        raise MalformedRequest("authorization: two credentials in one header")
    return None
