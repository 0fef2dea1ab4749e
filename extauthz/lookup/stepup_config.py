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
    """`webauthn` is as whom security keys and passkeys are asked for, `oidc` are the providers that log users in."""

    webauthn: RelyingParty | None = None
    oidc: Annotated[tuple[OidcSettings, ...], AfterValidator(_one_for_each_issuer)] = ()

    @property
    def factors(self) -> frozenset[Factor]:
        """The factors that somebody can prove under these settings."""
        unset: set[Factor] = set()
        if self.webauthn is None:
            unset.add("webauthn")
        if not self.oidc:
            unset.add("oidc")
        return frozenset(FACTOR_AMR) - unset
