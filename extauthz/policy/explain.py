"""One decision with all its reasons: what every candidate's condition saw, and why the other rules were none.

The rule kept here: an explanation repeats the decision's own evaluation, it never makes another.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy.candidates import Candidates
from extauthz.policy.context import RequestScope
from extauthz.policy.mismatch import Mismatch, Other
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.sources import Sources
from extauthz.policy.trace import ModelTrace, RuleTrace, Traced, told, trace_model, trace_rule
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Evaluation, RuleResult
from extauthz.values.request import RequestView


def traces(
    candidates: Candidates, request: RequestView, evaluation: Evaluation, scope: RequestScope
) -> Mapping[str, RuleTrace]:
    """The trace of every candidate of a request that had a say, by `policy/rule`; `scope` is what conditions saw."""
    spoke = frozenset(one.rule for one in evaluation.rules)
    return {item.rule.name: trace_rule(item, scope) for item in candidates.items(request) if item.rule.name in spoke}


def risk_traces(policies: PolicySet, evaluation: Evaluation, scope: RequestScope) -> Mapping[str, ModelTrace]:
    """The trace of every risk model that a condition has read, by its name. `scope` is what the conditions saw."""
    read = frozenset(one.model for one in evaluation.risk)
    return {model.name: trace_model(model, scope) for model in policies.risk_models if model.name in read}


def risk_as_json(assessments: Iterable[Assessment], found: Mapping[str, ModelTrace]) -> list[dict[str, Any]]:
    """The `risk` of `policy explain`: each model that a condition has read, with every signal and why it counts."""
    return [
        {
            "model": assessment.model,
            "score": assessment.score,
            "level": assessment.level,
            "signals": [
                {
                    "name": one.name,
                    "state": one.state,
                    "counted": one.counted,
                    "weight": one.weight,
                    "reason": one.reason,
                    "age": one.age,
                    "error": one.error,
                    "trace": as_json(trace.signals[one.name]),
                }
                for one in assessment.heard
            ],
            "variables": {name: as_json(traced) for name, traced in trace.variables.items()},
        }
        for assessment in assessments
        for trace in (found[assessment.model],)
    ]


def rules_as_json(
    rules: Iterable[RuleResult], found: Mapping[str, RuleTrace], sources: Sources
) -> list[dict[str, Any]]:
    """The `rules` of `policy explain`: the keys of design section 7, and `place`, `trace` and `variables`."""
    return [
        {
            "rule": one.rule,
            "effect": one.effect,
            "mode": one.mode,
            "result": one.result,
            "error": one.error,
            "place": str(sources.of_rule(one.rule)),
            "trace": None if trace.condition is None else as_json(trace.condition),
            "variables": {name: as_json(traced) for name, traced in trace.variables.items()},
        }
        for one in rules
        for trace in (found[one.rule],)
    ]


def others_as_json(found: Iterable[Other], sources: Sources) -> list[dict[str, Any]]:
    """The `others` of `policy explain`: every rule that is no candidate, and each match field that does not fit."""
    return [
        {
            "rule": other.rule.name,
            "effect": other.rule.effect,
            "place": str(sources.of_rule(other.rule.name)),
            "because": [_mismatch(one) for one in other.mismatches],
        }
        for other in found
    ]


def _mismatch(one: Mismatch) -> dict[str, Any]:
    return {"field": one.field, "wanted": list(one.wanted), "got": one.got}


def as_json(traced: Traced) -> dict[str, Any]:
    """A subexpression with its place in the expression (from 1), what it was, and its parts.

    It has a `value` or an `error`; within a macro `each` has one of both for every element; what was left out is
    `skipped`. Literals are their own value and are left out, as are names like `user` that only hold fields.
    """
    span = traced.node.span
    plain: dict[str, Any] = {"expression": traced.expression, "line": span.line, "column": span.column}
    if traced.each:
        plain["each"] = [_outcome(value) for value in traced.values]
    elif traced.error is not None:
        plain["error"] = traced.error.message
    elif traced.values:
        plain |= _outcome(traced.values[0])
    else:
        plain["skipped"] = True
    plain["parts"] = [
        as_json(part) for part in traced.parts if not isinstance(part.node, tree.Constant) and not part.is_view
    ]
    return plain


def _outcome(value: object) -> dict[str, Any]:
    return {"error": value.message} if isinstance(value, cel.EvalError) else {"value": told(value)}
