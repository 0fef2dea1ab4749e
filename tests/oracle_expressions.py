"""CEL for the oracle: the expressions of one rule on one request, with variables and definitions; nothing is kept."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from extauthz import cel
from extauthz.policy.context import NAMES, Inputs, RequestScope

Document = Mapping[str, Any]
Evaluate = Callable[[str], object]
"""The value of an expression. Raises `cel.EvalError`."""


def evaluator(documents: Iterable[Document], policy: Document, inputs: Inputs, params: Mapping[str, str]) -> Evaluate:
    """For the expressions of a rule of `policy` whose templates captured `params`; variables anew each time."""
    variables = policy["spec"].get("variables", {})
    specs = [one["spec"] for one in documents if one["kind"] == "Definitions"]
    values = {
        f"definitions.{name}": value
        for spec in specs
        for kind in ("lists", "constants")
        for name, value in spec.get(kind, {}).items()
    }
    functions = defined_functions(specs, values)
    types = {**NAMES, **dict.fromkeys((*(f"variables.{name}" for name in variables), *values), cel.DYN)}
    scope = RequestScope(inputs)
    scope.update({"request.params": params, **values})

    def look_up(name: str) -> object:
        return evaluate(variables[name.removeprefix("variables.")]) if name.startswith("variables.") else scope[name]

    def evaluate(source: str) -> object:
        program = cel.compile(source, variables=types, functions=functions, nan_ordering_is_error=True)
        return program(Names(look_up))

    return evaluate


def defined_functions(specs: Iterable[Document], values: Mapping[str, object]) -> tuple[cel.Function, ...]:
    """Functions that compile and evaluate their bodies anew at every call."""
    functions: list[cel.Function] = []

    def function(name: str, parameters: list[str], body: str) -> cel.Function:
        def call(*args: object) -> object:
            known = {**values, **dict(zip(parameters, args, strict=True))}
            return cel.compile(
                body, variables=dict.fromkeys(known, cel.DYN), functions=functions, nan_ordering_is_error=True
            )(known)

        return cel.Function(name, [cel.Overload(name, (cel.DYN,) * len(parameters), cel.DYN, call)])

    for spec in specs:
        for name, one in spec.get("functions", {}).items():
            parameters = [parameter["name"] for parameter in one.get("parameters", [])]
            functions.append(function(f"definitions.{name}", parameters, one["body"]))
    return tuple(functions)


class Names(dict[str, object]):
    """Keeps nothing: every value is looked up when it is read."""

    def __init__(self, look_up: Callable[[str], object]) -> None:
        self._look_up = look_up

    def __missing__(self, name: str) -> object:
        return self._look_up(name)
