"""Which rules may speak to a request, found without touching the others.

Rules are known here by number, in the order of their names. Each host pattern has a trie over path segments; at its
nodes stand the rules whose templates end there, by method and by class of callers. The tries of all patterns that fit a
host are walked as one: where a path has been before, a segment costs one look into a dictionary. A look-up costs as
much as path and workload ID are long.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.policy.caller_classes import CallerClasses
from extauthz.policy.hosts import HostPattern
from extauthz.policy.position import Position, Room, Start
from extauthz.policy.templates import Capture, Template
from extauthz.policy.trie import Entries, Host, Key, put
from extauthz.policy.workloads import WorkloadPattern
from extauthz.values.request import HttpRequest

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


Spot = tuple[Position, str, tuple[int, ...]]
"""Where the same rules may speak, whatever else a request says: a position, a method (`""` for one that no rule names)
and the classes that the caller is in."""


class Index:
    """The look-up over all rules of a policy set."""

    __slots__ = ("_any_host", "_below", "_callers", "_exact", "_methods", "_room", "_starts", "_starts_below", "_tcp")

    def __init__(self, places: Iterable[Place], *, most_learnt: int = MOST_LEARNT) -> None:
        self._callers = CallerClasses()
        self._any_host = Host()
        self._exact: dict[str, Host] = {}
        self._below: dict[str, Host] = {}
        self._methods: set[str] = set()
        tcp: Entries = {}
        for number, place in enumerate(places):
            classes = self._callers.of_rule(place.workloads)
            keys = place.keys(classes)
            self._methods.update([method for method, _ in keys])
            if place.tcp:
                put(tcp, [(_ANY_METHOD, one) for one in classes], (number, None))
            for host in place.hosts:
                by_name = self._below if host.deeper else self._exact
                by_name.setdefault(host.name, Host()).add(number, place.templates, keys)
            if not place.hosts:
                self._any_host.add(number, place.templates, keys)
        self._room = Room(most_learnt)
        self._tcp = Position((), (tcp,), self._room, is_kept=True)
        # By the exact name or by the longest suffix that fits; only names of rules are keys.
        self._starts: dict[str, Start] = {}
        self._starts_below: dict[str, Start] = {}

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
        return self.start(http.host).position(http.path, http.segments)

    def start(self, host: str) -> Start:
        """Where the paths of a host begin."""
        return self._starts.get(host) or self._start(host)

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

    def _start(self, name: str) -> Start:
        """The same of a host that no rule names, or that was not asked for before."""
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
            paths = Position(roots, covering, self._room, is_kept=True)
            self._room.left -= paths.size
            # No template fits what is no path.
            found = Start(paths, Position((), covering, self._room, is_kept=True))
            starts[key] = found
        return found
