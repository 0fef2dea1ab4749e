"""What each second factor is called where others read it, and which proofs of it a rule takes.

The rule: a proof is never worth more than what was shown. So what a rule can ask for beyond the factor, a user who was
verified or a class of authentication, is part of the word that a grant carries.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from extauthz.values.decisions import Factor, UserVerification

FACTOR_AMR: Final[Mapping[Factor, str]] = {
    "totp": "otp",
    "webauthn": "hwk",
    # RFC 8176 section 2 has no word for "the provider asked again" nor for printed codes: the nearest that are still
    # distinct, so that no factor passes for another.
    "oidc": "mfa",
    "recovery": "kba",
}
"""Factor of a rule to authentication method reference (RFC 8176 section 2), which grants carry."""

PRESENCE_AMR: Final = "user"
"""By `webauthn` without user verification: only that somebody was there (RFC 8176 section 2, "user")."""


def proven_amr(factor: Factor, *, acr: str | None, user_verified: bool = True) -> str:
    """What the grant of a proof says: `acr` is what a rule asked the provider for, `None` if it asked for nothing."""
    if factor == "webauthn" and not user_verified:
        return PRESENCE_AMR
    if factor == "oidc" and acr is not None:
        return f"{FACTOR_AMR[factor]} {acr}"
    return FACTOR_AMR[factor]


def accepted_amr(factors: Iterable[Factor], *, acr: str | None, user_verification: UserVerification) -> frozenset[str]:
    """What grants may say to meet a rule with these `factors`, `acr` and `user_verification`."""
    return frozenset(_accepted(factors, acr, user_verification))


def _accepted(factors: Iterable[Factor], acr: str | None, user_verification: UserVerification) -> Iterator[str]:
    for factor in factors:
        yield proven_amr(factor, acr=acr)
        if factor == "webauthn" and user_verification != "required":
            yield PRESENCE_AMR
