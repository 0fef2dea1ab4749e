"""The `approvals:` block of extauthz.yaml, put together from the blocks of those who act on them.

The rule kept here: what belongs to one part is checked in that part; here is only what concerns several.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from extauthz.approval.config import PersonsSettings
from extauthz.approval.schedule_config import SchedulesSettings
from extauthz.approval.telling.config import EmailSettings, Webhooks
from extauthz.check.holding_config import HoldingSettings
from extauthz.identity.approver_config import ApproverTokensSettings
from extauthz.lookup.approver_login_config import ApproverLoginSettings
from extauthz.policy.field_types import Duration
from extauthz.stepup.relying_party import RelyingParty, https_origin
from extauthz.values.block import Block, Count, distinct
from extauthz.values.decisions import Factor

_LEAST_KEEP: Final = 3600.0


def _keep(seconds: float) -> float:
    if seconds < _LEAST_KEEP:
        raise ValueError("shorter than an hour, and a break-glass would be forgotten unseen; write `30d`")
    return seconds


class ApprovalsSettings(Block):
    """Who approves, how they come, and how they are told."""

    persons: PersonsSettings = PersonsSettings()
    """How people are known as the same person, whoever has issued their token."""
    claims: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], AfterValidator(distinct)] = ()
    """The claims of approvers that `approvers.when` may read. They are kept with every vote."""
    url: Annotated[str, AfterValidator(https_origin)] | None = None
    """The origin of the approvers' pages, as browsers see it. Without it there are no pages."""
    login: ApproverLoginSettings | None = None
    """The provider at which approvers log in to the pages."""
    tokens: ApproverTokensSettings | None = None
    """The tokens of approvers for the HTTP and gRPC APIs. Without them there are no APIs: everybody answers on the
    pages."""
    schedules: SchedulesSettings = Field(default_factory=dict)
    """Who is on call when, by the name that rules write as `on-call:NAME`."""
    holding: HoldingSettings = HoldingSettings()
    """How many calls may wait for an answer."""
    most_open: Annotated[Count, Field(ge=1, le=10_000)] = 50
    """How many approvals of one subject may be pending. What is more is denied, so that nobody floods the approvers."""
    keep: Annotated[Duration, AfterValidator(_keep)] = 30 * 86_400.0
    """How long an approval is kept after it is over, at least `1h`. A break-glass must be seen before it ends."""
    webhooks: Webhooks = ()
    """Programs and chats that are told of approvals."""
    email: EmailSettings | None = None
    """By which mail server, and to whom, mails about approvals are sent."""

    @property
    def issuer(self) -> str | None:
        """The one issuer of approvers, `None` where there is none."""
        return next((one.issuer for one in (self.login, self.tokens) if one is not None), None)

    def audiences_of(self, issuer: str) -> Iterator[tuple[str, frozenset[str]]]:
        """For whom tokens of this issuer are that approvers use, and the setting that says so."""
        if self.login is not None and self.login.issuer == issuer:
            yield "approvals.login", frozenset({self.login.client_id})
        if self.tokens is not None and self.tokens.issuer == issuer:
            yield "approvals.tokens", frozenset(self.tokens.audiences)

    def factors(self, relying_party: RelyingParty | None) -> frozenset[Factor]:
        """The factors that approvers can prove: on the pages, and by codes and tokens of the APIs."""
        provable: set[Factor] = set()
        if self.url is not None:
            provable |= {"totp", "recovery"}
            if relying_party is not None and self.url in relying_party.origins:
                provable.add("webauthn")
            if self.login is not None:
                provable.add("oidc")
        if self.tokens is not None:
            provable.add("totp")
            said = {} if self.tokens.proofs is None else self.tokens.proofs.amr
            provable |= {factor for factors in said.values() for factor in factors}
        return frozenset(provable)

    @model_validator(mode="after")
    def _leads_to_pages(self) -> Self:
        if self.url is None and (self.webhooks or self.email is not None):
            raise ValueError("who is told must be led to the pages; write `url: https://approvals.example.com`")
        if self.url is None and self.login is not None:
            raise ValueError("nobody can log in without pages; write `url: https://approvals.example.com`")
        return self

    @model_validator(mode="after")
    def _has_one_issuer(self) -> Self:
        login, tokens = self.login, self.tokens
        if login is not None and tokens is not None:
            if login.issuer != tokens.issuer:
                raise ValueError(
                    f"approvers would be of two issuers, `{login.issuer}` and `{tokens.issuer}`; write one of them in"
                    " `login` and in `tokens`"
                )
            if login.client_id in tokens.audiences:
                raise ValueError(
                    f"`tokens.audiences` has `{login.client_id}`, for which ID tokens of the login are; an audience of "
                    "its own keeps them from being votes"
                )
        return self
