"""What a condition sees of a request, where that is no more than a few texts that it compares with its own.

The rule kept here: what is not understood is taken to see more.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from extauthz.cel import Program, tree
from extauthz.policy.captures import Layout
from extauthz.policy.comparisons import Comparison, comparison_of
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.header_reads import is_view
from extauthz.policy.readings import HeaderReading, Reading, SegmentReading
from extauthz.policy.templates import Capture
from extauthz.values.request import EMPTY

MOST_TEXTS: Final = 64
"""Names that all conditions at one place ask for, and texts that they compare with, if what they come to is remembered
by what they see."""
MOST_VARIABLES: Final = 8
"""Variables that are looked through for what one expression sees: as many expressions may use the same ones."""

_Whence = Literal["caller", "context", "policy"]
_TIMED: Final = frozenset({"token_age"})
"""Fields of who calls that depend on the time."""


class Seen(NamedTuple):
    """What an expression sees: the headers of which it asks whether they are there, by their names in lower case, what
    it compares, and whether it reads what requests that stand alike have in common, and what the filter tells of the
    route."""

    names: frozenset[str]
    compared: tuple[Comparison, ...]
    reads_caller: bool
    reads_context: bool

    @property
    def asks_for(self) -> frozenset[str] | None:
        """The headers by which it comes to the same for all requests that stand alike; `None` if by more."""
        return None if self.compared or self.reads_context else self.names


NOTHING_SEEN: Final = Seen(frozenset(), (), reads_caller=False, reads_context=False)


def seen_of(
    root: tree.Expr, constants: Mapping[str, object] = EMPTY, variables: Mapping[str, Program] = EMPTY
) -> Seen | None:
    """What an expression sees beside constants; `None` if it reads more than can be told of it. `constants` are the
    values of definitions and `variables` the policy's own, both by their names; without them they can't be told."""
    names: set[str] = set()
    compared: list[Comparison] = []
    whence: set[_Whence] = set()
    within: set[Program] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        comparison, header, read = comparison_of(node, constants), _asked_for(node), _read(node)
        if comparison is not None:
            compared.append(comparison)
        elif header is not None:
            names.add(header)
        elif read is None:
            if isinstance(node, tree.Call) and any(overload.bindings for overload in node.overloads):
                return None
            pending += tree.children(node)
        elif (variable := variables.get(read[0])) is not None:
            if variable not in within:
                within.add(variable)
                pending.append(variable.tree)
            if len(within) > MOST_VARIABLES:
                return None
        elif (known := _whence(*read)) is not None:
            whence.add(known)
        else:
            return None
    return Seen(frozenset(names), tuple(compared), "caller" in whence, "context" in whence)


def _asked_for(node: tree.Expr) -> str | None:
    """The header, in lower case, of which a node asks whether it is there."""
    match node:
        case tree.Call(function="@in", args=(tree.Constant(value=str() as name), view)) if is_view(view):
            return name.lower()
        case tree.Has(operand=view, field=name) if is_view(view):
            return name.lower()
        case _:
            return None


def _read(node: tree.Expr) -> tuple[str, str] | None:
    """The variable of which a node reads a field, and that; the whole is the field that has no name."""
    match node:
        case tree.Select(operand=tree.Variable(name=name), field=field):
            return name, field
        case tree.Has(operand=tree.Variable(name=name), field=field):
            return name, field
        case tree.Variable(name=name):
            return name, ""
        case _:
            return None


def _whence(name: str, field: str) -> _Whence | None:
    """Where a field comes from, if requests that stand alike have it in common, or those of one context."""
    match name:
        case "context":
            return "context"
        case "user" if field and field not in _TIMED:
            return "caller"
        case "workload" | "client" if field:
            return "caller"
        case "request" if field == "method":
            return "caller"
        case _:
            return "policy" if name.startswith(DEFINITIONS) and not field else None


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
