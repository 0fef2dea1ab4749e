"""Which of many patterns of workloads fit a caller.

The rule kept here: they are found by walking the caller's ID once, whatever their number.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from extauthz.policy.workloads import WorkloadPattern, parts

ANYBODY: Final = 0
"""The class of rules without `workloads`: every caller is in it, also one without a workload."""
MOST_KNOWN: Final = 4_096
"""Callers whose classes are remembered."""


class _Step:
    """A position in an ID: what may follow, and the classes that end or cover everything from here on."""

    def __init__(self) -> None:
        self.literals: dict[str, _Step] = {}
        self.wildcard: _Step | None = None
        self.ends: int | None = None
        self.tail: int | None = None

    def following(self, segment: str | None) -> "_Step":
        """The position after one more segment of a pattern."""
        if segment is not None:
            return self.literals.setdefault(segment, _Step())
        if self.wildcard is None:
            self.wildcard = _Step()
        return self.wildcard


class CallerClasses:
    """Every pattern of a policy set is a class of callers with a number; a trie over segments finds a caller's."""

    def __init__(self, patterns: Iterable[WorkloadPattern] = ()) -> None:
        """`patterns` have their numbers in this order."""
        self._known: dict[str | None, tuple[int, ...]] = {}
        self._root = _Step()
        self._numbers: dict[WorkloadPattern, int] = {}
        for pattern in patterns:
            self._number(pattern)

    def __reduce__(self) -> tuple[object, ...]:
        """It travels as if nobody had been looked for."""
        return CallerClasses, (tuple(self._numbers),)

    def of_rule(self, patterns: Sequence[WorkloadPattern]) -> tuple[int, ...]:
        """The classes that a rule with these patterns speaks to."""
        return tuple([self._number(pattern) for pattern in dict.fromkeys(patterns)]) or (ANYBODY,)

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
        for segment in parts(workload_id):
            following: list[_Step] = []
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
            if step.ends is not None:
                classes.append(step.ends)
            if step.tail is not None:
                classes.append(step.tail)
        return classes
