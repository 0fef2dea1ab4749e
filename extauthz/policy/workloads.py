"""SPIFFE ID patterns: `*` for one segment, a final `**` for zero or more (design section 3, `workloads`).

The rule kept here: which of many patterns fit a caller is found by walking its ID once, whatever their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from extauthz.identity import spiffe

_SCHEME = "spiffe://"


@dataclass(frozen=True, slots=True)
class WorkloadPattern:
    """A pattern in parts: `segments` begins with the trust domain, `None` stands for any one segment; `tail` is
    whether any number of segments may follow."""

    segments: tuple[str | None, ...]
    tail: bool = False

    def __str__(self) -> str:
        parts = ["*" if segment is None else segment for segment in self.segments]
        return _SCHEME + "/".join([*parts, "**"] if self.tail else parts)

    def fits(self, workload_id: str) -> bool:
        """Whether a canonical SPIFFE ID is one of those that this stands for."""
        have, want = _parts(workload_id), self.segments
        if len(have) != len(want) and not (self.tail and len(have) > len(want)):
            return False
        return all(w is None or w == h for w, h in zip(want, have, strict=False))


def parse(text: str) -> WorkloadPattern:
    """The pattern that `text` writes. Raises `ValueError` with what is wrong and how to mend it."""
    trust_domain, *segments = spiffe.pattern_parts(text)
    tail = segments[-1] == "**"
    written = segments[:-1] if tail else segments
    return WorkloadPattern((trust_domain, *(None if part == "*" else part for part in written)), tail)


def _parts(workload_id: str) -> list[str]:
    return workload_id.removeprefix(_SCHEME).split("/")


ANYBODY = 0
"""The class of rules without `workloads`: every caller is in it, also one without a workload."""
MOST_KNOWN: Final = 4_096
"""Callers whose classes are remembered."""


@dataclass(slots=True)
class _Step:
    """A position in an ID: what may follow, and the classes that end or cover everything from here on."""

    literals: dict[str, "_Step"] = field(default_factory=dict)
    wildcard: "_Step | None" = None
    ends: int | None = None
    tail: int | None = None

    def following(self, segment: str | None) -> "_Step":
        if segment is not None:
            return self.literals.setdefault(segment, _Step())
        if self.wildcard is None:
            self.wildcard = _Step()
        return self.wildcard


class CallerClasses:
    """Every pattern of a policy set is a class of callers with a number; a trie over segments finds a caller's."""

    __slots__ = ("_known", "_numbers", "_root")

    def __init__(self) -> None:
        self._known: dict[str | None, tuple[int, ...]] = {}
        self._root = _Step()
        self._numbers: dict[WorkloadPattern, int] = {}

    def of_rule(self, patterns: Sequence[WorkloadPattern]) -> tuple[int, ...]:
        """The classes that a rule with these patterns speaks to."""
        return tuple(map(self._number, dict.fromkeys(patterns))) or (ANYBODY,)

    def _number(self, pattern: WorkloadPattern) -> int:
        known = self._numbers.get(pattern)
        if known is not None:
            return known
        self._known.clear()
        number = self._numbers[pattern] = len(self._numbers) + 1
        step = self._root
        for segment in pattern.segments:
            step = step.following(segment)
        if pattern.tail:
            step.tail = number
        else:
            step.ends = number
        return number

    def of_caller(self, workload_id: str | None) -> tuple[int, ...]:
        """The classes that a caller is in; at most as many as there are patterns of its ID's segments."""
        known = self._known.get(workload_id)
        if known is None:
            known = tuple(self._found(workload_id))
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[workload_id] = known
        return known

    def _found(self, workload_id: str | None) -> list[int]:
        classes = [ANYBODY]
        if workload_id is None:
            return classes
        steps = [self._root]
        for segment in _parts(workload_id):
            following = []
            for step in steps:
                if step.tail is not None:
                    classes.append(step.tail)
                if (literal := step.literals.get(segment)) is not None:
                    following.append(literal)
                if step.wildcard is not None:
                    following.append(step.wildcard)
            if not following:
                return classes
            steps = following
        for step in steps:
            classes += [number for number in (step.ends, step.tail) if number is not None]
        return classes
