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
    """Headers that the request gets, by name, in place of what the client sent: CEL of type string. A name that some
    obeyed rule sets never comes through from a client."""
    append_headers: AppendedHeaders | None = None
    """Lines that headers of the request get behind those of the client, by name: CEL of type string or list(string).
    Services must not take them for who somebody is."""
    remove_headers: Annotated[list[HeaderName], Field(min_length=1)] | None = None
    """Headers that are taken out of the request."""
    response_headers: Headers | None = None
    """Headers that the service's response gets, by name, in place of its own: CEL of type string."""
    append_response_headers: AppendedHeaders | None = None
    """Lines that headers of the service's response get beside its own, by name, say `set-cookie`: CEL of type string or
    list(string)."""
    query: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
    """Parameters that the query gets, by name, in place of all that have it: CEL of type string."""
    remove_query: Annotated[list[Key], Field(min_length=1)] | None = None
    """Parameters that are taken out of the query, all of a name."""
    metadata: Annotated[dict[MetadataKey, Cel], Field(min_length=1)] | None = None
    """Dynamic metadata that Envoy gets beside those of extauthz, by name, say for its access log: CEL of any type that
    JSON has; timestamps and durations become text."""


class Bound(Block):
    """`bind: {scope: [CEL, …]}`: the rule, with these values; `{request: [name, …]}`: this request, with these headers
    beside those that always count."""

    scope: Annotated[list[Cel], Field(min_length=1)] | None = None
    """CEL values that must be the same as when it was given. Types count: `1`, `1.0` and `"1"` are three values."""
    request: Annotated[list[BoundHeader], Field(min_length=1)] | None = None
    """Headers of the request, by name, that must be the same as well. """


Bind = Annotated[Annotated[Literal["session", "action", "request"], TEXT] | Annotated[Bound, MAPPING], TEXT_OR_MAPPING]


class Computed(Block):
    """`{cel: …}` where a text may stand too: the value of an expression."""

    cel: Cel
    """CEL of type string. Where it errs, what it was for is left out."""


HeaderText = Annotated[Annotated[HeaderValue, TEXT] | Annotated[Computed, MAPPING], TEXT_OR_MAPPING]
BodyText = Annotated[
    Annotated[Annotated[str, Field(max_length=65536)], TEXT] | Annotated[Computed, MAPPING], TEXT_OR_MAPPING
]


class DenyBlock(Block):
    """How a deny answers: in plain text, or with what `{cel: …}` makes of the request."""

    status: Status = 403
    """The HTTP status of the answer."""
    reason: OwnWord = "denied"
    """A word for why, in answers and records: lower-case words joined by `-`, none that extauthz uses itself."""
    headers: Annotated[dict[HeaderName, HeaderText], Field(min_length=1)] | None = None
    """Headers of the answer by name: plain text, or `{cel: …}`."""
    body: BodyText = ""
    """The body of the answer: plain text of at most 65,536 characters, or `{cel: …}`. Without it callers get the form
    that they accept."""


class ChallengeBlock(Block):
    """Which proof a challenge asks for, how old it may be, and what it is good for."""

    factors: Annotated[list[Factor], Field(min_length=1)]
    """The factors by which it is met: any one of them is enough."""
    acr: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The class of authentication that a proof by `oidc` is asked for at the provider, and that a token must have for
    `accept_token`. Any without it."""
    max_age: Duration = 300.0
    """How old the proof may be when it is used."""
    bind: Bind = "action"
    """What the proof is good for: `session` is every challenge that says so, in that session; `action` is this rule;
    `{scope: …}` is this rule with these values; `request` is this very request, once, and `{request: …}` with these
    headers."""
    user_verification: UserVerification = "preferred"
    """Whether a proof by `webauthn` needs an authenticator that knows its user, by PIN or biometrics: it must
    (`required`), does so where it can (`preferred`), or is not asked to (`discouraged`)."""
    accept_token: bool = False
    """Whether the caller's own token meets it, where it tells of an authentication by one of `factors` within
    `max_age`. What its words mean, the configuration says. Not beside `bind: request`."""
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
    """What the page of the challenge shows, by name: CEL of any type."""


class Approvers(Block):
    """Who may answer, and which fresh proof of themselves they need for it."""

    groups: Annotated[list[Key], Field(min_length=1)] | None = None
    """Groups of the approvers' issuer: members of any one may answer. `on-call:NAME` is whoever is on call by that
    schedule when they answer."""
    subjects: Annotated[list[Key], Field(min_length=1)] | None = None
    """Who may answer beside the groups, by their `sub` at the approvers' issuer."""
    when: Cel | None = None
    """CEL of type bool that approvers must meet as well, also those of `escalate`; without groups and subjects it alone
    says who may answer. It sees `approver`, `approval` and definitions, nothing else of the request. Where it errs, it
    takes nobody."""
    factors: Annotated[list[Factor], Field(min_length=1)] | None = None
    """Which factors an approver must have proven to answer: any one is enough. None is needed without it."""
    max_age: Duration = 300.0
    """How old that proof may be. Only beside `factors`."""


class AutoModel(Block):
    """An answer that needs nobody, where `when` is true."""

    when: Cel
    """CEL of type bool, which sees what `when` of the rule sees. Where it errs, it answers nothing; and where a
    denial's errs, the rule approves nothing either."""
    answer: Stance
    """`approve`: nobody needs to be asked. `deny`: the request is denied, whatever people or other conditions have
    approved."""
    reason: OwnWord | None = None
    """A word for why, in records and answers: lower-case words joined by `-`. `auto-approved` or `auto-denied` without
    it."""


class EscalationModel(Block):
    """Who is asked, too, after a time."""

    after: Duration
    """How long an approval has been pending by then: longer than at the step before, and less than `expires_in`."""
    groups: Annotated[list[Key], Field(min_length=1)] | None = None
    """Groups whose members may answer from then on, too, written as in `approvers`."""
    subjects: Annotated[list[Key], Field(min_length=1)] | None = None
    """Who may answer from then on, too, by `sub`."""


class BreakGlassModel(Block):
    """Which callers may go through without an approval, after which fresh proof, and for how long."""

    groups: Annotated[list[Key], Field(min_length=1)]
    """Groups of the caller's own token: members of any one may."""
    issuer: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """The issuer whose tokens say the groups. Without it the approvers' issuer if users are of that, else the only one
    of users."""
    factors: Annotated[list[Factor], Field(min_length=1)]
    """Which factors the caller must prove, for this alone: any one is enough."""
    max_age: Duration = 300.0
    """How old that proof may be when the glass is broken."""
    valid_for: Duration = 900.0
    """How long it is good from then on."""


class ApproveBlock(Block):
    """Who approves, how many, what an approval is good for, and how long everything lasts."""

    approvers: Approvers
    """Who may answer: whoever is in `groups` or `subjects` and meets `when`. One of the three must be there."""
    min: Annotated[int, Field(ge=1, le=100)] = 1
    """How many distinct persons must approve."""
    deny_min: Annotated[int, Field(ge=1, le=100)] = 1
    """How many distinct persons must deny for it to be denied."""
    expires_in: Duration = 900.0
    """How long it can be answered from when it was asked for."""
    valid_for: Duration = 300.0
    """How long it is good from when it was given."""
    uses: Uses = 1
    """How many requests it is good for while it lasts, up to 1,000, or `unlimited`. One alone with `bind: request`."""
    hold: Duration | None = None
    """How long the call itself waits for the answer, at most `5m` and no longer than `expires_in`. Without it the
    caller is answered at once, and asks again."""
    bind: Bind = "action"
    """What it is good for: `session` is every approve that says so, in that session; `action` is this rule; `{scope:
    …}` is this rule with these values; `request` is this very request, once, and `{request: …}` with these headers."""
    auto: Annotated[list[AutoModel], Field(min_length=1)] | None = None
    """Conditions that answer in the place of people, each time that the rule is asked."""
    escalate: Annotated[list[EscalationModel], Field(min_length=1)] | None = None
    """Who is asked, too, as long as it is pending: steps in the order of their times."""
    reason: Literal["required", "optional"] = "optional"
    """Whether approvers must say why."""
    break_glass: BreakGlassModel | None = None
    """Who may go through without an approval. It is flagged wherever it is told, for somebody to review. Nobody without
    it."""
    cooldown: Duration | None = None
    """How long what was denied stays denied for who asked and what it is bound to, also in other sessions; so does what
    they withdraw after somebody has voted against it. Without it the same can be asked for again at once."""
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
    """What approvers see of the request, by name: CEL of any type. At most 16,384 characters in all, or the request is
    denied."""
