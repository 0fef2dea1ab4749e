"""What each second factor is called where others read it."""

from collections.abc import Mapping
from typing import Final

from extauthz.values.decisions import Factor

FACTOR_AMR: Final[Mapping[Factor, str]] = {
    "totp": "otp",
    "webauthn": "hwk",
    # RFC 8176 section 2 has no word for "the provider asked again" nor for printed codes: the nearest that are still
    # distinct, so that no factor passes for another.
    "oidc": "mfa",
    "recovery": "kba",
}
"""Factor of a rule to authentication method reference (RFC 8176 section 2), which grants carry."""

AVAILABLE: Final[frozenset[Factor]] = frozenset({"totp"})
"""The factors that can be proven in this version: a challenge that takes none of them can't be met."""
