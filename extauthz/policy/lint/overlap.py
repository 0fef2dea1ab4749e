"""Where rules apply, as sets of requests: whether two have a request in common, and whether one holds all of another.

The rule kept here: both answers are exact for every request that `index` can be asked about, those with relaxed paths
(`paths.accept`) included. They are about match fields only; conditions are not looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from extauthz.policy import hosts
from extauthz.policy.hosts import HostPattern
from extauthz.policy.index import Place
from extauthz.policy.templates import Template
from extauthz.policy.workloads import WorkloadPattern

_SHORTEST_ID: Final = 2
"""Segments of the shortest SPIFFE ID of a workload, its trust domain included."""


class Segmented(Protocol):
    """A pattern of segments: a literal or `None` for any one; `tail` if any number may follow."""

    @property
    def segments(self) -> tuple[str | None, ...]: ...

    @property
    def tail(self) -> bool: ...


class Segments(msgspec.Struct, frozen=True):
    """The plainest pattern of segments."""

    segments: tuple[str | None, ...]
    tail: bool = False


def meet(one: Place, other: Place) -> bool:
    """Whether some request is one of both places."""
    return (
        _hosts_meet(one.hosts, other.hosts)
        and methods_meet(one, other)
        and _sequences_meet(one.templates, other.templates)
        and _sequences_meet(one.workloads, other.workloads)
    )


def intersection(one: Place, other: Place) -> Place | None:
    """The HTTP requests that are of both places; `None` if there are none. Captures have no names in it."""
    if not meet(one, other):
        return None
    methods = methods_of(one) & methods_of(other) if one.methods and other.methods else {*one.methods, *other.methods}
    hosts_of_both = hosts.both(one.hosts, other.hosts) if one.hosts and other.hosts else {*one.hosts, *other.hosts}
    return Place(
        hosts=tuple(sorted(hosts_of_both)),
        methods=tuple(sorted(methods)),
        templates=tuple(Template(s.segments, tail=s.tail) for s in _both(one.templates, other.templates)),
        workloads=tuple(WorkloadPattern(s.segments, s.tail) for s in _both(one.workloads, other.workloads)),
    )


def _both(one: Sequence[Segmented], other: Sequence[Segmented]) -> list[Segmented]:
    if not one or not other:
        return [*one, *other]
    return [_joined(a, b) for a in one for b in other if segments_meet(a, b)]


def _joined(one: Segmented, other: Segmented) -> Segments:
    """What fits both of two patterns that meet: the longer one, with the literals of both."""
    short, long = sorted((one, other), key=lambda pattern: len(pattern.segments))
    above = tuple(a if a is not None else b for a, b in zip(short.segments, long.segments, strict=False))
    return Segments(above + long.segments[len(above) :], tail=one.tail and other.tail)


def covers(wide: Place, narrow: Place) -> bool:
    """Whether every request of the narrow place is one of the wide place."""
    return (
        (wide.tcp or not narrow.tcp)
        and hosts_cover(wide.hosts, narrow.hosts)
        and methods_cover(wide, narrow)
        and templates_cover(wide.templates, narrow.templates)
        and workloads_cover(wide.workloads, narrow.workloads)
    )


def methods_of(place: Place) -> frozenset[str]:
    """The methods of a place, empty for any; `GET` covers `HEAD`."""
    return frozenset(place.methods) | ({"HEAD"} if "GET" in place.methods else frozenset())


def methods_meet(one: Place, other: Place) -> bool:
    """Whether some method is one of both places."""
    return not one.methods or not other.methods or bool(methods_of(one) & methods_of(other))


def methods_cover(wide: Place, narrow: Place) -> bool:
    """Whether every method of the narrow place is one of the wide place."""
    return not wide.methods or (bool(narrow.methods) and methods_of(narrow) <= methods_of(wide))


def _hosts_meet(one: Sequence[HostPattern], other: Sequence[HostPattern]) -> bool:
    return not one or not other or bool(hosts.both(one, other))


def hosts_cover(wide: Sequence[HostPattern], narrow: Sequence[HostPattern]) -> bool:
    """Whether every host of the narrow list is one of the wide list; an empty list is any host.

    One pattern that holds another is enough to look for: a label that no pattern names tells all others apart.
    """
    return not wide or (bool(narrow) and all(any(_host_within(n, w) for w in wide) for n in narrow))


def _host_within(narrow: HostPattern, wide: HostPattern) -> bool:
    return narrow == wide or (wide.deeper and wide.fits(narrow.name))


def _sequences_meet(one: Sequence[Segmented], other: Sequence[Segmented]) -> bool:
    return not one or not other or any(segments_meet(a, b) for a in one for b in other)


def segments_meet(one: Segmented, other: Segmented) -> bool:
    """Whether some sequence fits both patterns."""
    if any(a != b for a, b in zip(one.segments, other.segments, strict=False) if a is not None and b is not None):
        return False
    longer = len(one.segments) - len(other.segments)
    return longer == 0 or (other.tail if longer > 0 else one.tail)


def segments_within(narrow: Segmented, wide: Segmented) -> bool:
    """Whether every sequence that fits the narrow pattern fits the wide one, for all lengths alike."""
    if len(narrow.segments) < len(wide.segments):
        return False
    if not wide.tail and (narrow.tail or len(narrow.segments) != len(wide.segments)):
        return False
    return all(w is None or w == n for n, w in zip(narrow.segments, wide.segments, strict=False))


def templates_cover(wide: Sequence[Template], narrow: Sequence[Template]) -> bool:
    """Whether every path of the narrow list is one of the wide list; an empty list is any path, `*` included.

    One template that holds another is enough to look for: a segment that no template names tells all others apart,
    and so do empty segments below a `**`, which fit no wildcard.
    """
    return not wide or (bool(narrow) and all(any(segments_within(n, w) for w in wide) for n in narrow))


def workloads_cover(wide: Sequence[WorkloadPattern], narrow: Sequence[WorkloadPattern]) -> bool:
    """Whether every caller of the narrow list is one of the wide list; an empty list is everybody, nobody included.

    No segment of an ID is empty, so patterns of several lengths can hold one with a tail together.
    """
    if not wide or not narrow:
        return not wide
    longest = max(len(pattern.segments) for pattern in wide)
    return all(any(segments_within(one, w) for w in wide) for pattern in narrow for one in _by_length(pattern, longest))


def _by_length(pattern: Segmented, longest: int) -> Iterator[Segmented]:
    """The pattern for each number of segments that some other tells apart, and one for all that are longer."""
    if not pattern.tail:
        yield pattern
        return
    written = pattern.segments
    shortest = max(len(written), _SHORTEST_ID)
    for length in range(shortest, longest + 1):
        yield Segments(written + (None,) * (length - len(written)))
    yield Segments(written + (None,) * (max(shortest, longest + 1) - len(written)), tail=True)


def reversed_host(pattern: HostPattern) -> Segments:
    """A host pattern as one of segments: its labels from the right, and any below it."""
    labels = tuple(reversed(pattern.name.split(".")))
    return Segments((*labels, None), tail=True) if pattern.deeper else Segments(labels)


def shown(texts: Iterable[str], most: int = 3) -> str:
    """Names for a message: the first few in backticks, and how many more there are."""
    names = list(dict.fromkeys(texts))
    listed = ", ".join(f"`{name}`" for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
