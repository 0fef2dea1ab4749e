"""How a condition came to its value: the tree of its subexpressions, each with what it was.

The rule kept here: what is told was evaluated, in the scope that decided. A subexpression that an evaluation left out
has no value, and none is worked out for it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy.context import PARAMS, VARIABLES, RequestScope, VariableScope
from extauthz.policy.plain import Json, shown
from extauthz.policy.risk_models import RiskModel, scope_of
from extauthz.policy.rules import Candidate

MOST_TOLD: Final = 1_000
"""Elements of a list or entries of a map that are told."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A subexpression and the values it had: none if it was left out, one for each element within a macro (`each`).

    A value may be the `cel.EvalError` that it failed with.
    """

    node: tree.Expr
    expression: str
    values: tuple[object, ...]
    each: bool
    parts: tuple["Traced", ...]

    @cached_property
    def error(self) -> cel.EvalError | None:
        """What it failed with; the error of a part if that left it without a value."""
        if self.values:
            last = self.values[-1]
            return last if isinstance(last, cel.EvalError) else None
        return next((part.error for part in self.parts if part.error is not None), None)

    @property
    def is_view(self) -> bool:
        """Whether it is no value by itself: `user`, `request`, of which conditions read fields."""
        return isinstance(self.node.type, cel.StructType)

    def walk(self) -> Iterator["Traced"]:
        """This and all subexpressions, each before its own parts."""
        yield self
        for part in self.parts:
            yield from part.walk()


class RuleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a candidate, `None` if it has none, and the variables that were read for it, by name."""

    condition: Traced | None
    variables: Mapping[str, Traced]


class ModelTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of the signals of a risk model, and the variables that were read for them, by name."""

    signals: Mapping[str, Traced]
    variables: Mapping[str, Traced]


def trace(program: cel.Program, scope: Mapping[str, Any]) -> Traced:
    """The tree of one evaluation. Never raises."""
    values: dict[tuple[int, int], list[object]] = {}
    for step in cel.explain(program, scope):
        values.setdefault((step.span.start, step.span.end), []).append(step.value)
    return _traced(program.tree, program.source, values, each=False)


def _traced(node: tree.Expr, source: str, values: Mapping[tuple[int, int], list[object]], *, each: bool) -> Traced:
    found = values.get((node.span.start, node.span.end), [])
    parts = []
    for child in tree.children(node):
        in_loop = each or (isinstance(node, tree.Loop) and child is not node.range)
        parts.append(_traced(child, source, values, each=in_loop))
    return Traced(
        node=node,
        expression=source[node.span.start : node.span.end],
        values=tuple(found if each else found[-1:]),
        each=each,
        parts=tuple(parts),
    )


def trace_rule(item: Candidate, shared: RequestScope) -> RuleTrace:
    """The trace of a candidate's condition and of the variables that it reads. `shared` is what all policies see."""
    rule, policy = item.rule, item.rule.policy
    if rule.when is None:
        return RuleTrace(condition=None, variables={})
    around = shared if rule.risk is None else scope_of(rule.risk, shared)
    scope = VariableScope(VariableScope(around, policy.shared, policy.constants), policy.per_rule)
    scope[PARAMS] = item.params
    condition = trace(rule.when, scope)
    variables = _variables([condition], {**policy.shared, **policy.per_rule}, scope)
    return RuleTrace(condition=condition, variables=variables)


def trace_model(model: RiskModel, shared: RequestScope) -> ModelTrace:
    """The trace of the signals of a risk model and of the variables that they read."""
    scope = scope_of(model, shared)
    signals = {signal.name: trace(signal.when, scope) for signal in model.signals}
    return ModelTrace(signals=signals, variables=_variables(list(signals.values()), model.variables, scope))


def _variables(
    pending: list[Traced], programs: Mapping[str, cel.Program], scope: Mapping[str, Any]
) -> dict[str, Traced]:
    """The traces of the variables that were read, and of those that they read."""
    variables: dict[str, Traced] = {}
    while pending:
        for name in _variables_read(pending.pop(0)):
            if name not in variables and name in programs:
                variables[name] = trace(programs[name], scope)
                pending.append(variables[name])
    return variables


def _variables_read(traced: Traced) -> Iterator[str]:
    for part in traced.walk():
        if isinstance(part.node, tree.Variable) and part.node.name.startswith(VARIABLES) and part.values:
            yield part.node.name


def told(value: object) -> Json:
    """A value as JSON has it; what JSON does not have as the text that CEL writes, or nearly."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return f"b{str(value)[1:]}"
        case cel.Timestamp() | cel.Duration():
            return shown(value)
        case cel.Type():
            return value.name
        case cel.Optional():
            return {"optional": told(value.content)} if value.present else {}
        case Mapping():
            return {str(told(key)): _entry(value, key) for key in _first(value)}
        case list() | tuple():
            return [told(item) for item in _first(value)]
        case _:
            return str(value)


def _first(values: Any) -> Iterator[Any]:  # noqa: ANN401 - any collection
    """The first elements; what is masked as a whole has none."""
    try:
        for number, one in enumerate(values):
            if number == MOST_TOLD:
                return
            yield one
    except cel.EvalError:
        return


def _entry(mapping: Mapping[Any, object], key: object) -> Json:
    """The value under a key; some maps have keys whose value can't be read, like a parameter that came twice."""
    try:
        return told(mapping[key])
    except cel.EvalError as error:
        return f"({error.message})"
