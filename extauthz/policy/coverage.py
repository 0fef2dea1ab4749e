"""What a run of cases has tried of the policies: rules and branches of their conditions, both ways.

A rule is covered by a case where it matches and one where it does not. A rule with a condition does not match where
the condition is false, one without where it is no candidate; a rule that covers everything only has to match. A
branch is a term of `&&` or `||`, or the test of `?:`, in a condition or in a variable that a condition reads; it is
covered by a case where it is true and one where it is false. The rule kept here: an error is neither.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.rules import Rule
from extauthz.policy.sources import SourcePlace, Sources
from extauthz.policy.trace import RuleTrace, Traced
from extauthz.values.decisions import RuleResult

_WHOLE: Final = -1


class Way(NamedTuple):
    """One of the two ways that something can come out: a rule (`start` is -1), or the branch at `start`.

    `owner` is `policy/rule` or `policy/variables.name`.
    """

    owner: str
    start: int
    end: int
    outcome: bool


class Count(msgspec.Struct, frozen=True):
    """How many of how many are covered both ways."""

    covered: int
    total: int

    @property
    def percent(self) -> float:
        """100 where there is nothing to cover."""
        return 100.0 * self.covered / self.total if self.total else 100.0


class Gap(msgspec.Struct, frozen=True):
    """A way that no case has taken: where, in whose text, and in words."""

    owner: str
    place: SourcePlace
    expression: str | None
    missing: str


@dataclass(slots=True)
class Coverage:
    """Takes what every case did, and then tells what is missing."""

    policies: PolicySet
    _taken: set[Way] = field(default_factory=set)
    _cases: int = 0
    _spoke: Counter[str] = field(default_factory=Counter)
    _conditional: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._conditional = frozenset(rule.name for rule in self.policies.rules if rule.when is not None)

    def note(self, results: Iterable[RuleResult], traces: Mapping[str, RuleTrace]) -> None:
        """Add one case: how its candidates came out, and their traces by rule."""
        self._cases += 1
        for one in results:
            self._spoke[one.rule] += 1
            if one.result != "error":
                self._taken.add(Way(one.rule, _WHOLE, _WHOLE, one.result == "match"))
        for rule, trace in traces.items():
            if trace.condition is not None:
                self._note_branches(rule, trace.condition)
            for name, variable in trace.variables.items():
                self._note_branches(f"{rule.partition('/')[0]}/{name}", variable)

    def _is_taken(self, way: Way) -> bool:
        if way in self._taken:
            return True
        no_candidate = way.start == _WHOLE and not way.outcome and way.owner not in self._conditional
        return no_candidate and self._spoke[way.owner] < self._cases

    def _note_branches(self, owner: str, traced: Traced) -> None:
        for part in traced.walk():
            branches = {id(node) for node in _branches(part.node)}
            for term in part.parts:
                if id(term.node) in branches:
                    span = term.node.span
                    self._taken.update(
                        Way(owner, span.start, span.end, value) for value in term.values if isinstance(value, bool)
                    )

    @property
    def rules(self) -> Count:
        """The rules that are covered."""
        return self._count(_rule_ways(self.policies.rules))

    @property
    def branches(self) -> Count:
        """The branches that are covered."""
        return self._count(way for _, way in _branch_ways(self.policies.rules))

    def _count(self, ways: Iterable[Way]) -> Count:
        wanted: dict[tuple[str, int, int], bool] = {}
        for way in ways:
            wanted[way[:3]] = wanted.get(way[:3], True) and self._is_taken(way)
        return Count(sum(wanted.values()), len(wanted))

    def gaps(self, sources: Sources) -> list[Gap]:
        """What is not covered, in the order of files and lines."""
        gaps = [
            Gap(way.owner, sources.of_rule(way.owner), None, "matches" if way.outcome else "does not match")
            for way in _rule_ways(self.policies.rules)
            if not self._is_taken(way)
        ]
        for program, way in _branch_ways(self.policies.rules):
            if not self._is_taken(way):
                node = next(node for node in _all_branches(program) if node.span[:2] == (way.start, way.end))
                place = sources.in_expression(way.owner, node.span.line, node.span.column)
                expression = program.source[way.start : way.end]
                gaps.append(Gap(way.owner, place, expression, "is true" if way.outcome else "is false"))
        return sorted(gaps, key=lambda gap: (gap.place.file, gap.place.line, gap.place.column, gap.missing))


def _rule_ways(rules: Iterable[Rule]) -> Iterator[Way]:
    for rule in rules:
        yield Way(rule.name, _WHOLE, _WHOLE, True)
        place = rule.place
        if rule.when is not None or place.hosts or place.methods or place.templates or place.workloads:
            yield Way(rule.name, _WHOLE, _WHOLE, False)


def _branch_ways(rules: Iterable[Rule]) -> Iterator[tuple[cel.Program, Way]]:
    """Both ways of every branch of conditions and of the variables that they reach, each once."""
    seen: set[str] = set()
    for rule in rules:
        if rule.when is None:
            continue
        programs = {**rule.policy.shared, **rule.policy.per_rule}
        pending = [(rule.name, rule.when)]
        while pending:
            owner, program = pending.pop()
            if owner in seen:
                continue
            seen.add(owner)
            pending += [(f"{rule.policy.name}/{name}", programs[name]) for name in program.names if name in programs]
            for node in _all_branches(program):
                for outcome in (True, False):
                    yield program, Way(owner, node.span.start, node.span.end, outcome)


def _all_branches(program: cel.Program) -> Iterator[tree.Expr]:
    for node in cel.walk(program.tree):
        yield from _branches(node)


def _branches(node: tree.Expr) -> Iterator[tree.Expr]:
    """The subexpressions that decide what a node comes to; literals can't come out both ways."""
    match node:
        case tree.Logic(terms=terms):
            yield from (term for term in terms if not isinstance(term, tree.Constant))
        case tree.Conditional(test=test) if not isinstance(test, tree.Constant):
            yield test
