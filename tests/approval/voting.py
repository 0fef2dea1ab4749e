"""Votes on an approval, and what comes of each."""

from approval.asking import (
    NOW,
    own,
    terms,
)

from extauthz.approval import course
from extauthz.approval.course import Outcome
from extauthz.approval.on_call import Right
from extauthz.approval.refusals import RefusalWord
from extauthz.approval.terms import Circle, Step, Terms
from extauthz.values.approvals import Approval, Approver, Proof, Stance

BOARD = Circle(groups=frozenset({"board"}))
LATER = Step(after=120.0, circle=BOARD)
ONE = terms(min=1)


def votes(
    approval: Approval,
    approver: Approver,
    *,
    by: Terms | None = ONE,
    rights: tuple[Right, ...] | None = None,
    stance: Stance = "approve",
    reason: str = "",
    proof: Proof | None = None,
    at: float = NOW + 10,
) -> Outcome:
    held = own(approver) if rights is None else rights
    return course.vote(
        approval,
        by,
        approver=approver,
        rights=held,
        stance=stance,
        reason=reason,
        proof=proof,
        channel="page",
        now=at,
    )


def word(outcome: Outcome) -> RefusalWord | None:
    return None if outcome.refusal is None else outcome.refusal.word


PROVEN = terms(min=1, factors=frozenset({"hwk", "otp"}), max_age=60.0)
