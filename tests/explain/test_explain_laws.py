"""An explanation agrees with the decision that it explains, on any policies and requests."""

from hypothesis import HealthCheck, given, settings
from policy.any_policies import identities, policies, requests
from policy.making import NOW, Document, compiled, evaluate

from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.explain import as_json, traces
from extauthz.policy.mismatch import mismatches, others
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

lawful = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@lawful
@given(policies(), requests(), identities)
def test_every_rule_is_a_candidate_or_has_a_mismatch(
    documents: list[Document], request: RequestView, identity: Identity
) -> None:
    policies = compiled(*documents)
    spoke = {one.rule for one in evaluate(policies, request, identity).rules}
    for rule in policies.rules:
        why = list(mismatches(rule, request=request, identity=identity, now=NOW))
        assert bool(why) == (rule.name not in spoke), rule.name
    rest = others(policies, spoke, request=request, identity=identity, now=NOW)
    assert {other.rule.name for other in rest} | spoke == {rule.name for rule in policies.rules}


@lawful
@given(policies(), requests(), identities)
def test_a_trace_ends_as_its_rule_came_out(documents: list[Document], request: RequestView, identity: Identity) -> None:
    policies = compiled(*documents)
    evaluation = evaluate(policies, request, identity)
    scope = RequestScope(Inputs(request=request, identity=identity, facts=NO_FACTS, now=NOW))
    found = traces(policies.candidates(request, identity), request, evaluation, scope)
    assert found.keys() == {one.rule for one in evaluation.rules}
    for one in evaluation.rules:
        condition = found[one.rule].condition
        if condition is None:
            continue
        told = as_json(condition)
        if one.result == "error" and "error" not in told:
            assert told["value"] is True, "only a rule that matches can fail in what it does"
        elif one.result == "error":
            assert told["error"] in (one.error or "")
        else:
            assert told["value"] is (one.result == "match")
