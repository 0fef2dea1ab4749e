"""What a condition sees of a request, where that is no more than a few texts that it compares with its own.

The rule kept here: what is not understood is taken to see more.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from extauthz.cel import tree
from extauthz.policy.captures import Layout
from extauthz.policy.comparisons import Comparison, comparison_of
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.header_reads import is_view
from extauthz.policy.readings import HeaderReading, Reading, SegmentReading
from extauthz.policy.templates import Capture

MOST_TEXTS: Final = 64
"""Names that all conditions at one place ask for, and texts that they compare with, if what they come to is remembered
by what they see."""

_TIMED: Final = frozenset({"token_age"})
"""Fields of who calls that depend on the time."""


class Seen(NamedTuple):
    """What an expression sees: the headers of which it asks whether they are there, by their names in lower case, what
    it compares, and whether it reads what requests that stand alike have in common."""

    names: frozenset[str]
    compared: tuple[Comparison, ...]
    reads_caller: bool

    @property
    def asks_for(self) -> frozenset[str] | None:
        """The headers by which it comes to the same for all requests that stand alike; `None` if by more."""
        return None if self.compared else self.names


NOTHING_SEEN: Final = Seen(frozenset(), (), reads_caller=False)


def seen_of(root: tree.Expr) -> Seen | None:
    """What an expression sees beside constants; `None` if it reads more than can be told of it."""
    names: set[str] = set()
    compared: list[Comparison] = []
    reads_caller = False
    pending = [root]
    while pending:
        node = pending.pop()
        comparison = comparison_of(node)
        if comparison is not None:
            compared.append(comparison)
            continue
        match node:
            case (
                tree.Select(operand=tree.Variable(name=name), field=field)
                | tree.Has(operand=tree.Variable(name=name), field=field)
            ):
                if not _is_common(name, field):
                    return None
                reads_caller = True
            case tree.Call(function="@in", args=(tree.Constant(value=str() as name), view)) if is_view(view):
                names.add(name.lower())
            case tree.Has(operand=view, field=name) if is_view(view):
                names.add(name.lower())
            case tree.Variable(name=name):
                if not name.startswith(DEFINITIONS):
                    return None
            case tree.Call(overloads=overloads) if any(overload.bindings for overload in overloads):
                return None
            case _:
                pending += tree.children(node)
    return Seen(frozenset(names), tuple(compared), reads_caller)


def _is_common(name: str, field: str) -> bool:
    match name:
        case "user":
            return field not in _TIMED
        case "workload" | "client":
            return True
        case "request":
            return field == "method"
        case _:
            return False


def readings_of(conditions: Iterable[tuple[Seen | None, Layout]]) -> tuple[Reading, ...] | None:
    """All that conditions see of a request, each with the captures of its rule; `None` if one of them sees more, or if
    they look at too much to remember anything by it."""
    headers: dict[str, set[str]] = {}
    segments: dict[int, set[str]] = {}
    room = MOST_TEXTS
    for seen, layout in conditions:
        if seen is None:
            return None
        room -= len(seen.names) + sum([max(1, len(one.texts)) for one in seen.compared])
        if room < 0:
            return None
        for name in seen.names:
            headers.setdefault(name, set())
        for comparison in seen.compared:
            if comparison.of == "header":
                headers.setdefault(comparison.name, set()).update(comparison.texts)
                continue
            position = _position(comparison.name, layout)
            if position is None:
                return None
            segments.setdefault(position, set()).update(comparison.texts)
    readings: list[Reading] = []
    unit = 1
    for name, texts in sorted(headers.items()):
        readings.append(HeaderReading(name, texts, unit))
        unit *= readings[-1].count
    for position, texts in sorted(segments.items()):
        readings.append(SegmentReading(position, texts, unit))
        unit *= readings[-1].count
    return tuple(readings)


def _position(name: str, layout: Layout) -> int | None:
    """Which segment of the path is captured under a name; `None` if it is not one alone."""
    if isinstance(layout, Capture):
        for position, captured in layout.names:
            if captured == name:
                return position
    return None
