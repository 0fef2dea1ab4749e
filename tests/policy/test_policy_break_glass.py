"""Step 5 of a decision: who is offered to break the glass, and that what they have broken is judged anew each time."""

from typing import Any

from policy.asking_chiefs import ALL, USER, asking, demanded, is_let_through
from policy.making import NOW, WEB, approval, caller, compiled, document, evaluate, grant, http, rule, vote

from extauthz.values.approvals import Approver, BreakGlass, Proof, Review
from extauthz.values.decisions import Challenge, Hold
from extauthz.values.grants import Facts, Grant

GLASS = asking(break_glass={"groups": ["on-duty"], "factors": ["totp"], "max_age": "1m", "valid_for": "10m"})


def broken(**changes: Any) -> Grant:
    by = Approver(subject=demanded(GLASS).subject, person="u1", groups=frozenset({"on-duty"}))
    glass = {"by": by, "reason": "fire", "proof": Proof(factor="otp", at=NOW - 15), "at": NOW - 10, **changes}
    return approval("action:p/a", break_glass=BreakGlass(**glass))


def test_only_members_are_offered_to_break_the_glass() -> None:
    offer = demanded(GLASS).break_glass
    assert offer is not None
    assert (offer.by.person, offer.demand.binding, offer.demand.uses, offer.proof) == ("u1", "break-glass:p/a", 1, None)
    assert demanded(GLASS, identity=caller(sub="u1")).break_glass is None
    assert demanded(asking()).break_glass is None
    assert demanded(GLASS, identity=caller(workload=WEB)).break_glass is None


def test_who_acts_for_a_member_breaks_no_glass() -> None:
    agent = caller(sub="u1", groups=("on-duty",), actor={"sub": "agent"})
    assert demanded(GLASS, identity=agent).break_glass is None
    assert not is_let_through(GLASS, broken(), identity=agent)


def test_the_proof_for_it_is_one_of_its_own() -> None:
    for binding, is_one in (("break-glass:p/a", True), ("action:p/a", False), ("session", False)):
        decision = evaluate(GLASS, http("/"), USER, facts=Facts(grants=(grant(binding, uses=1),))).decision
        assert isinstance(decision, Hold)
        offer = decision.demands[0].break_glass
        assert offer is not None
        assert (offer.proof is not None) is is_one


def test_the_proof_for_it_meets_no_challenge() -> None:
    policies = compiled(document("p", ALL, rule("a", "challenge")))
    decision = evaluate(policies, http("/"), USER, facts=Facts(grants=(grant("break-glass:p/a"),))).decision
    assert isinstance(decision, Challenge)


def test_a_broken_glass_lets_through() -> None:
    assert is_let_through(GLASS, broken())


def test_a_broken_glass_is_judged_by_the_rule_of_the_moment() -> None:
    assert not is_let_through(asking(), broken())
    assert not is_let_through(GLASS, broken(), identity=caller(sub="u1"))
    assert not is_let_through(GLASS, broken(proof=Proof(factor="hwk", at=NOW - 15)))
    assert not is_let_through(GLASS, broken(proof=Proof(factor="otp", at=NOW - 100)))
    assert not is_let_through(GLASS, broken(), now=NOW + 600)
    somebody = Approver(subject=demanded(GLASS).subject, person="u2")
    assert not is_let_through(GLASS, broken(by=somebody))
    review = Review(by=vote("b1").approver, verdict="unjustified", at=NOW)
    assert not is_let_through(GLASS, broken(review=review))


def test_breaking_the_glass_meets_no_challenge() -> None:
    block = {"approvers": {"groups": ["chiefs"]}, "break_glass": {"groups": ["on-duty"], "factors": ["totp"]}}
    policies = compiled(document("p", ALL, rule("a", "approve", approve=block), rule("c", "challenge")))
    assert isinstance(evaluate(policies, http("/"), USER, facts=Facts(grants=(broken(),))).decision, Challenge)
