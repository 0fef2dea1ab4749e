"""The `stepup:` block of extauthz.yaml: the factors that need to know more than a user and a code.

The rule: what is not configured is not offered; what could meet no challenge is refused when it is loaded.
"""

from typing import Annotated

from pydantic import AfterValidator

from extauthz.lookup.oidc_config import OidcSettings, provider_of
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.stepup.relying_party import RelyingParty
from extauthz.values.block import Block
from extauthz.values.decisions import Factor


def _one_for_each_issuer(providers: tuple[OidcSettings, ...]) -> tuple[OidcSettings, ...]:
    provider_of(providers)
    return providers


class StepUpSettings(Block):
    """The factors that need more than a user and a code."""

    webauthn: RelyingParty | None = None
    """As whom security keys and passkeys are asked for. Without it no rule can ask for `webauthn`."""
    oidc: Annotated[tuple[OidcSettings, ...], AfterValidator(_one_for_each_issuer)] = ()
    """The providers at which users log in again. Without any no rule can ask for `oidc`."""

    @property
    def factors(self) -> frozenset[Factor]:
        """The factors that somebody can prove under these settings."""
        unset: set[Factor] = set()
        if self.webauthn is None:
            unset.add("webauthn")
        if not self.oidc:
            unset.add("oidc")
        return frozenset(FACTOR_AMR) - unset
