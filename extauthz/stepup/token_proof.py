"""Tokens that suffice: whether what a token says of its own user's authentication already meets a challenge.

The rule: a token proves what its issuer's words were configured to mean, and nothing else. What it does not say, or
nobody has said the meaning of, proves nothing.
"""

from collections.abc import Collection

from extauthz.values.decisions import Factor, UserVerification
from extauthz.values.identity import User


def suffices(
    user: User,
    *,
    factors: Collection[Factor],
    acr: str | None,
    user_verification: UserVerification,
    max_age: float,
    now: float,
) -> bool:
    """Whether the token of `user` meets a rule that accepts tokens; the arguments are the rule's own.

    `max_age` in seconds, `now` in seconds since the epoch. That `auth_time` is not in the future was checked with the
    token, with the leeway of its issuer.
    """
    # OpenID Connect Core section 3.1.2.1, RFC 9470 section 4: how old the authentication is, not the token.
    if user.auth_time is None or now - user.auth_time >= max_age:
        return False
    if acr is not None and acr not in user.proven_acr:
        return False
    proven = set(user.proven_factors)
    if acr is not None:
        proven.add("oidc")  # its own provider vouches for the class that was asked for
    if user_verification == "required":
        proven.discard("webauthn")  # `amr` has no word for a user who was verified by the very key
    return not proven.isdisjoint(factors)
