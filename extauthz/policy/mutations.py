"""What matching allows change, worked out and put together (design section 3, step 6).

The rule kept here: two allows that disagree about one name are a conflict, and setting, appending and removing
disagree with each other. Header names that a CGI-like upstream folds to one (`x-a`, `x_a`) are one name.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from extauthz.policy.plain import Json, header_lines, header_value, json_value, parameter_value
from extauthz.policy.rules import NOTHING, AllowTerms, Programs
from extauthz.values.decisions import NO_MUTATIONS, Mutations
from extauthz.values.request import EMPTY

Value = TypeVar("Value")


class Conflict(msgspec.Struct, frozen=True):
    """Two rules that change one thing differently; `rule` is the alphabetically first of those in any conflict."""

    rule: str
    message: str


def evaluate(terms: AllowTerms, scope: dict[str, object]) -> Mutations:
    """The changes of one rule. Raises `cel.EvalError` if a value errors or can't be what it is meant for."""
    if terms is NOTHING:
        return NO_MUTATIONS
    headers = {}
    for name, program in terms.headers:
        headers[name] = header_value(program.evaluate(scope))
    if terms.sets_headers_alone:
        return Mutations(headers=headers)
    return Mutations(
        headers=headers,
        append_headers=_lines(terms.append_headers, scope),
        remove_headers=terms.remove_headers,
        response_headers=_values(terms.response_headers, scope, header_value),
        append_response_headers=_lines(terms.append_response_headers, scope),
        query=_values(terms.query, scope, parameter_value),
        remove_query=terms.remove_query,
        metadata=_values(terms.metadata, scope, json_value),
    )


def _values(programs: Programs, scope: dict[str, object], convert: Callable[[object], Value]) -> Mapping[str, Value]:
    return {name: convert(program.evaluate(scope)) for name, program in programs} if programs else EMPTY


def _lines(programs: Programs, scope: dict[str, object]) -> Mapping[str, tuple[str, ...]]:
    """What is appended; of an empty list nothing."""
    if not programs:
        return EMPTY
    return {name: lines for name, lines in _values(programs, scope, header_lines).items() if lines}


# What several rules can say of one name without a disagreement, and what nobody says beside it.
_REMOVED = object()
_APPENDED = object()


@dataclass(slots=True)
class _Ledger:
    """Who said what about each name of one kind, and where two disagree."""

    kind: str
    said: dict[str, tuple[str, object]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)

    def note(self, rule: str, name: str, value: object) -> None:
        key = name.replace("_", "-") if self.kind.endswith("header") else name
        first, known = self.said.setdefault(key, (rule, value))
        if known != value:
            self.conflicts.append(Conflict(first, f"`{first}` and `{rule}` disagree about the {self.kind} `{name}`"))


def merged(given: Iterable[tuple[str, Mutations]]) -> Mutations | Conflict:
    """The changes of all rules together; `given` is in the order of the rules' names."""
    changes = list(given)
    if len(changes) == 1:
        return changes[0][1]
    headers, responses = _Ledger("request header"), _Ledger("response header")
    query, metadata = _Ledger("query parameter"), _Ledger("metadata key")
    for rule, one in changes:
        _note_all(headers, rule, one.headers, one.remove_headers, one.append_headers)
        _note_all(responses, rule, one.response_headers, appended=one.append_response_headers)
        _note_all(query, rule, one.query, one.remove_query)
        # As JSON text, in which `1`, `1.0` and `true` are three values.
        _note_all(metadata, rule, {k: json.dumps(v, sort_keys=True) for k, v in one.metadata.items()})
    conflicts = [conflict for ledger in (headers, responses, query, metadata) for conflict in ledger.conflicts]
    if conflicts:
        return min(conflicts, key=lambda conflict: conflict.rule)
    return Mutations(
        headers={k: v for _, one in changes for k, v in one.headers.items()},
        append_headers=_together(one.append_headers for _, one in changes),
        remove_headers=frozenset().union(*(one.remove_headers for _, one in changes)),
        response_headers={k: v for _, one in changes for k, v in one.response_headers.items()},
        append_response_headers=_together(one.append_response_headers for _, one in changes),
        query={k: v for _, one in changes for k, v in one.query.items()},
        remove_query=frozenset().union(*(one.remove_query for _, one in changes)),
        metadata={k: v for _, one in changes for k, v in one.metadata.items()},
    )


def _note_all(
    ledger: _Ledger,
    rule: str,
    set_to: Mapping[str, Json],
    removed: Iterable[str] = (),
    appended: Iterable[str] = (),
) -> None:
    for name, value in set_to.items():
        ledger.note(rule, name, value)
    for name in removed:
        ledger.note(rule, name, _REMOVED)
    for name in appended:
        ledger.note(rule, name, _APPENDED)


def _together(given: Iterable[Mapping[str, tuple[str, ...]]]) -> Mapping[str, tuple[str, ...]]:
    """The lines of all rules in the order of the rules, equal ones once."""
    lines: dict[str, dict[str, None]] = {}
    for one in given:
        for name, values in one.items():
            lines.setdefault(name, {}).update(dict.fromkeys(values))
    return {name: tuple(values) for name, values in lines.items()} if lines else EMPTY
