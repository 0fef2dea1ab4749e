"""Where an `allow` reads what may be absent, which is an error and never allows.

The rule kept here: an allow without a warning of this kind has no error for want of a key or a field, whatever the
request and the caller are. What Envoy sends with every request counts as there. A body that is not known and an
element beyond the end of a list are errors of other kinds, and not looked at.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from extauthz.cel import Program, tree
from extauthz.cel.types import DYN, ListType, MapType
from extauthz.policy.context import PARAMS
from extauthz.policy.index import Place
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.presence import (
    Budget,
    Key,
    Keys,
    Presence,
    TooLarge,
    field_of,
    key_of,
    member,
    quoted,
    reads_strictly,
    spelled,
    with_owners,
)
from extauthz.policy.problems import Path
from extauthz.policy.rules import AllowTerms, Rule

# Of every check: set by Envoy itself, or worked out where it is read.
_ALWAYS: Final = frozenset(
    (
        field_of("request", "time"),
        field_of("source", "ip"),
        field_of("source", "port"),
        field_of("destination", "ip"),
        field_of("destination", "port"),
        field_of("client", "ip"),
        field_of("risk", "score"),
        field_of("risk", "level"),
        field_of("risk", "signals"),
    )
)
# Of every check that is HTTP. Bodies are there or not known, never absent.
_HTTP: Final = _ALWAYS | {
    field_of("request", field)
    for field in (
        *("id", "method", "scheme", "host", "path", "raw_path", "protocol", "truncated"),
        *("query", "query_all", "headers", "header_values", "body", "json", "form"),
    )
}


@dataclass(frozen=True, slots=True)
class Hazard:
    """A read that can fail: the node in the rule's own expression, the name of what is read, and what tests it."""

    node: tree.Expr
    key: Key
    name: str
    tests: tuple[str, ...]
    through: str = ""


def findings(rules: Iterable[Subject]) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        if subject.rule.effect == "allow":
            yield from _of_rule(subject)


def _of_rule(subject: Subject) -> Iterator[Finding]:
    rule = subject.rule
    variables = {**rule.policy.shared, **rule.policy.per_rule}
    known, seen = _known(rule.place), set[Key]()
    for path, program in _programs(rule):
        absences = Absences(variables, Budget())
        try:
            hazards = absences.hazards(program.tree, known)
            if path == ("when",):
                known = absences.presence.when(program.tree, True) | known
        except TooLarge:
            continue
        for hazard in hazards:
            if hazard.key not in seen:
                seen.add(hazard.key)
                yield _finding(subject, path, hazard)


def _finding(subject: Subject, path: Path, hazard: Hazard) -> Finding:
    through = f", which `{hazard.through}` reads," if hazard.through else ""
    then = "the condition errs and the rule does not match" if path == ("when",) else "the request is denied"
    test = " && ".join(hazard.tests)
    span = hazard.node.span
    return subject.finding_at(
        "absent-value",
        subject.document.place_in((*subject.path, *path), span.line, span.column),
        f"`{hazard.name}`{through} may be absent, and then {then}",
        f"test `{test} && …` first, or read it with `?` and `orValue()`",
        topic=hazard.name,
    )


def _known(place: Place) -> Keys:
    """What the match fields make sure of."""
    known: set[Key] = set(_ALWAYS if place.tcp else _HTTP)
    if place.workloads:
        known |= with_owners([field_of("workload", "id")])
    if place.templates:
        captured = frozenset.intersection(*(template.capture_names for template in place.templates))
        known |= {field_of(PARAMS, name) for name in captured}
    return frozenset(known)


def _programs(rule: Rule) -> Iterator[tuple[Path, Program]]:
    """The expressions of an allow by their steps below the rule, the condition first."""
    if rule.when is not None:
        yield ("when",), rule.when
    if isinstance(rule.terms, AllowTerms):
        for block, programs in rule.terms.blocks:
            for name, program in programs:
                yield ("allow", block, name), program


class Absences:
    """Looks for reads that can fail."""

    def __init__(self, variables: Mapping[str, Program], budget: Budget) -> None:
        self.presence = Presence(variables, budget)
        self._variables = variables
        self._budget = budget

    def hazards(self, node: tree.Expr, known: Keys) -> tuple[Hazard, ...]:
        """The reads of an expression that can fail when what is `known` is there. Raises `TooLarge`."""
        self._budget.spend()
        match node:
            case tree.Select() | tree.Index():
                return self._read(node, known)
            case tree.Has(operand=operand):
                return self.hazards(operand, known)
            case tree.Logic(operator=operator, terms=terms):
                return self._logic(terms, operator == "&&", known)
            case tree.Conditional(test=test, then=then, otherwise=otherwise):
                return (
                    *self.hazards(test, known),
                    *self.hazards(then, known | self.presence.when(test, True)),
                    *self.hazards(otherwise, known | self.presence.when(test, False)),
                )
            case tree.Loop():
                return self._loop(node, known)
            case tree.Bind(variable=variable, value=value, body=body):
                inside = known | self.presence.read(value)
                return (*self.hazards(value, known), *self.hazards(body, _without(inside, (variable,))))
            case tree.Variable(name=name) if name in self._variables:
                inner = self.hazards(self._variables[name].tree, known)
                return tuple(replace(hazard, node=node, through=name) for hazard in inner)
            case tree.Call(function="value", args=(operand,)):
                return self._value(node, operand, known)
            case _:
                return self._all(tree.children(node), known)

    def _all(self, nodes: Iterable[tree.Expr], known: Keys) -> tuple[Hazard, ...]:
        return tuple(hazard for node in nodes for hazard in self.hazards(node, known))

    def _read(self, node: tree.Select | tree.Index, known: Keys) -> tuple[Hazard, ...]:
        parts = self._all(tree.children(node), known)
        key = key_of(node)
        if not reads_strictly(node) or key in known or _is_item(node):
            return parts
        # Of a chain of names the longest is told, with the tests of all its links.
        owners = [hazard for hazard in parts if hazard.node is node.operand]
        tests = tuple(test for hazard in owners for test in hazard.tests)
        own = Hazard(node, key, spelled(node), (*tests, _test(node)))
        return (own, *(hazard for hazard in parts if hazard not in owners))

    def _value(self, node: tree.Expr, operand: tree.Expr, known: Keys) -> tuple[Hazard, ...]:
        parts = self.hazards(operand, known)
        match operand:
            case tree.Select() | tree.Index():
                key, name = key_of(operand), spelled(operand)
            case tree.Call(function="optional.of"):
                return parts
            case _:
                key, name = ("value", node.span), "….value()"
        if key in known:
            return parts
        return (*parts, Hazard(node, key, name, ("….hasValue()",)))

    def _logic(self, terms: Sequence[tree.Expr], truth: bool, known: Keys) -> tuple[Hazard, ...]:
        """An error counts only if no other term decides: terms that can't fail speak for all others, on either side."""
        pending = list(terms)
        while True:
            safe = [term for term in pending if not self.hazards(term, known)]
            if not safe:
                break
            pending = [term for term in pending if term not in safe]
            known = known.union(*(self.presence.when(term, truth) for term in safe))
        found: tuple[Hazard, ...] = ()
        for term in pending:
            found += self.hazards(term, known)
            known = known | self.presence.when(term, truth) | self.presence.read(term)
        return found

    def _loop(self, node: tree.Loop, known: Keys) -> tuple[Hazard, ...]:
        names = (node.variable,) if node.second is None else (node.variable, node.second)
        inside = _without(known | self.presence.read(node.range), names)
        if isinstance(node.range.type, MapType) or node.range.type == DYN:
            inside |= {member(node.range, tree.Local(span=node.span, name=node.variable))}
        found = self.hazards(node.range, known)
        if node.where is not None:
            found += self.hazards(node.where, inside)
            inside |= self.presence.when(node.where, True)
        return found if node.result is None else found + self.hazards(node.result, inside)


def _without(known: Keys, names: Sequence[str]) -> Keys:
    """What is known apart from what outer variables of these names hold."""
    return frozenset(key for key in known if not any(_mentions(key, name) for name in names))


def _mentions(key: Hashable, name: str) -> bool:
    return isinstance(key, tuple) and (key == ("local", name) or any(_mentions(part, name) for part in key))


def _is_item(node: tree.Select | tree.Index) -> bool:
    """Whether an index is a position in a list."""
    if not isinstance(node, tree.Index):
        return False
    if isinstance(node.operand.type, ListType):
        return True
    return node.operand.type == DYN and isinstance(node.index, tree.Constant) and not isinstance(node.index.value, str)


# What of a caller is there whenever anything is, is tested by its first field.
_TESTED_BY: Final = {"user.claims": "user.sub", "user.iss": "user.sub"}


def _test(node: tree.Select | tree.Index) -> str:
    if isinstance(node, tree.Select):
        name = spelled(node)
        return f"has({_TESTED_BY.get(name, name)})"
    index = quoted(node.index.value) if isinstance(node.index, tree.Constant) else spelled(node.index)
    return f"{index} in {spelled(node.operand)}"
