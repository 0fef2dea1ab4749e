"""Which rules may speak to a request, found without touching the others.

Rules are known here by number, in the order of their names. Each host pattern has a trie over path segments; at its
nodes stand the rules whose templates end there, by method and by class of callers. A look-up costs as much as path and
workload ID are long, times the host patterns that fit the host.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from extauthz import cel
from extauthz.policy.hosts import HostPattern
from extauthz.policy.templates import Template
from extauthz.policy.workloads import CallerClasses, WorkloadPattern
from extauthz.values.request import EMPTY, HttpRequest

Found = list[tuple[int, Mapping[str, str]]]
Entry = tuple[int, Template | None]
"""A rule's number, and the template if it captures anything."""
Key = tuple[str, int]
"""A method, `""` for any, and a class of callers."""
Entries = dict[Key, list[Entry]]

_ANY_METHOD = ""
_number = itemgetter(0)


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


def _put(entries: Entries, keys: Sequence[Key], entry: Entry) -> None:
    for key in keys:
        entries.setdefault(key, []).append(entry)


def _get(entries: Entries, keys: Sequence[Key], found: list[Entry]) -> None:
    for key in keys:
        if (here := entries.get(key)) is not None:
            found += here


@dataclass(slots=True)
class _Host:
    """The rules of one host pattern: those for any path, and the trie of the others."""

    pathless: Entries = field(default_factory=dict)
    root: _Node = field(default_factory=_Node)

    def add(self, number: int, templates: Sequence[Template], keys: Sequence[Key]) -> None:
        if not templates:
            _put(self.pathless, keys, (number, None))
        for template in templates:
            node = self.root
            for segment in template.segments:
                node = node.child(segment)
            _put(node.entries_of(template), keys, (number, template if template.capture_names else None))

    def collect(self, http: HttpRequest, keys: Sequence[Key], found: list[Entry]) -> None:
        if self.pathless:
            _get(self.pathless, keys, found)
        if not http.path.startswith("/"):  # `OPTIONS *` and CONNECT name no path: no template fits them
            return
        nodes = [self.root]
        for segment in http.segments:
            following = []
            for node in nodes:
                if node.tails is not None:
                    _get(node.tails, keys, found)
                if (literal := node.literals.get(segment)) is not None:
                    following.append(literal)
                if node.wildcard is not None and segment:
                    following.append(node.wildcard)
            if not following:
                return
            nodes = following
        for node in nodes:
            for entries in (node.ends, node.tails):
                if entries is not None:
                    _get(entries, keys, found)


class Index:
    """The look-up over all rules of a policy set."""

    __slots__ = ("_any_host", "_below", "_callers", "_exact", "_tcp")

    def __init__(self, places: Iterable[Place]) -> None:
        self._callers = CallerClasses()
        self._any_host = _Host()
        self._exact: dict[str, _Host] = {}
        self._below: dict[str, _Host] = {}
        self._tcp: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            classes = self._callers.of_rule(place.workloads)
            keys = place.keys(classes)
            if place.tcp:
                for one in classes:
                    self._tcp.setdefault(one, []).append(number)
            for host in place.hosts:
                by_name = self._below if host.deeper else self._exact
                by_name.setdefault(host.name, _Host()).add(number, place.templates, keys)
            if not place.hosts:
                self._any_host.add(number, place.templates, keys)

    def for_tcp(self, workload_id: str | None) -> Found:
        """The rules for a TCP check of this workload, `None` for a caller without one."""
        classes = self._callers.of_caller(workload_id)
        numbers = {number for one in classes for number in self._tcp.get(one, ())}
        return [(number, EMPTY) for number in sorted(numbers)]

    def for_http(self, http: HttpRequest, workload_id: str | None) -> Found:
        """The rules whose host, method, path and workload fit, by number, each once with what its templates captured.

        `workload_id` is `None` for a caller without a workload.
        """
        method = http.method
        keys = [key for one in self._callers.of_caller(workload_id) for key in ((_ANY_METHOD, one), (method, one))]
        entries: list[Entry] = []
        self._any_host.collect(http, keys, entries)
        host = http.host
        if (exact := self._exact.get(host)) is not None:
            exact.collect(http, keys, entries)
        if self._below:
            at = host.find(".")
            while at >= 0:
                if at > 0 and (below := self._below.get(host[at + 1 :])) is not None:
                    below.collect(http, keys, entries)
                at = host.find(".", at + 1)
        if len(entries) > 1:
            entries.sort(key=_number)
        segments = http.segments
        found: Found = []
        for number, template in entries:
            captured = EMPTY if template is None else template.captures(segments)
            if found and found[-1][0] == number:
                captured = _merged(found.pop()[1], captured)
            found.append((number, captured))
        return found


class Contradictory(Mapping[str, str]):
    """Captures of several templates of one rule; a name that two of them give different values can't be read."""

    __slots__ = ("captured", "contradictions")

    def __init__(self, captured: Mapping[str, str], contradictions: frozenset[str]) -> None:
        self.captured = captured
        self.contradictions = contradictions

    def __getitem__(self, name: str) -> str:
        if name in self.contradictions:
            raise cel.EvalError(f"`{name}` was captured twice, with different values")
        return self.captured[name]

    def __contains__(self, name: object) -> bool:
        return name in self.captured

    def __iter__(self) -> Iterator[str]:
        return iter(self.captured)

    def __len__(self) -> int:
        return len(self.captured)


def _merged(one: Mapping[str, str], other: Mapping[str, str]) -> Mapping[str, str]:
    """What two templates of one rule captured together."""
    if not other:
        return one
    clashes: frozenset[str] = frozenset()
    known = one
    if isinstance(one, Contradictory):
        known, clashes = one.captured, one.contradictions
    clashes |= {name for name in other if name in known and known[name] != other[name]}
    union = {**known, **other}
    return Contradictory(union, clashes) if clashes else union
