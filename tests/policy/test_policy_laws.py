"""The laws of design section 3 as properties, and the agreement with the oracle."""

import dataclasses
import random
from datetime import UTC, datetime

import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from policy.any_policies import approvals, flaws, identities, policies, requests, rules, whole
from policy.making import (
    KEY,
    NOW,
    Document,
    caller,
    compiled,
    document,
    evaluate,
    grant,
    http,
    rule,
)

from extauthz.policy.context import Inputs
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Evaluation, Hold
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

lawful = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def verdict(decision: Decision) -> oracle.Verdict:
    words = {Allow: "allow", Deny: "deny", Challenge: "challenge", Hold: "hold"}
    return oracle.Verdict(words[type(decision)], decision.rule, decision.reason)


def passes(evaluation: Evaluation) -> bool:
    return isinstance(evaluation.decision, Allow)


def policies_of(*documents: Document) -> PolicySet:
    return compiled(*whole(*documents))


@settings(lawful, max_examples=100)
@given(policies(), requests(), identities, st.data())
def test_compiled_policies_and_the_oracle_agree(
    documents: list[Document], request: RequestView, identity: Identity, data: st.DataObject
) -> None:
    policies_set = compiled(*documents)
    first = evaluate(policies_set, request, identity)
    inputs = Inputs(request=request, identity=identity, facts=Facts(), now=NOW)
    assert verdict(first.decision) == oracle.judge(documents, inputs, KEY)
    assert first.audit_required == oracle.audit_required(documents, inputs)
    if isinstance(first.decision, Challenge):
        grants = [
            grant(**{"binding": one.binding, "id": str(n), "subject": identity.subject, **data.draw(flaws)})
            for n, one in enumerate(first.decision.demands)
        ]
        facts = Facts(grants=tuple(grants))
        first = evaluate(policies_set, request, identity, facts=facts)
        inputs = replace(inputs, facts=facts)
        assert verdict(first.decision) == oracle.judge(documents, inputs, KEY)
    if isinstance(first.decision, Hold):
        facts = Facts(grants=(*inputs.facts.grants, *approvals(first.decision, data)))
        again = evaluate(policies_set, request, identity, facts=facts)
        assert verdict(again.decision) == oracle.judge(documents, replace(inputs, facts=facts), KEY)


moments = st.sampled_from(
    (NOW, datetime(2019, 1, 1, tzinfo=UTC).timestamp(), datetime(2036, 1, 1, tzinfo=UTC).timestamp())
)


@lawful
@given(policies(), st.lists(st.tuples(requests(), identities, moments), min_size=2, max_size=6))
def test_what_was_decided_before_changes_no_decision(
    documents: list[Document], asked: list[tuple[RequestView, Identity, float]]
) -> None:
    """Nor does it when all of it is asked again: whatever is remembered of a decision is true of the next one."""
    remembering = compiled(*documents)
    fresh = [evaluate(compiled(*documents), request, identity, now=now) for request, identity, now in asked]
    for (request, identity, now), known in zip([*asked, *asked], [*fresh, *fresh], strict=True):
        assert evaluate(remembering, request, identity, now=now) == known


@lawful
@given(policies(), rules(("deny", "challenge", "approve")), requests(), identities)
def test_a_guard_never_allows_more(
    documents: list[Document], guard: Document, request: RequestView, identity: Identity
) -> None:
    with_guard = evaluate(policies_of(*documents, guarded(guard)), request, identity)
    if passes(with_guard):
        assert passes(evaluate(compiled(*documents), request, identity))


@lawful
@given(policies(), rules(("approve",)), requests(), identities, st.data())
def test_a_guard_that_is_approved_never_allows_more_than_none(
    documents: list[Document], guard: Document, request: RequestView, identity: Identity, data: st.DataObject
) -> None:
    with_guard = policies_of(*documents, guarded(guard))
    asks = evaluate(with_guard, request, identity).decision
    if isinstance(asks, Hold):
        facts = Facts(grants=approvals(asks, data))
        if passes(evaluate(with_guard, request, identity, facts=facts)):
            assert passes(evaluate(compiled(*documents), request, identity, facts=facts))


@lawful
@given(policies(), requests(), identities, st.data())
def test_a_vote_taken_away_never_allows_more(
    documents: list[Document], request: RequestView, identity: Identity, data: st.DataObject
) -> None:
    known = compiled(*documents)
    asks = evaluate(known, request, identity).decision
    if isinstance(asks, Hold):
        given_ = approvals(asks, data)
        fewer = tuple(
            dataclasses.replace(one, approval=replace(one.approval, votes=one.approval.votes[1:]))
            for one in given_
            if one.approval is not None
        )
        if passes(evaluate(known, request, identity, facts=Facts(grants=fewer))):
            assert passes(evaluate(known, request, identity, facts=Facts(grants=given_)))


def guarded(one: Document) -> Document:
    variables = {"v": "user.sub == 'u1'", "w": "variables.v && has(user.sub)"}
    return document("added", one, variables=variables)


@lawful
@given(policies(), rules(("allow",)), requests(), identities)
def test_an_allow_that_changes_nothing_never_lets_less_through(
    documents: list[Document], allow: Document, request: RequestView, identity: Identity
) -> None:
    plain = {name: value for name, value in allow.items() if name != "allow"}
    if passes(evaluate(compiled(*documents), request, identity)):
        assert passes(evaluate(policies_of(*documents, guarded(plain)), request, identity))


@lawful
@given(policies(), requests(), identities, st.randoms(use_true_random=False))
def test_the_order_of_rules_and_files_is_irrelevant(
    documents: list[Document], request: RequestView, identity: Identity, chance: random.Random
) -> None:
    shuffled = []
    for one in chance.sample(documents, len(documents)):
        own = one["spec"].get("rules", [])
        spec = {**one["spec"], "rules": chance.sample(own, len(own))} if own else one["spec"]
        shuffled.append({**one, "spec": spec})
    before, after = compiled(*documents), compiled(*shuffled)
    assert before.revision == after.revision
    assert evaluate(before, request, identity) == evaluate(after, request, identity)


@lawful
@given(policies(), rules(), requests(), identities)
def test_a_shadow_rule_is_recorded_and_never_obeyed(
    documents: list[Document], shadow: Document, request: RequestView, identity: Identity
) -> None:
    shadow = {name: value for name, value in shadow.items() if name not in ("expires", "expires_opens")}
    enforced, silent = ({**shadow, "mode": mode} for mode in ("enforce", "shadow"))
    without = evaluate(compiled(*documents), request, identity)
    with_shadow = evaluate(policies_of(*documents, guarded(silent)), request, identity)
    assert with_shadow.decision == without.decision
    recorded = {one.rule: one.result for one in with_shadow.rules}.get(f"added/{shadow['name']}")
    alone = {one.rule for one in evaluate(policies_of(guarded(enforced)), request, identity).rules}
    assert (recorded is not None) == bool(alone)


@lawful
@given(st.lists(rules(("deny", "challenge", "approve")), min_size=1, max_size=4), requests(), identities)
def test_only_an_allow_can_allow(guards: list[Document], request: RequestView, identity: Identity) -> None:
    named = [{**one, "name": f"g{number}"} for number, one in enumerate(guards)]
    variables = {"v": "user.sub == 'u1'", "w": "variables.v && has(user.sub)"}
    assert not passes(evaluate(policies_of(document("p", *named, variables=variables)), request, identity))


FAILING = ("1 / int(request.query.nothing) == 0", "user.claims.nothing.more == 1", "[1][5] == 1")


@lawful
@given(policies(), st.sampled_from(FAILING), st.sampled_from(("deny", "challenge", "approve")), requests(), identities)
def test_a_guard_that_errors_denies(
    documents: list[Document], when: str, effect: str, request: RequestView, identity: Identity
) -> None:
    broken = document("broken", rule("guard", effect, when=when))
    evaluation = evaluate(compiled(*documents, broken), request, identity)
    assert isinstance(evaluation.decision, Deny)
    recorded = [one for one in evaluation.rules if one.rule == "broken/guard"]
    assert recorded[0].result == "error"
    assert recorded[0].error


@lawful
@given(policies(), st.sampled_from(FAILING), requests(), identities)
def test_an_allow_that_errors_is_recorded_and_does_not_match(
    documents: list[Document], when: str, request: RequestView, identity: Identity
) -> None:
    without = evaluate(compiled(*documents), request, identity)
    evaluation = evaluate(
        compiled(*documents, document("broken", rule("allow", "allow", tcp=True, when=when))), request, identity
    )
    assert evaluation.decision == without.decision
    assert [one.result for one in evaluation.rules if one.rule == "broken/allow"] == ["error"]


@lawful
@given(policies(), rules(), requests(), identities)
def test_an_expired_rule_is_as_if_absent(
    documents: list[Document], gone: Document, request: RequestView, identity: Identity
) -> None:
    opens = {} if gone["effect"] == "allow" else {"expires_opens": True}
    gone = {**gone, "expires": "2020-01-01T00:00:00Z", **opens}
    with_gone = evaluate(policies_of(*documents, guarded(gone)), request, identity)
    assert with_gone == evaluate(compiled(*documents), request, identity)


@pytest.mark.parametrize("comparison", ["> 1000.0", ">= 1000.0", "< 0.0", "<= 0.0"])
def test_nan_slips_under_no_limit(comparison: str) -> None:
    policies_set = compiled(
        document(
            "p",
            rule("all", "allow"),
            rule("limit", "challenge", when=f"double(request.query.amount) {comparison}"),
        )
    )
    evaluation = evaluate(policies_set, http("/?amount=NaN"), caller(sub="u1"))
    assert verdict(evaluation.decision) == oracle.Verdict("deny", "p/limit", "policy-error")
