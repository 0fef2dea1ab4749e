"""Allows that a higher risk opens: a signal that errs counts, so that such a rule lets through what nobody knows.

Understood are `&&`, `||`, `!`, `? :`, variables, and comparisons of `risk.score`, `risk.level` and `risk.signals`; what
else is made of the risk is left alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from extauthz.cel import Program, tree
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.presence import field_of, shape

MAX_STEPS: Final = 10_000
"""Nodes that are looked at for one rule, those of variables each time they are used."""

_SCORE: Final = field_of("risk", "score")
_LEVEL: Final = field_of("risk", "level")
_SIGNALS: Final = field_of("risk", "signals")
_ABOVE: Final = frozenset({"_>_", "_>=_"})
_BELOW: Final = frozenset({"_<_", "_<=_"})


def findings(rules: Iterable[Subject]) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        rule = subject.rule
        if rule.effect != "allow" or rule.risk is None or rule.when is None:
            continue
        search = _Search({**rule.policy.shared, **rule.policy.per_rule}, rule.risk.levels[0].name)
        if search.rises(rule.when.tree, wanted=True):
            yield subject.finding(
                "risk-opens",
                ("when",),
                "a higher risk opens this allow, and a signal that errs raises the risk",
                "let it ask for a low risk, and let a guard ask for a high one",
            )


class _Search:
    """Looks for a part of a condition that a higher risk makes true. `lowest` is the name of the lowest level."""

    def __init__(self, variables: Mapping[str, Program], lowest: str) -> None:
        self._variables = variables
        self._lowest = lowest
        self._left = MAX_STEPS

    def rises(self, node: tree.Expr, *, wanted: bool) -> bool:
        """Whether a higher risk may make the node come to `wanted`."""
        self._left -= 1
        if self._left < 0:
            return False
        match node:
            case tree.Logic(terms=terms):
                return any(self.rises(term, wanted=wanted) for term in terms)
            case tree.Call(function="!_", args=(inner,)):
                return self.rises(inner, wanted=not wanted)
            case tree.Conditional(then=then, otherwise=otherwise):
                return self.rises(then, wanted=wanted) or self.rises(otherwise, wanted=wanted)
            case tree.Variable(name=name) if name in self._variables:
                return self.rises(self._variables[name].tree, wanted=wanted)
            case tree.Call(function=function, args=(left, right)):
                return wanted in self._made(function, left, right)
            case _:
                return False

    def _made(self, function: str, left: tree.Expr, right: tree.Expr) -> frozenset[bool]:
        """What a higher risk may make of a comparison."""
        sides = shape(left), shape(right)
        if _SCORE in sides and function in _ABOVE | _BELOW:
            return frozenset({(function in _ABOVE) == (sides[0] == _SCORE)})
        if function in ("_==_", "_!=_") and _LEVEL in sides:
            names = self._names(right if sides[0] == _LEVEL else left)
            return self._of_levels(names, equal=function == "_==_")
        if function == "@in" and sides[0] == _LEVEL:
            return self._of_levels(self._names(right), equal=True)
        return frozenset({True}) if function == "@in" and sides[1] == _SIGNALS else frozenset()

    def _of_levels(self, names: frozenset[str], *, equal: bool) -> frozenset[bool]:
        if not names:
            return frozenset()
        # What names the lowest level is made false by a higher risk, and what does not is made true.
        return frozenset({(self._lowest not in names) == equal})

    def _names(self, node: tree.Expr) -> frozenset[str]:
        """The levels that a literal names; none if it is no literal."""
        match node:
            case tree.Constant(value=str() as name):
                return frozenset({name})
            case tree.ListDisplay(elements=elements):
                return frozenset().union(*(self._names(element.value) for element in elements))
            case _:
                return frozenset()
