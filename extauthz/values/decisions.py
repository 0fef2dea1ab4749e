"""The four answers, and what led to them. A closed union: match it exhaustively and end in `assert_never`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from extauthz.errors import STATUS, OAuthError, Reason
from extauthz.values.approvals import Approver, Requesters, Stance
from extauthz.values.assessment import Assessment
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.request import EMPTY, empty

Effect = Literal["allow", "deny", "challenge", "approve"]
Mode = Literal["enforce", "shadow"]
Outcome = Literal["match", "no-match", "error"]
Factor = Literal["totp", "webauthn", "oidc", "recovery"]
UserVerification = Literal["required", "preferred", "discouraged"]
"""Whether an authenticator must know its user, by PIN or biometrics, or only that somebody touched it."""


class Mutations(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What matching allows change in the request and in the response of the upstream. Names are lower case.

    A header that is set takes the place of what is there; what is appended comes behind it.
    """

    headers: Mapping[str, str] = EMPTY
    append_headers: Mapping[str, tuple[str, ...]] = EMPTY
    remove_headers: frozenset[str] = frozenset()
    response_headers: Mapping[str, str] = EMPTY
    append_response_headers: Mapping[str, tuple[str, ...]] = EMPTY
    query: Mapping[str, str] = EMPTY
    remove_query: frozenset[str] = frozenset()
    metadata: Mapping[str, Any] = EMPTY


NO_MUTATIONS = Mutations()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeDemand:
    """One `challenge` rule that matches and is not met.

    Any one of `factors` meets it; the grant that it leaves is good for `binding` during `max_age` seconds, `uses`
    times (`None`: as often as wanted). `user_verification` is what a proof by `webauthn` needs, `acr` one by `oidc`.
    `show` is what the page displays, `description` the rule's own words.
    """

    rule: str
    factors: tuple[Factor, ...]
    max_age: float
    binding: str
    uses: int | None = None
    acr: str | None = None
    user_verification: UserVerification = "preferred"
    description: str = ""
    show: Mapping[str, str] = field(default_factory=empty)


class BreakGlassOffer(msgspec.Struct, frozen=True, kw_only=True):
    """How this caller may go through without an approval, with a reason: after a fresh proof of `demand`.

    `by` is the caller, with the groups of their token. `proof` is the grant of that proof, once it was given; it is
    used up before anything is opened. The grant that is left is good for `valid_for` seconds.
    """

    by: Approver
    demand: ChallengeDemand
    valid_for: float
    proof: Grant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDemand:
    """One `approve` rule that matches and is not met. Durations in seconds.

    `bind` is the kind of the `binding`; the approval and its grant are for `subject`, `session` (empty where there is
    none) and `requesters`. `hold` is how long the call may wait, 0 for not at all. `why` is the rule's condition,
    `description` its own words, `show` what approvers see. `break_glass` is there for who may do that.
    """

    rule: str
    binding: str
    min: int
    expires_in: float
    hold: float
    bind: str
    subject: Subject
    session: str
    requesters: Requesters
    description: str = ""
    why: str = ""
    show: Mapping[str, str] = field(default_factory=empty)
    break_glass: BreakGlassOffer | None = None


class AutoAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `auto` of an approve rule has answered, and its word for why."""

    rule: str
    answer: Stance
    reason: str


class Allow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Let it through with these mutations; `grants` are what the decision rests on and are used up together.

    `auto` are the approvals that nobody had to be asked for.
    """

    rule: str
    reason: Reason = "allowed"
    mutations: Mutations = NO_MUTATIONS
    grants: tuple[Grant, ...] = ()
    auto: tuple[AutoAnswer, ...] = ()


class Deny(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Block it. `status` is the HTTP status; `rule` is `None` where no rule decided (`no-rule-allows`, refusals).

    `reason` is a rule's own word, or one of `errors.Reason`: such a denial is made by `denial`. `oauth_error` is what
    was wrong with the token of the Authorization header, where that is why. `retry_after` are the seconds for which
    what was denied by people stays denied.
    """

    reason: str
    rule: str | None = None
    status: int = 403
    headers: Mapping[str, str] = EMPTY
    body: str = ""
    oauth_error: OAuthError | None = None
    retry_after: float | None = None


def denial(reason: Reason, *, rule: str | None = None, status: int | None = None) -> Deny:
    """The denial that is no rule's own; `status` is the reason's unless it is said."""
    return Deny(reason=reason, rule=rule, status=STATUS[reason] if status is None else status)


ProofFailure = Literal["wrong-code", "code-used", "not-enrolled", "factor-not-accepted"]
"""Why what came along as a proof is none."""


class Challenge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ask for fresh proof: each of `demands` must be met, they are shown together.

    `retry_after` are the seconds for which no proof is looked at (`locked-out`).
    """

    rule: str
    demands: tuple[ChallengeDemand, ...]
    reason: Literal["proof-required", "locked-out"] | ProofFailure = "proof-required"
    retry_after: float | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Wait for an approval: each of `demands` must be given. `approvals` are the ids of those that are open for them,
    in the same order, once they are; `retry_after` the seconds until it is worth asking again."""

    rule: str
    demands: tuple[ApprovalDemand, ...]
    reason: Reason = "approval-required"
    approvals: tuple[str, ...] = ()
    retry_after: float | None = None


Decision = Allow | Deny | Challenge | Hold


class RuleResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one candidate rule came out; `rule` is `policy/rule`, `error` the CEL error's text."""

    rule: str
    effect: Effect
    mode: Mode
    result: Outcome
    error: str | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decision with its whole reasoning: every candidate rule and how it came out, by name.

    `risk` is what the risk models came to that a condition read, `views` the views of facts by the
    names under which conditions have read them. `audit_required` is whether a rule that matched says
    `audit: required`: its record must be on disk before the answer leaves.
    """

    decision: Decision
    rules: tuple[RuleResult, ...] = ()
    audit_required: bool = False
    risk: tuple[Assessment, ...] = ()
    views: Mapping[str, Any] = EMPTY


class ChallengeOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenged caller is given: the address of the page with its ticket, and the cookies that go with it.

    `location` is a path on the request's own origin, `cookies` are whole `Set-Cookie` values. `id` is what records call
    the challenge: that of its ticket, which opens nothing by itself.
    """

    location: str
    id: str = ""
    cookies: tuple[str, ...] = ()


class HoldOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What who waits is given: the address of the approval, and cookies that go with it.

    `location` is a path on the request's own origin: the waiting page, and what an API asks about.
    """

    location: str
    cookies: tuple[str, ...] = ()
