"""The course of an approval: somebody does something, and this is what becomes of it.

The rules: whatever is done, the approval is first brought up to the moment, so that nothing hangs on how quick a clerk
is; and its own time never runs backwards, whatever clock it is looked at by. Every change of state is one of
`lifecycle.NEXT`. What was refused has changed nothing but what was due anyway.
"""

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from extauthz.approval.counting import has_voted, is_proven, tally
from extauthz.approval.lifecycle import Happening, after, is_final
from extauthz.approval.on_call import Right
from extauthz.approval.refusals import Refusal, RefusalWord
from extauthz.approval.terms import Terms
from extauthz.values.approvals import (
    APPROVAL_FACTOR,
    Approval,
    Approved,
    Approver,
    BreakGlass,
    Channel,
    Ended,
    Proof,
    Review,
    Stance,
    Verdict,
    Vote,
)
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

LONGEST_REASON: Final = 2_000
"""Characters of what somebody gives as a reason."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever runs the server, by the name that they go by there."""

    name: str


By = Approver | Subject | Operator
"""Who ends something: a person at the approvers' doors, the caller of a request, or the operator."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The approval as it is now, and what has happened to it, in this order.

    `grant` is what it leaves. `takes_back` is whether the grant that it has left is to be forgotten. `refusal` is why
    what was wanted has not happened; what was due has.
    """

    approval: Approval
    happenings: tuple[Happening, ...] = ()
    grant: Grant | None = None
    takes_back: bool = False
    refusal: Refusal | None = None


def bring_up(approval: Approval, terms: Terms | None, *, now: float) -> Outcome:
    """What has become due by `now`: that it expires, or that others are asked, too.

    Without `terms`, those of a rule that is in force no more, nobody is asked.
    """
    if is_final(approval.state):
        return Outcome(approval=approval)
    moment = _moment(approval, now)
    if moment >= approval.expires_at:
        return _then(Outcome(approval=approval), "expired", at=approval.expires_at)
    steps = [] if terms is None else [approval.opened_at + step.after for step in terms.escalate]
    reached = sum(step <= moment for step in steps)
    due_at = min([approval.expires_at, *(step for step in steps if step > moment)])
    if reached > approval.escalated:
        return _then(Outcome(approval=approval), "escalated", at=moment, escalated=reached, due_at=due_at)
    # Nobody hears of it that the clerk will look at another time.
    return Outcome(approval=replace(approval, due_at=due_at))


def vote(
    approval: Approval,
    terms: Terms | None,
    *,
    approver: Approver,
    rights: Sequence[Right],
    stance: Stance,
    reason: str,
    proof: Proof | None,
    channel: Channel,
    now: float,
) -> Outcome:
    """Somebody answers, by the first of their `rights` that allows it."""
    outcome = bring_up(approval, terms, now=now)
    approval, at = outcome.approval, _moment(outcome.approval, now)
    right = standing(approval, terms, approver=approver, rights=rights, now=now)
    if isinstance(right, str) or terms is None:
        return _refused(outcome, right if isinstance(right, str) else "rule-gone")
    if (word := _wrong_reason(reason, required=terms.reason_required)) is not None:
        return _refused(outcome, word)
    if not is_proven(terms, proof, at):
        return _refused(outcome, "needs-factor", terms)
    given = Vote(
        approver=right.holder if right.own else approver,
        stance=stance,
        at=at,
        reason=_said(reason),
        proof=proof,
        channel=channel,
        in_place_of=None if right.own else right.holder,
    )
    return _answered(outcome, terms, replace(approval, votes=(*approval.votes, given)), at)


def standing(
    approval: Approval, terms: Terms | None, *, approver: Approver, rights: Sequence[Right], now: float
) -> Right | RefusalWord:
    """The right by which somebody may answer an approval, brought up to the moment, or what stands against it."""
    if approval.state != "pending":
        return "not-pending"
    if terms is None:
        return "rule-gone"
    if approval.requesters.include(approver):
        return "requester"
    if has_voted(approval.votes, approver):
        return "voted-already"
    held = _rights_asked(approval, terms, rights, _moment(approval, now))
    if isinstance(held, str):
        return held
    return next((right for right in held if not has_voted(approval.votes, right.holder)), "voted-already")


def cancel(approval: Approval, terms: Terms | None, *, by: By, reason: str, now: float) -> Outcome:
    """Who has asked, or the operator, wants no answer any more."""
    outcome = bring_up(approval, terms, now=now)
    if outcome.approval.state != "pending":
        return _refused(outcome, "not-pending")
    if not (isinstance(by, Operator) or _has_asked(approval, by)):
        return _refused(outcome, "not-the-requester")
    if (word := _wrong_reason(reason, required=False)) is not None:
        return _refused(outcome, word)
    at = _moment(outcome.approval, now)
    ended = Ended(by=name_of(by), at=at, reason=_said(reason))
    # Who takes it back when somebody is against it does not get rid of that by asking anew.
    against = not isinstance(by, Operator) and any(vote.stance == "deny" for vote in outcome.approval.votes)
    until = at + terms.cooldown if against and terms is not None else None
    return _then(outcome, "cancelled", at=at, cancelled=ended, cooldown_until=until)


def break_glass(
    approval: Approval, terms: Terms | None, *, by: Approver, reason: str, proof: Proof, valid_for: float, now: float
) -> Outcome:
    """Who has asked goes through without an answer, for `valid_for` seconds.

    That they may, and that the proof is fresh, the decision has said that offers it.
    """
    outcome = bring_up(approval, terms, now=now)
    if outcome.approval.state != "pending":
        return _refused(outcome, "not-pending")
    if terms is None:
        return _refused(outcome, "rule-gone")
    if by.subject != approval.subject:
        return _refused(outcome, "not-the-requester")
    if (word := _wrong_reason(reason, required=True)) is not None:
        return _refused(outcome, word)
    at = _moment(outcome.approval, now)
    broken = BreakGlass(by=by, reason=_said(reason), proof=proof, at=at)
    outcome = _then(outcome, "broken-glass", at=at, break_glass=broken)
    return _granted(outcome, uses=terms.uses, valid_for=valid_for, at=at)


def review(
    approval: Approval,
    terms: Terms | None,
    *,
    approver: Approver,
    rights: Sequence[Right],
    verdict: Verdict,
    reason: str,
    proof: Proof | None,
    now: float,
) -> Outcome:
    """Somebody whom the rule asks has looked at a break-glass; one that was not justified is over from then on."""
    outcome = Outcome(approval=approval)
    broken = approval.break_glass
    if broken is None:
        return _refused(outcome, "not-break-glass")
    if broken.review is not None:
        return _refused(outcome, "reviewed-already")
    if terms is None:
        return _refused(outcome, "rule-gone")
    if approval.requesters.include(approver):
        return _refused(outcome, "requester")
    at = _moment(approval, now)
    held = _rights_asked(approval, terms, rights, at)
    if isinstance(held, str):
        return _refused(outcome, held)
    if (word := _wrong_reason(reason, required=True)) is not None:
        return _refused(outcome, word)
    if not is_proven(terms, proof, at):
        return _refused(outcome, "needs-factor", terms)
    found = Review(by=approver, verdict=verdict, at=at, reason=_said(reason))
    outcome = _then(outcome, "reviewed", at=at, break_glass=replace(broken, review=found))
    if verdict == "justified" or approval.revoked is not None:
        return outcome
    return _taken_back(outcome, Ended(by=name_of(approver), at=at, reason=_said(reason)))


def revoke(
    approval: Approval, terms: Terms | None, *, by: By, rights: Sequence[Right] = (), reason: str, now: float
) -> Outcome:
    """What was given is taken back: by who has asked, by somebody whom the rule asks, or by the operator."""
    outcome = Outcome(approval=approval)
    if approval.state != "approved" or approval.revoked is not None:
        return _refused(outcome, "not-approved")
    at = _moment(approval, now)
    may = isinstance(by, Operator) or _has_asked(approval, by)
    may = may or (terms is not None and any(_is_asked(approval, terms, right, at) for right in rights))
    if not may:
        return _refused(outcome, "not-an-approver")
    if (word := _wrong_reason(reason, required=False)) is not None:
        return _refused(outcome, word)
    return _taken_back(outcome, Ended(by=name_of(by), at=at, reason=_said(reason)))


def name_of(by: By) -> str:
    """How somebody is named in what is kept."""
    match by:
        case Approver():
            return by.person
        case Subject():
            return by.key
        case Operator():
            return f"operator:{by.name}"
        case _:
            assert_never(by)


def _moment(approval: Approval, now: float) -> float:
    """The approval's own time: never before anything that has happened to it."""
    last = approval.votes[-1].at if approval.votes else approval.opened_at
    return max(now, approval.opened_at, approval.state_at, last)


def _rights_asked(
    approval: Approval, terms: Terms, rights: Sequence[Right], at: float
) -> Sequence[Right] | RefusalWord:
    """Those of the rights that the rule takes, or why there are none."""
    asked = [right for right in rights if _is_asked(approval, terms, right, at)]
    if not asked:
        return "not-an-approver"
    return [right for right in asked if not approval.requesters.include(right.holder)] or "requester"


def _is_asked(approval: Approval, terms: Terms, right: Right, at: float) -> bool:
    return terms.asks(right.holder, approval.matter, waited=at - approval.opened_at)


def _has_asked(approval: Approval, by: Approver | Subject) -> bool:
    if isinstance(by, Approver):
        return approval.requesters.include(by)
    return by == approval.subject or by in approval.requesters.subjects


def _said(reason: str) -> str:
    """What is kept of it: JSON can say half of a character, which no other program would read."""
    return reason.encode("utf-8", "replace").decode("utf-8").strip()


def _wrong_reason(reason: str, *, required: bool) -> RefusalWord | None:
    if len(reason) > LONGEST_REASON:
        return "reason-too-long"
    return "needs-reason" if required and not reason.strip() else None


def _answered(outcome: Outcome, terms: Terms, approval: Approval, at: float) -> Outcome:
    """What the votes make of it; a no is counted first."""
    counted = tally(
        terms,
        approval.votes,
        opened_at=approval.opened_at,
        requesters=approval.requesters,
        matter=approval.matter,
    )
    outcome = Outcome(approval=approval, happenings=outcome.happenings)
    outcome = _then(outcome, "voted", at=at)
    if counted.deny >= terms.deny_min:
        return _then(outcome, "denied", at=at, cooldown_until=at + terms.cooldown)
    if counted.approve >= terms.min:
        return _granted(_then(outcome, "approved", at=at), uses=terms.uses, valid_for=terms.valid_for, at=at)
    return outcome


def _granted(outcome: Outcome, *, uses: int | None, valid_for: float, at: float) -> Outcome:
    """Leave the grant. It has the approval's id: however often it is written, there is one."""
    approval, broken = outcome.approval, outcome.approval.break_glass
    given = Approved(
        id=approval.id,
        opened_at=approval.opened_at,
        votes=() if broken is not None else tuple(vote for vote in approval.votes if vote.stance == "approve"),
        break_glass=broken,
        origin=approval.picture.origin,
    )
    grant = Grant(
        id=approval.id,
        subject=approval.subject,
        session=approval.session,
        holder=approval.holder,
        binding=approval.binding,
        rule=approval.rule,
        factor=APPROVAL_FACTOR,
        issued_at=at,
        expires_at=at + valid_for,
        uses=uses,
        approval=given,
    )
    return Outcome(approval=approval, happenings=outcome.happenings, grant=grant)


def _taken_back(outcome: Outcome, ended: Ended) -> Outcome:
    outcome = _then(outcome, "revoked", at=ended.at, revoked=ended)
    return Outcome(approval=outcome.approval, happenings=outcome.happenings, takes_back=True)


def _then(outcome: Outcome, happening: Happening, *, at: float, **changes: object) -> Outcome:
    """One more happening, and its state; what is over is due no more."""
    before = outcome.approval
    state = after(before.state, happening)
    if state != before.state:
        changes |= {"state": state, "state_at": at}
    if is_final(state):
        changes["due_at"] = None
    return Outcome(approval=replace(before, **changes), happenings=(*outcome.happenings, happening))


def _refused(outcome: Outcome, word: RefusalWord, terms: Terms | None = None) -> Outcome:
    refusal = Refusal(word=word)
    if word == "needs-factor" and terms is not None:
        refusal = Refusal(word=word, factors=terms.factors, max_age=terms.max_age)
    return Outcome(approval=outcome.approval, happenings=outcome.happenings, refusal=refusal)
