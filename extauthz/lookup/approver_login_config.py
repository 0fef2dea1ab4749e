"""The `approvals.login:` block of extauthz.yaml: where approvers log in, and what is taken of it.

The rule: there is one provider of approvers, and its groups alone count.
"""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from extauthz.identity.user_config import JwtSource, Text
from extauthz.lookup.oidc_config import OidcSettings
from extauthz.values.duration import at_most, seconds

_LEAST_SESSION: Final = 60.0


def _session(given: float) -> float:
    if given < _LEAST_SESSION:
        raise ValueError("shorter than a minute; write `1h`")
    return given


class ApproverLoginSettings(OidcSettings):
    """The approvers' provider, as `stepup.oidc` has one."""

    groups_claim: Text = "groups"
    """The claim of the ID token that holds the approver's groups, a list of texts."""
    session: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("24h")), AfterValidator(_session)] = (
        3600.0
    )
    """How long a login is good, from `1m` to `24h`. So long somebody keeps groups that the provider has taken away."""

    @model_validator(mode="after")
    def _knows_its_own_people(self) -> Self:
        if self.subjects:
            raise ValueError("`subjects` is for users of other issuers, and approvers are of this one; remove it")
        return self

    @property
    def source(self) -> JwtSource:
        """What the claims of its ID tokens are read as."""
        return JwtSource(
            name="approvals.login",
            issuer=self.issuer,
            audiences=(self.client_id,),
            discovery="openid",
            groups_claim=self.groups_claim,
        )
