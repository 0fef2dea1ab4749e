"""ID tokens (OpenID Connect Core section 2): whether the issuer signed these claims, and nothing more.

The rule: an access token is none, and what the claims mean for the flow that asked for them is for whoever asked.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from extauthz.errors import InvalidCredential
from extauthz.identity.compact import Unreadable, take_apart
from extauthz.identity.keys import KeySet
from extauthz.identity.signed import key_and_algorithm

# Not `at+jwt`: an access token for the same client would have the same `iss` and `aud`.
_TYPES: Final = frozenset({"jwt", "application/jwt"})


class UnknownKey(InvalidCredential):
    """None of the keys fits; the issuer may have newer ones."""


def id_token_claims(token: str, *, keys: KeySet, algorithms: Collection[str]) -> Mapping[str, Any]:
    """The claims of an ID token with a good signature by one of `keys`.

    Raises:
        UnknownKey: `kid` and `alg` fit none of the keys.
        InvalidCredential: it is no token, or the signature is wrong.
    """
    try:
        parts = take_apart(token)
    except Unreadable as error:
        raise InvalidCredential(f"id token: {error}") from None
    kid, algorithm = key_and_algorithm(parts, algorithms=algorithms, types=_TYPES)
    key = keys.find(kid, algorithm)
    if key is None:
        raise UnknownKey("id token: `kid` and `alg` fit no key of the issuer")
    if not key.verifies(parts.signature, parts.signing_input):
        raise InvalidCredential("id token: the signature is wrong")
    return parts.claims
