"""Which of many rules share a request with a given one, found without comparing it with all of them.

Tries of patterns, asked with a pattern: hosts by their labels from the right, and under each host pattern the paths.
What they find is a superset, cut down with `overlap.meet`; both together are exact.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from extauthz.policy.index import Place
from extauthz.policy.lint.overlap import Segmented, meet, reversed_host

Value = TypeVar("Value")


@dataclass(slots=True)
class _Branch(Generic[Value]):
    literals: dict[str, "_Branch[Value]"] = field(default_factory=dict)
    wildcard: "_Branch[Value] | None" = None
    ends: list[Value] = field(default_factory=list)
    tails: list[Value] = field(default_factory=list)

    def child(self, segment: str | None) -> "_Branch[Value]":
        if segment is not None:
            return self.literals.setdefault(segment, _Branch())
        if self.wildcard is None:
            self.wildcard = _Branch()
        return self.wildcard

    def below(self) -> Iterator["_Branch[Value]"]:
        yield from self.literals.values()
        if self.wildcard is not None:
            yield self.wildcard


class _Patterns(Generic[Value]):
    """Values by patterns of segments."""

    def __init__(self) -> None:
        self._root: _Branch[Value] = _Branch()

    def at(self, pattern: Segmented) -> list[Value]:
        """The values under exactly this pattern, to be extended."""
        branch = self._root
        for segment in pattern.segments:
            branch = branch.child(segment)
        return branch.tails if pattern.tail else branch.ends

    def meeting(self, pattern: Segmented) -> Iterator[Value]:
        """The values under every pattern that some sequence fits together with this one."""
        branches = [self._root]
        for segment in pattern.segments:
            following: list[_Branch[Value]] = []
            for branch in branches:
                yield from branch.tails
                if segment is None:
                    following += branch.below()
                else:
                    following += (b for b in (branch.literals.get(segment), branch.wildcard) if b is not None)
            branches = following
        while branches:
            for branch in branches:
                yield from branch.ends
                yield from branch.tails
            if not pattern.tail:
                return
            branches = [lower for branch in branches for lower in branch.below()]


class _Paths:
    """The numbers of rules by path template, those for any path apart."""

    def __init__(self) -> None:
        self._anywhere: list[int] = []
        self._patterns: _Patterns[int] = _Patterns()
        self._all: list[int] = []

    def add(self, number: int, place: Place) -> None:
        self._all.append(number)
        if not place.templates:
            self._anywhere.append(number)
        for template in place.templates:
            self._patterns.at(template).append(number)

    def find(self, place: Place) -> Iterator[int]:
        if not place.templates:
            yield from self._all
            return
        yield from self._anywhere
        for template in place.templates:
            yield from self._patterns.meeting(template)


class Nearby:
    """Places by number, in the order in which they are given."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = tuple(places)
        self._any_host = _Paths()
        self._every_host: list[_Paths] = [self._any_host]
        self._hosts: _Patterns[_Paths] = _Patterns()
        for number, place in enumerate(self._places):
            if not place.hosts:
                self._any_host.add(number, place)
            for host in place.hosts:
                known = self._hosts.at(reversed_host(host))
                if not known:
                    known.append(_Paths())
                    self._every_host.append(known[0])
                known[0].add(number, place)

    def find(self, place: Place) -> list[int]:
        """The numbers of the places that share a request with this one, in order."""
        found: set[int] = set()
        for paths in self._by_host(place):
            found.update(paths.find(place))
        return sorted(number for number in found if meet(self._places[number], place))

    def _by_host(self, place: Place) -> Iterator[_Paths]:
        if not place.hosts:
            yield from self._every_host
            return
        yield self._any_host
        for host in place.hosts:
            yield from self._hosts.meeting(reversed_host(host))
