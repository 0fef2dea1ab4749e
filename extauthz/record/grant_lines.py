"""From the grants that a decision rests on to their part of the audit line.

The rule kept here: who has answered for somebody else is on record, with all that their answer counted by; claims are
not.
"""

from extauthz.record.audit_line import ApprovalLine, BreakGlassLine, GrantLine, VoteLine
from extauthz.values.approvals import Approved, Approver, Proof, Vote
from extauthz.values.grants import Grant

_OF_A_RULE = frozenset({"action", "break-glass"})


def grant_line(grant: Grant, now: float) -> GrantLine:
    """What a grant was given for, without the keyed hash in the middle of its binding; `now` in seconds."""
    bind, _, rest = grant.binding.partition(":")
    rule = rest if bind in _OF_A_RULE else rest.partition(":")[2]
    return GrantLine(
        bind=bind,
        rule=rule,
        factor=grant.factor,
        age_s=round(now - grant.issued_at, 3),
        uses=grant.uses,
        approval=None if grant.approval is None else _approval(grant.approval),
    )


def breaks_glass(grant: Grant) -> bool:
    """Whether somebody went through by this grant without an approval."""
    return grant.approval is not None and grant.approval.break_glass is not None


def _approval(approved: Approved) -> ApprovalLine:
    glass = approved.break_glass
    return ApprovalLine(
        id=approved.id,
        votes=[_vote(vote, approved.opened_at) for vote in approved.votes],
        break_glass=None
        if glass is None
        else BreakGlassLine(person=glass.by.person, reason=glass.reason, factor=glass.proof.factor),
    )


def _vote(vote: Vote, opened_at: float) -> VoteLine:
    absent = vote.in_place_of
    return _voter(
        vote.approver,
        after=vote.at - opened_at,
        proof=vote.proof,
        at=vote.at,
        in_place_of=None if absent is None else _voter(absent, after=vote.at - opened_at, proof=None, at=vote.at),
    )


def _voter(
    approver: Approver, *, after: float, proof: Proof | None, at: float, in_place_of: VoteLine | None = None
) -> VoteLine:
    return VoteLine(
        person=approver.person,
        sub=approver.subject.id,
        iss=approver.subject.issuer,
        groups=sorted(approver.groups),
        after_s=round(after, 3),
        factor="" if proof is None else proof.factor,
        proof_age_s=0.0 if proof is None else round(at - proof.at, 3),
        in_place_of=in_place_of,
    )
