"""What becomes of an approval: who may answer, when, with what, and what it leaves."""

from typing import get_args

import pytest
from approval.asking import (
    ANNA,
    APP,
    APPROVED,
    BEN,
    CALLER,
    CLEO,
    DORA,
    NOW,
    PROOF,
    ROBOT,
    UMA,
    asked,
    own,
    standing_in,
    terms,
    vote,
)
from approval.voting import BOARD, LATER, ONE, PROVEN, votes, word
from msgspec.structs import replace

from extauthz.approval import course
from extauthz.approval.course import LONGEST_REASON, By, Operator
from extauthz.approval.refusals import Refusal
from extauthz.approval.terms import Circle, Step
from extauthz.values.approvals import APPROVAL_FACTOR, Approver, Proof, Stance
from extauthz.values.identity import Subject

# Who


def test_what_is_given_is_for_who_has_asked_and_nothing_else() -> None:
    grant = votes(votes(asked(), ANNA, by=terms()).approval, BEN, by=terms(), at=NOW + 30).grant
    assert grant is not None
    assert (grant.subject, grant.session, grant.holder, grant.binding) == (CALLER, "s1", "cookie:c", "b")
    assert (grant.issued_at, grant.expires_at, grant.uses) == (NOW + 30, NOW + 330, 1)
    assert grant.factor == APPROVAL_FACTOR
    assert grant.id == "a1"
    assert grant.approval is not None
    assert [one.approver.person for one in grant.approval.votes] == ["anna", "ben"]


@pytest.mark.parametrize(
    "approver",
    [
        UMA,
        replace(UMA, person="somebody-else", subject=CALLER),
        replace(UMA, subject=Subject(APP, "u1-at-another-issuer")),
        replace(UMA, subject=ROBOT, person="robot"),
    ],
    ids=["as herself", "as the same subject", "by another alias", "as the actor"],
)
@pytest.mark.parametrize("stance", ["approve", "deny"])
def test_who_asks_does_not_answer(approver: Approver, stance: Stance) -> None:
    outcome = votes(asked(), approver, stance=stance)
    assert word(outcome) == "requester"
    assert outcome.approval.votes == ()


def test_who_asks_does_not_answer_in_the_place_of_somebody() -> None:
    assert word(votes(asked(), UMA, rights=standing_in(UMA, ANNA))) == "requester"


def test_nobody_answers_in_the_place_of_who_asks() -> None:
    assert word(votes(asked(), DORA, rights=standing_in(DORA, UMA))) == "requester"
    assert word(votes(asked(), DORA, rights=standing_in(DORA, replace(UMA, person="x", subject=CALLER)))) == "requester"


def test_whom_the_rule_does_not_ask_does_not_answer() -> None:
    assert word(votes(asked(), DORA)) == "not-an-approver"


def test_nobody_answers_where_the_rule_is_gone() -> None:
    assert word(votes(asked(), ANNA, by=None)) == "rule-gone"


def test_a_condition_on_approvers_is_asked_about_what_is_asked() -> None:
    other = Circle(when=lambda approver, matter: approver.subject.id == "dora-sub" and matter.subject == CALLER)
    assert word(votes(asked(), DORA, by=terms(min=1, circle=other))) is None
    assert word(votes(asked(), ANNA, by=terms(min=1, circle=other))) == "not-an-approver"
    assert word(votes(asked(subject=ROBOT), DORA, by=terms(min=1, circle=other))) == "not-an-approver"


def test_a_condition_narrows_groups() -> None:
    both = Circle(groups=frozenset({"treasury"}), when=lambda approver, _: approver.person == "ben")
    assert word(votes(asked(), ANNA, by=terms(circle=both))) == "not-an-approver"
    assert word(votes(asked(), BEN, by=terms(circle=both))) is None


def test_an_empty_circle_asks_nobody() -> None:
    assert word(votes(asked(), ANNA, by=terms(circle=Circle()))) == "not-an-approver"


def test_people_are_listed_by_sub() -> None:
    listed = terms(min=1, circle=Circle(subjects=frozenset({"dora-sub"})))
    assert votes(asked(), DORA, by=listed).approval.state == "approved"
    assert word(votes(asked(), ANNA, by=listed)) == "not-an-approver"


# How many


def test_one_person_is_one_vote_however_they_log_in() -> None:
    first = votes(asked(), ANNA, by=terms()).approval
    again = replace(ANNA, subject=Subject(APP, "anna-at-work"))
    renamed = replace(ANNA, person="anna-the-second")
    for approver in (ANNA, again, renamed):
        for stance in get_args(Stance):
            outcome = votes(first, approver, by=terms(), stance=stance)
            assert word(outcome) == "voted-already"
            assert outcome.approval == first


def test_a_vote_in_the_place_of_somebody_takes_both() -> None:
    first = votes(asked(), DORA, by=terms(), rights=standing_in(DORA, ANNA)).approval
    assert first.votes[0].in_place_of == ANNA
    assert word(votes(first, ANNA, by=terms())) == "voted-already"
    assert word(votes(first, DORA, by=terms(), rights=standing_in(DORA, BEN))) == "voted-already"
    assert votes(first, BEN, by=terms()).approval.state == "approved"


def test_nobody_answers_in_the_place_of_who_has_answered() -> None:
    first = votes(asked(), ANNA, by=terms()).approval
    assert word(votes(first, DORA, by=terms(), rights=standing_in(DORA, ANNA))) == "voted-already"


def test_the_own_right_comes_first_and_leaves_the_other_persons_vote() -> None:
    first = votes(asked(), BEN, by=terms(), rights=standing_in(BEN, ANNA)).approval
    assert first.votes[0].in_place_of is None
    assert votes(first, ANNA, by=terms()).approval.state == "approved"


def test_as_many_deny_as_the_rule_says() -> None:
    strict = terms(deny_min=2)
    first = votes(asked(), ANNA, by=strict, stance="deny").approval
    assert first.state == "pending"
    outcome = votes(first, BEN, by=strict, stance="deny", at=NOW + 40)
    assert (outcome.approval.state, outcome.grant) == ("denied", None)
    assert outcome.approval.cooldown_until == NOW + 640


def test_a_no_is_counted_first() -> None:
    # Both are reached at once only where the rule was changed meanwhile.
    waiting = asked(votes=(vote(ANNA, "deny"), vote(BEN)))
    outcome = votes(waiting, CLEO, by=terms(min=2, deny_min=1))
    assert outcome.approval.state == "denied"


def test_votes_are_counted_by_the_rule_of_the_moment() -> None:
    waiting = asked(votes=(vote(ANNA),))
    moved = votes(waiting, DORA, by=terms(min=2, circle=BOARD))
    assert moved.approval.state == "pending", "anna is not asked now"
    assert votes(waiting, DORA, by=terms(min=1, circle=BOARD)).approval.state == "approved"


# When


@pytest.mark.parametrize("late", [0.0, 0.001, 1e6])
def test_no_vote_counts_after_the_end(late: float) -> None:
    outcome = votes(asked(), ANNA, at=NOW + 900 + late)
    assert word(outcome) == "not-pending"
    assert outcome.happenings == ("expired",)
    assert (outcome.approval.state, outcome.approval.state_at, outcome.approval.votes) == ("expired", NOW + 900, ())


def test_the_last_moment_counts() -> None:
    assert votes(asked(), ANNA, at=NOW + 899.999).approval.state == "approved"


def test_more_people_are_asked_after_a_time() -> None:
    wider = terms(min=1, escalate=(LATER,))
    assert word(votes(asked(), DORA, by=wider, at=NOW + 119.9)) == "not-an-approver"
    outcome = votes(asked(), DORA, by=wider, at=NOW + 120)
    assert outcome.happenings == ("escalated", "voted", "approved")
    assert outcome.approval.escalated == 1


def test_each_step_is_told_once_and_the_clerk_is_due_at_the_next() -> None:
    wider = terms(escalate=(LATER, Step(after=300.0, circle=BOARD)))
    fresh = course.bring_up(asked(), wider, now=NOW).approval
    assert fresh.due_at == NOW + 120
    once = course.bring_up(fresh, wider, now=NOW + 121)
    assert (once.happenings, once.approval.escalated, once.approval.due_at) == (("escalated",), 1, NOW + 300)
    assert course.bring_up(once.approval, wider, now=NOW + 122).happenings == ()
    late = course.bring_up(fresh, wider, now=NOW + 400)
    assert (late.happenings, late.approval.escalated, late.approval.due_at) == (("escalated",), 2, NOW + 900)


def test_a_slow_clock_turns_no_time_back() -> None:
    waiting = votes(asked(), ANNA, by=terms(), at=NOW + 100).approval
    outcome = votes(waiting, BEN, by=terms(), at=NOW + 3)
    assert outcome.approval.votes[1].at == NOW + 100
    assert outcome.grant is not None
    assert outcome.grant.issued_at == NOW + 100


def test_the_clerk_has_nothing_to_do_with_what_is_over() -> None:
    assert votes(asked(), ANNA).approval.due_at is None


# With what


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_reason_is_given_where_the_rule_wants_one(reason: str) -> None:
    strict = terms(min=1, reason_required=True)
    assert word(votes(asked(), ANNA, by=strict, reason=reason)) == "needs-reason"
    assert votes(asked(), ANNA, by=strict, reason=" ok ").approval.votes[0].reason == "ok"


def test_a_reason_can_be_written_down() -> None:
    assert votes(asked(), ANNA, reason="no \ud800 way").approval.votes[0].reason == "no ? way"


def test_a_reason_has_an_end() -> None:
    assert word(votes(asked(), ANNA, reason="x" * (LONGEST_REASON + 1))) == "reason-too-long"
    assert word(votes(asked(), ANNA, reason="x" * LONGEST_REASON)) is None


@pytest.mark.parametrize(
    ("proof", "counts"),
    [
        (None, False),
        (PROOF, True),
        (Proof(factor="pwd", at=NOW), False),
        (Proof(factor="otp", at=NOW - 49.9), True),
        (Proof(factor="otp", at=NOW - 50), False),
        (Proof(factor="otp", at=NOW + 1e9), False),
    ],
)
def test_a_fresh_factor_is_proven_where_the_rule_wants_one(proof: Proof | None, counts: bool) -> None:
    outcome = votes(asked(), ANNA, by=PROVEN, proof=proof)
    if counts:
        assert outcome.approval.votes[0].proof == proof
    else:
        wanted = Refusal(word="needs-factor", factors=frozenset({"hwk", "otp"}), max_age=60.0)
        assert outcome.refusal == wanted


def test_what_a_person_may_not_do_at_all_is_said_before_a_proof_is_asked_for() -> None:
    assert word(votes(asked(), DORA, by=PROVEN)) == "not-an-approver"


# Ends


@pytest.mark.parametrize("by", [CALLER, ROBOT, UMA, Operator(name="root")], ids=["caller", "actor", "person", "root"])
def test_who_asks_and_the_operator_cancel(by: By) -> None:
    outcome = course.cancel(asked(), None, by=by, reason=" wrong account ", now=NOW + 9)
    ended = outcome.approval.cancelled
    assert outcome.approval.state == "cancelled"
    assert ended is not None
    assert (ended.by, ended.at, ended.reason) == (course.name_of(by), NOW + 9, "wrong account")


@pytest.mark.parametrize(
    ("by", "until"),
    [(CALLER, NOW + 620), (UMA, NOW + 620), (Operator(name="root"), None)],
    ids=["caller", "person", "root"],
)
def test_who_asks_does_not_get_rid_of_a_vote_against_by_cancelling(by: By, until: float | None) -> None:
    strict = terms(deny_min=2)
    for stance, expected in (("deny", until), ("approve", None)):
        voted = votes(asked(), ANNA, by=strict, stance=stance).approval  # type: ignore[arg-type]  # both are stances
        ended = course.cancel(voted, strict, by=by, reason="", now=NOW + 20).approval
        assert (ended.state, ended.cooldown_until) == ("cancelled", expected)


@pytest.mark.parametrize("by", [ANNA, Subject(APP, "u2")], ids=["an approver", "another caller"])
def test_nobody_else_cancels(by: By) -> None:
    assert word(course.cancel(asked(), ONE, by=by, reason="", now=NOW)) == "not-the-requester"


def test_cancelling_too_late_expires() -> None:
    outcome = course.cancel(asked(), ONE, by=CALLER, reason="", now=NOW + 900)
    assert (outcome.approval.state, word(outcome)) == ("expired", "not-pending")


@pytest.mark.parametrize(
    ("by", "may"),
    [
        (CALLER, True),
        (UMA, True),
        (Operator(name="root"), True),
        (ANNA, True),
        (DORA, False),
        (Subject(APP, "x"), False),
    ],
)
def test_who_asks_who_is_asked_and_the_operator_take_back_what_was_given(by: By, may: bool) -> None:
    held = own(by) if isinstance(by, Approver) else ()
    outcome = course.revoke(APPROVED, ONE, by=by, rights=held, reason="", now=NOW + 60)
    assert word(outcome) == (None if may else "not-an-approver")
    assert outcome.takes_back == may
    assert word(course.revoke(outcome.approval, ONE, by=CALLER, reason="", now=NOW + 61)) == (
        "not-approved" if may else None
    )
