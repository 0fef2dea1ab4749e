"""The `approvals.tokens:` block of extauthz.yaml: by which tokens people answer approvals through the APIs.

The rule: these tokens are for nothing else. An audience of their own keeps tokens of applications and ID tokens of
logins from being votes.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Self

from pydantic import model_validator

from extauthz.identity.user_config import DpopMode, JwtSource

SOURCE: Final = "approvals.tokens"
"""The name of the source of these tokens."""


class ApproverTokensSettings(JwtSource):
    """Tokens of the approvers' issuer, as a source of users is written: `issuer`, `audiences`, `jwks` or `discovery`,
    `algorithms`, `groups_claim`, `leeway`.

    `proofs` says which second factors its authentication methods are: a vote that needs a fresh one may rest on the
    `auth_time` of such a token. Without it no token proves a factor, and none ever proves `webauthn`: for a vote the
    key must have verified its user, which `amr` has no word for.
    """

    foreign: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("name", "from", "dpop"), "is for sources of users; these come as `Bearer`, and to the APIs alone; remove it"
    )

    name: str = SOURCE
    """Its name in logs; it can't be set."""
    dpop: DpopMode = "off"
    """Approvers' tokens come as `Bearer`; it can't be set."""

    @model_validator(mode="after")
    def _proves_what_votes_take(self) -> Self:
        for word, factors in ({} if self.proofs is None else self.proofs.amr).items():
            if "webauthn" in factors:
                raise ValueError(
                    f"`proofs.amr` says that `{word}` is `webauthn`, but a token can't say that the key has verified"
                    " its user, which a vote asks for; remove it, and let them prove the key on the page"
                )
        return self
