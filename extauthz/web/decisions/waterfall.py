"""What was when in one decision: rows of a waterfall, from when Envoy saw the request to what came of it.

The rule: only times that the record has are drawn. What has none stands beside the picture in words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.record.audit_line import DecisionLine
from extauthz.record.instants import nanoseconds_of
from extauthz.record.life_lines import LifeLine

WIDTH: Final = 1000.0
LEAST: Final = 4.0
"""How wide a bar is at least, so that what was short is seen."""
_MICRO: Final = 1_000
_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bar: `x` and `width` of `WIDTH`, and the times in words."""

    name: str
    kind: str
    x: float
    width: float
    after: str
    lasted: str


def waterfall(line: DecisionLine) -> tuple[Row, ...]:
    """The path of the Check: on its way to us, and with us."""
    began = nanoseconds_of(line.time)
    took = int(line.duration_us * _MICRO)
    rows = [("decided", "check", began, took)]
    if line.request_time is not None:
        seconds, nanos = line.request_time
        seen = seconds * 1_000_000_000 + nanos
        if began >= seen:
            rows.insert(0, ("Envoy, and on the way", "way", seen, began - seen))
    return tuple(_drawn(rows))


def aftermath(line: DecisionLine, events: Sequence[LifeLine]) -> tuple[tuple[LifeLine, str], ...]:
    """What came of it, each with how long after the decision began."""
    began = nanoseconds_of(line.time)
    return tuple((event, span(nanoseconds_of(event.time) - began)) for event in events)


def span(nanos: int) -> str:
    """A span of time, as short as can be read: `250 µs`, `1.2 ms`, `12 s`, `3 min`."""
    sign, rest = ("-" if nanos < 0 else ""), abs(nanos)
    for unit, name in ((3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms")):
        if rest >= unit:
            return f"{sign}{_short(rest / unit)} {name}"
    return f"{sign}{_short(rest / _MICRO)} µs"


def _short(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:.0f}" if number >= _HUNDRED else f"{number:.3g}"


def _drawn(rows: Sequence[tuple[str, str, int, int]]) -> Iterator[Row]:
    first = min(began for _, _, began, _ in rows)
    whole = max(1, max(began + took for _, _, began, took in rows) - first)
    for name, kind, began, took in rows:
        width = max(LEAST, took / whole * WIDTH)
        x = min((began - first) / whole * WIDTH, WIDTH - width)
        yield Row(
            name=name, kind=kind, x=round(x, 2), width=round(width, 2), after=span(began - first), lasted=span(took)
        )
