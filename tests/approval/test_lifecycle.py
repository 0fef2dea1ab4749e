"""The life of an approval: every pair of a state and a happening, and of a state and what somebody does."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Final, get_args

import pytest
from approval.asking import (
    ANNA,
    APPROVED,
    BROKEN,
    CALLER,
    CANCELLED,
    CIRCLE,
    DENIED,
    DORA,
    EXPIRED,
    NOW,
    PROOF,
    UMA_ASKING,
    asked,
    own,
    terms,
)

from docs import diagram as page
from extauthz.approval import course
from extauthz.approval.course import Operator, Outcome
from extauthz.approval.lifecycle import NEXT, Happening, after, is_final
from extauthz.approval.refusals import RefusalWord
from extauthz.approval.terms import Circle, Step, Terms
from extauthz.values.approvals import Approval, Stance, State

AT = NOW + 60
"""Before anything is due."""

STATES: tuple[State, ...] = get_args(State)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)

# Every pair is written down here: a pair that is missing fails the test, and so does one too many in the table.
EXPECTED: dict[tuple[State, Happening], State | None] = {
    ("pending", "voted"): "pending",
    ("pending", "escalated"): "pending",
    ("pending", "approved"): "approved",
    ("pending", "denied"): "denied",
    ("pending", "expired"): "expired",
    ("pending", "cancelled"): "cancelled",
    ("pending", "broken-glass"): "approved",
    ("pending", "reviewed"): None,
    ("pending", "revoked"): None,
    ("approved", "voted"): None,
    ("approved", "escalated"): None,
    ("approved", "approved"): None,
    ("approved", "denied"): None,
    ("approved", "expired"): None,
    ("approved", "cancelled"): None,
    ("approved", "broken-glass"): None,
    ("approved", "reviewed"): "approved",
    ("approved", "revoked"): "approved",
    ("denied", "voted"): None,
    ("denied", "escalated"): None,
    ("denied", "approved"): None,
    ("denied", "denied"): None,
    ("denied", "expired"): None,
    ("denied", "cancelled"): None,
    ("denied", "broken-glass"): None,
    ("denied", "reviewed"): None,
    ("denied", "revoked"): None,
    ("expired", "voted"): None,
    ("expired", "escalated"): None,
    ("expired", "approved"): None,
    ("expired", "denied"): None,
    ("expired", "expired"): None,
    ("expired", "cancelled"): None,
    ("expired", "broken-glass"): None,
    ("expired", "reviewed"): None,
    ("expired", "revoked"): None,
    ("cancelled", "voted"): None,
    ("cancelled", "escalated"): None,
    ("cancelled", "approved"): None,
    ("cancelled", "denied"): None,
    ("cancelled", "expired"): None,
    ("cancelled", "cancelled"): None,
    ("cancelled", "broken-glass"): None,
    ("cancelled", "reviewed"): None,
    ("cancelled", "revoked"): None,
}


def test_every_pair_of_a_state_and_a_happening_is_expected() -> None:
    assert set(EXPECTED) == set(product(STATES, HAPPENINGS))


@pytest.mark.parametrize(("pair", "expected"), EXPECTED.items(), ids=lambda value: str(value))
def test_the_table_says_what_is_expected(pair: tuple[State, Happening], expected: State | None) -> None:
    state, happening = pair
    assert (pair in NEXT) == (expected is not None)
    if expected is not None:
        assert after(state, happening) == expected
    else:
        with pytest.raises(KeyError):
            after(state, happening)


def test_all_but_the_first_state_are_final() -> None:
    assert [state for state in STATES if not is_final(state)] == ["pending"]


def test_every_state_is_reached_from_the_first_one() -> None:
    assert {state for (before, _), state in NEXT.items() if before == "pending"} == set(STATES)


# What somebody does, to an approval in each state: what happens, and into which state that leads; or why nothing does.

ONE_OF_TWO = terms()
ONE = terms(min=1)
GONE: Terms | None = None
WIDER = terms(escalate=(Step(after=30.0, circle=Circle(groups=frozenset({"board"}))),))


def _votes(stance: Stance, by: Terms | None) -> Callable[[Approval], Outcome]:
    return lambda approval: course.vote(
        approval, by, approver=ANNA, rights=own(ANNA), stance=stance, reason="", proof=None, channel="page", now=AT
    )


def _reviews(verdict: str) -> Callable[[Approval], Outcome]:
    return lambda approval: course.review(
        approval,
        ONE,
        approver=ANNA,
        rights=own(ANNA),
        verdict="justified" if verdict == "justified" else "unjustified",
        reason="looked at it",
        proof=None,
        now=AT,
    )


ACTS: dict[str, Callable[[Approval], Outcome]] = {
    "first approval of two": _votes("approve", ONE_OF_TWO),
    "last approval": _votes("approve", ONE),
    "last denial": _votes("deny", ONE_OF_TWO),
    "vote without a rule": _votes("approve", GONE),
    "looked at": lambda approval: course.bring_up(approval, ONE, now=AT),
    "looked at after a step": lambda approval: course.bring_up(approval, WIDER, now=AT),
    "looked at too late": lambda approval: course.bring_up(approval, ONE, now=NOW + 900),
    "cancelled": lambda approval: course.cancel(approval, ONE, by=CALLER, reason="", now=AT),
    "glass broken": lambda approval: course.break_glass(
        approval, ONE, by=UMA_ASKING, reason="fire", proof=PROOF, valid_for=60.0, now=AT
    ),
    "found justified": _reviews("justified"),
    "found unjustified": _reviews("unjustified"),
    "revoked": lambda approval: course.revoke(approval, ONE, by=Operator(name="root"), reason="", now=AT),
}
PENDING = asked()
KINDS = {
    "pending": PENDING,
    "approved": APPROVED,
    "broken": BROKEN,
    "denied": DENIED,
    "expired": EXPIRED,
    "cancelled": CANCELLED,
}
Came = tuple[State, tuple[Happening, ...]] | RefusalWord
NOTHING: Final = "not-pending"
OUTCOMES: dict[str, tuple[Came, Came, Came, Came, Came, Came]] = {
    # act: in the order of KINDS
    "first approval of two": (("pending", ("voted",)), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "last approval": (("approved", ("voted", "approved")), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "last denial": (("denied", ("voted", "denied")), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "vote without a rule": ("rule-gone", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "looked at": (
        ("pending", ()),
        ("approved", ()),
        ("approved", ()),
        ("denied", ()),
        ("expired", ()),
        ("cancelled", ()),
    ),
    "looked at after a step": (
        ("pending", ("escalated",)),
        ("approved", ()),
        ("approved", ()),
        ("denied", ()),
        ("expired", ()),
        ("cancelled", ()),
    ),
    "looked at too late": (
        ("expired", ("expired",)),
        ("approved", ()),
        ("approved", ()),
        ("denied", ()),
        ("expired", ()),
        ("cancelled", ()),
    ),
    "cancelled": (("cancelled", ("cancelled",)), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "glass broken": (("approved", ("broken-glass",)), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "found justified": (
        "not-break-glass",
        "not-break-glass",
        ("approved", ("reviewed",)),
        "not-break-glass",
        "not-break-glass",
        "not-break-glass",
    ),
    "found unjustified": (
        "not-break-glass",
        "not-break-glass",
        ("approved", ("reviewed", "revoked")),
        "not-break-glass",
        "not-break-glass",
        "not-break-glass",
    ),
    "revoked": (
        "not-approved",
        ("approved", ("revoked",)),
        ("approved", ("revoked",)),
        "not-approved",
        "not-approved",
        "not-approved",
    ),
}
PAIRS = [(act, kind, came) for act, row in OUTCOMES.items() for kind, came in zip(KINDS, row, strict=True)]


def test_every_act_is_tried_in_every_state() -> None:
    assert set(OUTCOMES) == set(ACTS)
    assert {approval.state for approval in KINDS.values()} == set(STATES)


@pytest.mark.parametrize(("act", "kind", "came"), PAIRS)
def test_what_somebody_does_comes_to_what_is_expected(act: str, kind: str, came: Came) -> None:
    outcome = ACTS[act](KINDS[kind])
    if isinstance(came, str):
        assert outcome.refusal is not None
        assert outcome.refusal.word == came
        assert (outcome.approval, outcome.happenings, outcome.grant) == (KINDS[kind], (), None)
        return
    assert outcome.refusal is None
    assert (outcome.approval.state, outcome.happenings) == came
    leaves = {"approved", "broken-glass"} & set(outcome.happenings)
    assert (outcome.grant is not None) == bool(leaves), "what lets somebody through leaves a grant, and nothing else"
    assert outcome.takes_back == ("revoked" in outcome.happenings)
    assert (outcome.approval.due_at is None) == is_final(outcome.approval.state)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pending"])
@pytest.mark.parametrize("act", ACTS)
def test_no_act_leads_out_of_a_final_state(act: str, kind: str) -> None:
    outcome = ACTS[act](KINDS[kind])
    assert outcome.approval.state == KINDS[kind].state
    assert outcome.grant is None
    assert outcome.approval.votes == KINDS[kind].votes


def test_the_circle_of_the_tests_has_someone_outside() -> None:
    assert CIRCLE.takes(ANNA, PENDING.matter)
    assert not CIRCLE.takes(DORA, PENDING.matter)


def test_the_page_shows_the_table_that_the_code_goes_by() -> None:
    text = Path(page.PAGE).read_text("utf-8")
    assert page.written(text) == text, "the diagram is stale: run `make diagram`"


def test_the_page_tells_of_every_happening() -> None:
    text = Path(page.PAGE).read_text("utf-8")
    assert [one for one in ("opened", *HAPPENINGS) if f"\n| `{one}` |" not in text] == []
