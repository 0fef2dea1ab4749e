"""The blocks of the effects as they are written: what an `allow` changes, how a `deny` answers, what a `challenge` and
an `approve` ask for.

The rule kept here: an empty list is an error, never "everything".
"""

from typing import Annotated, Literal

from pydantic import Field

from extauthz.policy.field_types import (
    MAPPING,
    TEXT,
    TEXT_OR_MAPPING,
    AppendedHeaders,
    Block,
    BoundHeader,
    Cel,
    Duration,
    HeaderName,
    Headers,
    HeaderValue,
    Key,
    MetadataKey,
    OwnWord,
    Status,
    Uses,
)
from extauthz.values.approvals import Stance
from extauthz.values.decisions import Factor, UserVerification


class AllowBlock(Block):
    """What an allow changes: names to CEL values."""

    headers: Headers | None = None
    append_headers: AppendedHeaders | None = None
    remove_headers: Annotated[list[HeaderName], Field(min_length=1)] | None = None
    response_headers: Headers | None = None
    append_response_headers: AppendedHeaders | None = None
    query: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
    remove_query: Annotated[list[Key], Field(min_length=1)] | None = None
    metadata: Annotated[dict[MetadataKey, Cel], Field(min_length=1)] | None = None


class Bound(Block):
    """`bind: {scope: [CEL, …]}`: the rule, with these values; `{request: [name, …]}`: this request, with these headers
    beside those that always count."""

    scope: Annotated[list[Cel], Field(min_length=1)] | None = None
    request: Annotated[list[BoundHeader], Field(min_length=1)] | None = None


Bind = Annotated[Annotated[Literal["session", "action", "request"], TEXT] | Annotated[Bound, MAPPING], TEXT_OR_MAPPING]


class Computed(Block):
    """`{cel: …}` where a text may stand too: the value of an expression."""

    cel: Cel


HeaderText = Annotated[Annotated[HeaderValue, TEXT] | Annotated[Computed, MAPPING], TEXT_OR_MAPPING]
BodyText = Annotated[
    Annotated[Annotated[str, Field(max_length=65536)], TEXT] | Annotated[Computed, MAPPING], TEXT_OR_MAPPING
]


class DenyBlock(Block):
    """How a deny answers: in plain text, or with what `{cel: …}` makes of the request."""

    status: Status = 403
    reason: OwnWord = "denied"
    headers: Annotated[dict[HeaderName, HeaderText], Field(min_length=1)] | None = None
    body: BodyText = ""


class ChallengeBlock(Block):
    """Which proof a challenge asks for, how old it may be, and what it is good for."""

    factors: Annotated[list[Factor], Field(min_length=1)]
    acr: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    max_age: Duration = 300.0
    bind: Bind = "action"
    user_verification: UserVerification = "preferred"
    accept_token: bool = False
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None


class Approvers(Block):
    """Who may answer, and which fresh proof of themselves they need for it."""

    groups: Annotated[list[Key], Field(min_length=1)] | None = None
    subjects: Annotated[list[Key], Field(min_length=1)] | None = None
    when: Cel | None = None
    factors: Annotated[list[Factor], Field(min_length=1)] | None = None
    max_age: Duration = 300.0


class AutoModel(Block):
    """An answer that needs nobody, where `when` is true."""

    when: Cel
    answer: Stance
    reason: OwnWord | None = None


class EscalationModel(Block):
    """Who is asked, too, after a time."""

    after: Duration
    groups: Annotated[list[Key], Field(min_length=1)] | None = None
    subjects: Annotated[list[Key], Field(min_length=1)] | None = None


class BreakGlassModel(Block):
    """Which callers may go through without an approval, after which fresh proof, and for how long; `issuer` is whose
    tokens say the groups."""

    groups: Annotated[list[Key], Field(min_length=1)]
    issuer: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    factors: Annotated[list[Factor], Field(min_length=1)]
    max_age: Duration = 300.0
    valid_for: Duration = 900.0


class ApproveBlock(Block):
    """Who approves, how many, what an approval is good for, and how long everything lasts."""

    approvers: Approvers
    min: Annotated[int, Field(ge=1, le=100)] = 1
    deny_min: Annotated[int, Field(ge=1, le=100)] = 1
    expires_in: Duration = 900.0
    valid_for: Duration = 300.0
    uses: Uses = 1
    hold: Duration | None = None
    bind: Bind = "action"
    auto: Annotated[list[AutoModel], Field(min_length=1)] | None = None
    escalate: Annotated[list[EscalationModel], Field(min_length=1)] | None = None
    reason: Literal["required", "optional"] = "optional"
    break_glass: BreakGlassModel | None = None
    cooldown: Duration | None = None
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
