"""Which rules may speak to a request, found without touching the others.

Rules are known here by number, in the order of their names. Each host pattern has a trie over path segments; at its
nodes stand the rules whose templates end there, by method and by class of callers. The tries of all patterns that fit a
host are walked as one: where a path has been before, a segment costs one look into a dictionary. A look-up costs as
much as path and workload ID are long.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from extauthz.policy.hosts import HostPattern
from extauthz.policy.templates import Capture, Template
from extauthz.policy.workloads import CallerClasses, WorkloadPattern
from extauthz.values.request import HttpRequest

Entry = tuple[int, Capture | None]
"""A rule's number, and what its template captures."""
Key = tuple[str, int]
"""A method, `""` for any, and a class of callers."""
Entries = dict[Key, list[Entry]]

_ANY_METHOD = ""
MOST_LEARNT: Final = 500_000
"""What is remembered of the ways through the tries: positions, and segments that lead on from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rule applies and to whom; an empty tuple is "any". `tcp`: whether it is a candidate of TCP checks too."""

    hosts: tuple[HostPattern, ...] = ()
    methods: tuple[str, ...] = ()
    templates: tuple[Template, ...] = ()
    workloads: tuple[WorkloadPattern, ...] = ()
    tcp: bool = False

    @property
    def entries(self) -> int:
        """How many entries of an index the rule takes: one for each combination."""
        lists = (self.hosts, self.methods, self.templates, self.workloads)
        return math.prod(max(1, len(one)) for one in lists)

    def keys(self, classes: Sequence[int]) -> list[Key]:
        """Under which keys a rule for these classes of callers stands."""
        methods = set(self.methods) or {_ANY_METHOD}
        if "GET" in methods:  # GET covers HEAD
            methods.add("HEAD")
        return [(method, one) for method in sorted(methods) for one in classes]


@dataclass(slots=True)
class _Node:
    """A position in a path: what may follow, what ends here, and what covers everything from here on."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    wildcard: "_Node | None" = None
    ends: Entries | None = None
    tails: Entries | None = None

    def child(self, segment: str | None) -> "_Node":
        if segment is not None:
            return self.literals.setdefault(segment, _Node())
        if self.wildcard is None:
            self.wildcard = _Node()
        return self.wildcard

    def entries_of(self, template: Template) -> Entries:
        """The entries of the templates like this one, which leads here."""
        if template.tail:
            self.tails = {} if self.tails is None else self.tails
            return self.tails
        self.ends = {} if self.ends is None else self.ends
        return self.ends


@dataclass(slots=True)
class _Host:
    """The rules of one host pattern: those for any path, and the trie of the others."""

    pathless: Entries = field(default_factory=dict)
    root: _Node = field(default_factory=_Node)

    def add(self, number: int, templates: Sequence[Template], keys: Sequence[Key]) -> None:
        """Take in a rule that stands under these keys."""
        if not templates:
            _put(self.pathless, keys, (number, None))
        for template in templates:
            node = self.root
            for segment in template.segments:
                node = node.child(segment)
            _put(node.entries_of(template), keys, (number, template.capture))


def _put(entries: Entries, keys: Sequence[Key], entry: Entry) -> None:
    for key in keys:
        entries.setdefault(key, []).append(entry)


class _Room:
    """How much may still be remembered."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Position:
    """Where a path is in all tries of its host at once, after some of its segments.

    `following` are the positions by segment: `None` where no path has gone on yet. `other` is the one for every segment
    that no template there names. `is_kept`: whoever comes there again finds this very one.
    """

    __slots__ = ("_covering", "_nodes", "_room", "following", "is_kept", "other")

    def __init__(
        self, nodes: tuple[_Node, ...], covering: tuple[Entries, ...], room: _Room, *, is_kept: bool = False
    ) -> None:
        """`covering` are the rules that cover everything from here on, by what came before."""
        self.is_kept = is_kept
        self._nodes = nodes
        self._covering = covering
        self._room = room
        self.other: Position | None = None
        # An empty segment is none that a wildcard stands for.
        size = 2 + sum([len(node.literals) for node in nodes])
        self.following: dict[str, Position | None] = (
            dict.fromkeys(chain(("",), *(node.literals for node in nodes))) if size <= room.left else {}
        )

    def after(self, segment: str) -> "Position | None":
        """The position after one more segment, `None` if it makes no difference."""
        if not self._nodes:
            return None
        nodes = []
        for node in self._nodes:
            if (literal := node.literals.get(segment)) is not None:
                nodes.append(literal)
            if node.wildcard is not None and segment:
                nodes.append(node.wildcard)
        tails = [node.tails for node in self._nodes if node.tails is not None]
        position = Position(tuple(nodes), (*self._covering, *tails), self._room)
        if self.is_kept and self.following and self._room.left > 0:
            self._room.left -= 1 + len(position.following)
            position.is_kept = True
            if segment in self.following:
                self.following[segment] = position
            else:
                self.other = position
        return position

    def entries(self) -> list[Entries]:
        """The rules whose templates fit a path that ends here."""
        ends = [entries for node in self._nodes for entries in (node.ends, node.tails) if entries is not None]
        return [*self._covering, *ends]


Spot = tuple[Position, str, tuple[int, ...]]
"""Where the same rules may speak, whatever else a request says: a position, a method (`""` for one that no rule names)
and the classes that the caller is in."""


class Index:
    """The look-up over all rules of a policy set."""

    __slots__ = ("_any_host", "_below", "_callers", "_exact", "_methods", "_room", "_starts", "_starts_below", "_tcp")

    def __init__(self, places: Iterable[Place], *, most_learnt: int = MOST_LEARNT) -> None:
        self._callers = CallerClasses()
        self._any_host = _Host()
        self._exact: dict[str, _Host] = {}
        self._below: dict[str, _Host] = {}
        self._methods: set[str] = set()
        tcp: Entries = {}
        for number, place in enumerate(places):
            classes = self._callers.of_rule(place.workloads)
            keys = place.keys(classes)
            self._methods.update([method for method, _ in keys])
            if place.tcp:
                _put(tcp, [(_ANY_METHOD, one) for one in classes], (number, None))
            for host in place.hosts:
                by_name = self._below if host.deeper else self._exact
                by_name.setdefault(host.name, _Host()).add(number, place.templates, keys)
            if not place.hosts:
                self._any_host.add(number, place.templates, keys)
        self._room = _Room(most_learnt)
        self._tcp = Position((), (tcp,), self._room, is_kept=True)
        # With and without a path, by the exact name or by the longest suffix that fits; only names of rules are keys.
        self._starts: dict[str, tuple[Position, Position]] = {}
        self._starts_below: dict[str, tuple[Position, Position]] = {}

    def find(self, http: HttpRequest | None, workload_id: str | None, position: Position | None = None) -> Spot:
        """Where a request stands; `http` is `None` for a TCP check, `workload_id` for a caller without a workload,
        `position` where its path leads, if that is known."""
        classes = self._callers.of_caller(workload_id)
        if http is None:
            return self._tcp, _ANY_METHOD, classes
        method = http.method
        return position or self.position(http), method if method in self._methods else _ANY_METHOD, classes

    def position(self, http: HttpRequest) -> Position:
        """Where the path of a request leads."""
        position, pathless = self._starts.get(http.host) or self._start(http.host)
        if http.path[:1] == "/":
            for segment in http.segments:
                following = position.following.get(segment, position.other)
                if following is None:
                    following = position.after(segment)
                    if following is None:
                        break
                position = following
        else:  # `OPTIONS *` and CONNECT name no path: no template fits them
            position = pathless
        return position

    def standing(self, spot: Spot) -> list[tuple[int, tuple[Capture, ...]]]:
        """The rules that may speak there, by number, each once and with what its templates capture."""
        position, method, classes = spot
        keys = [(name, one) for one in classes for name in dict.fromkeys((_ANY_METHOD, method))]
        found: dict[int, dict[Capture, None]] = {}
        for entries in position.entries():
            for key in keys:
                for number, capture in entries.get(key, ()):
                    captures = found.setdefault(number, {})
                    if capture is not None:
                        captures[capture] = None
        return [(number, tuple(found[number])) for number in sorted(found)]

    def _start(self, name: str) -> tuple[Position, Position]:
        """Where the paths of a host begin."""
        hosts = [self._any_host]
        exact = self._exact.get(name)
        if exact is not None:
            hosts.append(exact)
        longest = ""
        at = name.find(".") if self._below else -1
        while at >= 0:
            suffix = name[at + 1 :]
            if at > 0 and (below := self._below.get(suffix)) is not None:
                longest = longest or suffix
                hosts.append(below)
            at = name.find(".", at + 1)
        # Whoever has the same longest suffix has the shorter ones, too.
        starts, key = (self._starts, name) if exact is not None else (self._starts_below, longest)
        found = starts.get(key)
        if found is None:
            covering = tuple([host.pathless for host in hosts if host.pathless])
            roots = tuple([host.root for host in hosts])
            found = (
                Position(roots, covering, self._room, is_kept=True),
                Position((), covering, self._room, is_kept=True),
            )
            self._room.left -= len(found[0].following)
            starts[key] = found
        return found
