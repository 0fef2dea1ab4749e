"""What the header of a signed token may say (RFC 7515 section 4, RFC 8725 section 3).

The rule: the header chooses a key and an algorithm among those that are configured, and asks for nothing else.
"""

from collections.abc import Collection

from extauthz.errors import InvalidCredential
from extauthz.identity.compact import CompactToken


def key_and_algorithm(
    token: CompactToken, *, algorithms: Collection[str], types: Collection[str]
) -> tuple[str | None, str]:
    """The `kid` (`None` without one) and the `alg` of a token; `types` are what its `typ` may be, in lower case.

    Raises `InvalidCredential` for every other algorithm or type, and for extensions: none is understood here.
    """
    header = token.header
    # RFC 7515 section 4.1.11; RFC 7797 section 6: `b64` would be an extension, too.
    for name in ("crit", "b64"):
        if name in header:
            raise InvalidCredential(f"token: header `{name}` is not understood")
    # RFC 8725 section 3.11: a token that was made for something else is not taken for one of these.
    if "typ" in header and (not isinstance(header["typ"], str) or header["typ"].lower() not in types):
        raise InvalidCredential("token: `typ` is not one that is accepted here")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidCredential("token: `alg` is not one of those that are configured")
    kid = header.get("kid")
    if not isinstance(kid, str) and "kid" in header:
        raise InvalidCredential("token: `kid` is no text")
    return kid, algorithm
