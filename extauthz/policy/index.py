"""Which rules may speak to a request, found without touching the others.

Rules are known here by number, in the order of their names. Each host pattern has a trie over path segments; at its
nodes stand, by method, the rules whose templates end there. A look-up costs as much as the path is long, times the
host patterns that fit the host.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from extauthz import cel
from extauthz.policy.hosts import HostPattern
from extauthz.policy.templates import Template
from extauthz.values.request import EMPTY, HttpRequest

Found = list[tuple[int, Mapping[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rule applies; an empty tuple is "any". `tcp`: whether it is a candidate of TCP checks too."""

    hosts: tuple[HostPattern, ...] = ()
    methods: tuple[str, ...] = ()
    templates: tuple[Template, ...] = ()
    tcp: bool = False


Entry = tuple[int, Template | None]


@dataclass(slots=True)
class _ByMethod:
    """The entries of one place, ready by method; those for any method are in every list."""

    anyway: list[Entry] = field(default_factory=list)
    named: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, entry: Entry, methods: tuple[str, ...]) -> None:
        if not methods:
            self.anyway.append(entry)
            for entries in self.named.values():
                entries.append(entry)
            return
        for method in {*methods, "HEAD"} if "GET" in methods else set(methods):  # GET covers HEAD
            self.named.setdefault(method, list(self.anyway)).append(entry)

    def get(self, method: str) -> list[Entry]:
        return self.named.get(method, self.anyway)


@dataclass(slots=True)
class _Node:
    """A position in a path: what may follow, what ends here, and what covers everything from here on."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    wildcard: "_Node | None" = None
    ends: _ByMethod = field(default_factory=_ByMethod)
    tails: _ByMethod = field(default_factory=_ByMethod)

    def child(self, segment: str | None) -> "_Node":
        if segment is not None:
            return self.literals.setdefault(segment, _Node())
        if self.wildcard is None:
            self.wildcard = _Node()
        return self.wildcard


@dataclass(slots=True)
class _Host:
    """The rules of one host pattern: those for any path, and the trie of the others."""

    pathless: _ByMethod = field(default_factory=_ByMethod)
    root: _Node = field(default_factory=_Node)

    def add(self, number: int, place: Place) -> None:
        if not place.templates:
            self.pathless.add((number, None), place.methods)
        for template in place.templates:
            node = self.root
            for segment in template.segments:
                node = node.child(segment)
            (node.tails if template.tail else node.ends).add((number, template), place.methods)

    def collect(self, http: HttpRequest, found: list[Entry]) -> None:
        method = http.method
        found += self.pathless.get(method)
        if not http.path.startswith("/"):  # `OPTIONS *` and CONNECT name no path: no template fits them
            return
        nodes = [self.root]
        for segment in http.segments:
            following = []
            for node in nodes:
                found += node.tails.get(method)
                literal = node.literals.get(segment)
                if literal is not None:
                    following.append(literal)
                if node.wildcard is not None and segment:
                    following.append(node.wildcard)
            nodes = following
            if not nodes:
                return
        for node in nodes:
            found += node.ends.get(method)
            found += node.tails.get(method)


class Index:
    """The look-up over all rules of a policy set."""

    __slots__ = ("_any_host", "_below", "_exact", "_tcp")

    def __init__(self, places: Iterable[Place]) -> None:
        self._any_host = _Host()
        self._exact: dict[str, _Host] = {}
        self._below: dict[str, _Host] = {}
        self._tcp: Found = []
        for number, place in enumerate(places):
            if place.tcp:
                self._tcp.append((number, EMPTY))
            for host in place.hosts:
                by_name = self._below if host.deeper else self._exact
                by_name.setdefault(host.name, _Host()).add(number, place)
            if not place.hosts:
                self._any_host.add(number, place)

    def for_tcp(self) -> Found:
        """The rules for a TCP check."""
        return self._tcp

    def for_http(self, http: HttpRequest) -> Found:
        """The rules whose host, method and path fit, by number, each once with what its templates captured."""
        entries: list[Entry] = []
        self._any_host.collect(http, entries)
        host = http.host
        if (exact := self._exact.get(host)) is not None:
            exact.collect(http, entries)
        if self._below:
            at = host.find(".")
            while at >= 0:
                if at > 0 and (below := self._below.get(host[at + 1 :])) is not None:
                    below.collect(http, entries)
                at = host.find(".", at + 1)
        params: dict[int, Mapping[str, str]] = {}
        for number, template in sorted(entries, key=lambda entry: entry[0]):
            captured = EMPTY if template is None else template.captures(http.segments)
            params[number] = _merged(params[number], captured) if number in params else captured
        return list(params.items())


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
    clashes: frozenset[str] = frozenset()
    known = one
    if isinstance(one, Contradictory):
        known, clashes = one.captured, one.contradictions
    clashes |= {name for name in other if name in known and known[name] != other[name]}
    union = {**known, **other}
    return Contradictory(union, clashes) if clashes else union
