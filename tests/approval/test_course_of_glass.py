"""The course of an approval whose glass was broken, and of its review."""

import pytest
from approval.asking import (
    ANNA,
    APPROVED,
    BEN,
    BROKEN,
    CALLER,
    DORA,
    NOW,
    PROOF,
    UMA,
    UMA_ASKING,
    asked,
    own,
    person,
    standing_in,
    terms,
)
from approval.voting import ONE, PROVEN, votes, word

from extauthz.approval import course
from extauthz.approval.course import Outcome
from extauthz.approval.on_call import Right
from extauthz.approval.terms import Terms
from extauthz.values.approvals import Approval, Approver, Proof, Verdict

# Break-glass


def broken(
    approval: Approval,
    *,
    by: Approver = UMA_ASKING,
    reason: str = "fire",
    terms: Terms | None = ONE,
    at: float = NOW + 5,
) -> Outcome:
    return course.break_glass(approval, terms, by=by, reason=reason, proof=PROOF, valid_for=60.0, now=at)


def test_a_broken_glass_leaves_a_grant_that_says_so() -> None:
    outcome = broken(asked())
    assert outcome.grant is not None
    assert (outcome.grant.expires_at, outcome.grant.uses) == (NOW + 65, 1)
    assert outcome.grant.approval is not None
    assert outcome.grant.approval.votes == ()
    glass = outcome.grant.approval.break_glass
    assert glass is not None
    assert (glass.by, glass.reason, glass.proof, glass.at, glass.review) == (UMA_ASKING, "fire", PROOF, NOW + 5, None)


@pytest.mark.parametrize("by", [ANNA, UMA], ids=["somebody else", "herself by another subject"])
def test_nobody_breaks_the_glass_for_another_subject(by: Approver) -> None:
    assert word(broken(asked(), by=by)) == "not-the-requester"


def test_a_glass_is_broken_with_a_reason_in_time_and_by_a_rule() -> None:
    assert word(broken(asked(), reason=" ")) == "needs-reason"
    assert word(broken(asked(), terms=None)) == "rule-gone"
    assert word(broken(asked(), at=NOW + 900)) == "not-pending"


def reviewed(
    approval: Approval,
    approver: Approver,
    *,
    verdict: Verdict = "justified",
    by: Terms | None = ONE,
    reason: str = "seen",
    proof: Proof | None = None,
    rights: tuple[Right, ...] | None = None,
) -> Outcome:
    return course.review(
        approval,
        by,
        approver=approver,
        rights=own(approver) if rights is None else rights,
        verdict=verdict,
        reason=reason,
        proof=proof,
        now=NOW + 50,
    )


def test_a_break_glass_is_reviewed_once_by_somebody_whom_the_rule_asks() -> None:
    outcome = reviewed(BROKEN, ANNA)
    assert (outcome.happenings, outcome.takes_back) == (("reviewed",), False)
    glass = outcome.approval.break_glass
    assert glass is not None
    assert glass.review is not None
    assert (glass.review.by, glass.review.verdict, glass.review.reason) == (ANNA, "justified", "seen")
    assert word(reviewed(outcome.approval, BEN)) == "reviewed-already"


def test_nobody_reviews_their_own_break_glass() -> None:
    assert word(reviewed(BROKEN, UMA)) == "requester"
    assert word(reviewed(BROKEN, UMA, rights=standing_in(UMA, ANNA))) == "requester"
    assert word(reviewed(BROKEN, DORA, rights=standing_in(DORA, UMA))) == "requester"


def test_who_has_answered_before_the_glass_was_broken_may_look_at_it() -> None:
    waiting = votes(asked(), ANNA, by=terms()).approval
    outcome = broken(waiting, at=NOW + 20)
    assert outcome.grant is not None
    assert outcome.grant.approval is not None
    assert outcome.grant.approval.votes == (), "it rests on nobody's vote"
    assert word(reviewed(outcome.approval, ANNA)) is None


def test_a_delegate_reviews_by_the_right_of_who_is_away() -> None:
    outcome = reviewed(BROKEN, DORA, rights=standing_in(DORA, ANNA))
    glass = outcome.approval.break_glass
    assert glass is not None
    assert glass.review is not None
    assert glass.review.by == DORA


def test_a_review_needs_what_a_vote_needs_and_a_reason() -> None:
    assert word(reviewed(BROKEN, DORA)) == "not-an-approver"
    assert word(reviewed(BROKEN, ANNA, by=None)) == "rule-gone"
    assert word(reviewed(BROKEN, ANNA, reason="")) == "needs-reason"
    assert word(reviewed(BROKEN, ANNA, by=PROVEN)) == "needs-factor"
    assert word(reviewed(BROKEN, ANNA, by=PROVEN, proof=PROOF)) is None


def test_what_was_not_justified_is_over() -> None:
    outcome = reviewed(BROKEN, ANNA, verdict="unjustified")
    assert (outcome.happenings, outcome.takes_back) == (("reviewed", "revoked"), True)
    assert outcome.approval.revoked is not None
    assert outcome.approval.revoked.by == "anna"


def test_a_review_of_what_was_taken_back_takes_nothing_back_again() -> None:
    gone = course.revoke(BROKEN, ONE, by=CALLER, reason="", now=NOW + 30).approval
    outcome = reviewed(gone, ANNA, verdict="unjustified")
    assert (outcome.happenings, outcome.takes_back) == (("reviewed",), False)


def test_an_approval_without_a_break_glass_is_not_reviewed() -> None:
    assert word(reviewed(APPROVED, person("eve", "treasury"))) == "not-break-glass"
