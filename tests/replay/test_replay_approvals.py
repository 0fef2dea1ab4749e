"""Recorded approvals, counted again by other policies: what the record says of votes, and what it leaves open."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy.making import NOW, approval, caller, compiled, document, evaluate, http, rule, vote
from replay.recording import recorded

from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.recorded import Recorded
from extauthz.policy.policy_set import PolicySet
from extauthz.record.audit_line import DecisionLine
from extauthz.values.approvals import BreakGlass, Proof
from extauthz.values.decisions import Decision, Deny, Evaluation
from extauthz.values.grants import Facts, Grant

REQUEST, USER = http("/", body=b""), caller(sub="u1", groups=["on-duty"])
TWO = (vote("b1"), vote("b2", proof=Proof(factor="otp", at=NOW - 25)))
BY = vote("u1").approver
BROKEN = BreakGlass(by=BY, reason="fire", proof=Proof(factor="otp", at=NOW - 12), at=NOW - 10)


def asking(**block: object) -> PolicySet:
    whole = {"approvers": {"groups": ["chiefs"]}, **block}
    return compiled(document("p", rule("all", "allow"), rule("a", "approve", approve=whole)))


def on_record(policies: PolicySet, *grants: Grant) -> DecisionLine:
    evaluation = evaluate(policies, REQUEST, USER, facts=Facts(grants=grants))
    return recorded(evaluation, REQUEST, USER, policies.revision)


def again(policies: PolicySet, line: DecisionLine, unchanged: tuple[str, ...] = ()) -> str:
    outcome = Redecider(policies, unchanged={line.revision: frozenset(unchanged)}).decide(Recorded(line))
    return "undecidable" if isinstance(outcome, Undecidable) else word(outcome.decision)


def word(decision: Decision) -> str:
    return type(decision).__name__.lower()


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("the same", {}, "allow"),
    ("two persons", {"min": 2}, "allow"),
    ("three persons", {"min": 3}, "hold"),
    ("other people", {"approvers": {"groups": ["board"]}}, "hold"),
    ("one by name", {"approvers": {"subjects": ["b1"]}}, "allow"),
    ("with a proof", {"approvers": {"groups": ["chiefs"], "factors": ["totp"]}}, "allow"),
    ("with another proof", {"approvers": {"groups": ["chiefs"], "factors": ["webauthn"]}}, "hold"),
    ("by claims", {"approvers": {"groups": ["chiefs"], "when": "approver.claims.limit > 1"}}, "undecidable"),
    ("for a shorter time", {"valid_for": "5s"}, "hold"),
    ("bound to something else", {"bind": "request"}, "undecidable"),
    ("automatically", {"auto": [{"when": "true", "answer": "approve"}]}, "allow"),
    ("never", {"auto": [{"when": "true", "answer": "deny"}]}, "deny"),
]


@pytest.mark.parametrize(("name", "block", "outcome"), CHANGES, ids=[name for name, *_ in CHANGES])
def test_recorded_votes_are_counted_by_the_new_rule(name: str, block: dict[str, Any], outcome: str) -> None:
    assert name
    line = on_record(asking(), approval("action:p/a", *TWO))
    assert line.decision == "allow"
    assert again(asking(**block), line) == outcome


def test_a_rule_that_is_as_it_was_needs_no_counting() -> None:
    block = {"approvers": {"groups": ["chiefs"], "when": "approver.claims.limit > 1"}, "bind": "request"}
    policies = asking(**block)
    asked = evaluate(policies, REQUEST, USER).decision
    (demand,) = asked.demands  # type: ignore[union-attr]  # it is a hold, or the next line fails
    given_ = approval(demand.binding, vote("b1", claims={"limit": 2}))
    evaluation = evaluate(policies, REQUEST, USER, facts=Facts(grants=(given_,)))
    line = recorded(evaluation, REQUEST, USER, policies.revision)
    assert again(policies, line, ("p/a", "p/all")) == "allow"


def test_a_broken_glass_is_judged_by_the_new_rule() -> None:
    glass = {"groups": ["on-duty"], "factors": ["totp"]}
    line = on_record(asking(break_glass=glass), approval("action:p/a", break_glass=BROKEN))
    assert (line.decision, line.break_glass) == ("allow", True)
    assert again(asking(break_glass=glass), line) == "allow"
    assert again(asking(break_glass={**glass, "factors": ["webauthn"]}), line) == "hold"
    assert again(asking(), line) == "hold"


def test_what_was_asked_and_not_given_is_not_given_again() -> None:
    assert again(asking(min=2), on_record(asking())) == "hold"


@pytest.mark.parametrize("reason", ["approval-denied", "approval-expired", "approval-cancelled"])
def test_how_a_hold_ended_is_how_it_ends_again(reason: str) -> None:
    policies = asking()
    evaluation = evaluate(policies, REQUEST, USER)
    ended = Evaluation(decision=Deny(reason=reason, rule="p/a"), rules=evaluation.rules)
    line = recorded(ended, REQUEST, USER, policies.revision)
    assert again(policies, line, ("p/a", "p/all")) == "deny"
    assert again(compiled(document("p", rule("all", "allow"))), line) == "allow"


blocks = st.fixed_dictionaries(
    {},
    optional={
        "min": st.sampled_from((1, 2)),
        "approvers": st.sampled_from(({"groups": ["chiefs", "board"]}, {"subjects": ["b1", "b2"]})),
        "valid_for": st.sampled_from(("5s", "1m")),
        "uses": st.sampled_from((1, 2, "unlimited")),
        "bind": st.sampled_from(("session", "action")),
    },
)
voters = st.lists(
    st.builds(
        vote,
        st.sampled_from(("b1", "b2", "b3")),
        person=st.sampled_from(("p1", "p2", "u1")),
        groups=st.sampled_from((("chiefs",), ("board",), ())),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(before=blocks, after=blocks, votes=voters, uses=st.sampled_from((None, 1, 2)))
def test_a_replay_counts_as_the_decision_would_or_says_that_it_can_not_tell(
    before: dict[str, Any], after: dict[str, Any], votes: list[Any], uses: int | None
) -> None:
    binding = "session" if before.get("bind") == "session" else "action:p/a"
    grant = approval(binding, *votes, uses=uses)
    line = on_record(asking(**before), grant)
    if line.decision == "allow":
        truth = evaluate(asking(**after), REQUEST, USER, facts=Facts(grants=(grant,))).decision
        assert again(asking(**after), line) in (word(truth), "undecidable")
