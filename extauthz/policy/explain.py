"""One decision with all its reasons: what every candidate's condition saw, and why the other rules were none.

The rule kept here: an explanation repeats the decision's own evaluation, it never makes another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy.context import RequestScope
from extauthz.policy.mismatch import Mismatch, Other, others
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.sources import Sources
from extauthz.policy.trace import RuleTrace, Traced, told, trace_rule
from extauthz.values.decisions import Evaluation
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """The traces of the candidates by `policy/rule`, and the other rules, the nearest first."""

    traces: Mapping[str, RuleTrace]
    others: tuple[Other, ...]


def reasons(
    policies: PolicySet,
    evaluation: Evaluation,
    *,
    request: RequestView,
    identity: Identity,
    now: float,
    scope: RequestScope,
) -> Reasons:
    """The reasons of a decision that was made of the same arguments. `scope` is what its conditions saw."""
    spoke = frozenset(one.rule for one in evaluation.rules)
    candidates = policies.candidates(request, identity).items
    return Reasons(
        traces={item.rule.name: trace_rule(item, scope) for item in candidates if item.rule.name in spoke},
        others=others(policies, spoke, request=request, identity=identity, now=now),
    )


NO_REASONS = Reasons(traces={}, others=())
"""Those of a request that was refused before any rule saw it."""


def rules_as_json(evaluation: Evaluation, found: Reasons, sources: Sources) -> list[dict[str, Any]]:
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
        for one in evaluation.rules
        for trace in (found.traces[one.rule],)
    ]


def others_as_json(found: Reasons, sources: Sources) -> list[dict[str, Any]]:
    """The `others` of `policy explain`: every rule that is no candidate, and each match field that does not fit."""
    return [
        {
            "rule": other.rule.name,
            "effect": other.rule.effect,
            "place": str(sources.of_rule(other.rule.name)),
            "because": [_mismatch(one) for one in other.mismatches],
        }
        for other in found.others
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
