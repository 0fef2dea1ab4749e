"""What was when in one decision: rows of a waterfall, from when Envoy saw the request to what came of it.

The rule: only times that the record has are drawn, each at its place. What was done without waiting has none of its
own: it is what waits leave of the decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from extauthz.record.audit_line import DecisionLine
from extauthz.record.instants import nanoseconds_of
from extauthz.record.life_lines import LifeLine

WIDTH: Final = 1000.0
LEAST: Final = 4.0
"""How wide a bar is at least, so that what was short is seen."""
_WAITS: Final[Mapping[str, str]] = {
    "identity": "waited: who calls",
    "attributes": "waited: attribute sources",
    "store": "waited: the store",
    "hold": "held for an approval",
    "audit": "waited: its record",
}
_MICRO: Final = 1_000
_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bar: `x` and `width` of `WIDTH`, and the times in words; `after` is `""` in the first microsecond."""

    name: str
    kind: str
    x: float
    width: float
    after: str
    lasted: str


class _Time(NamedTuple):
    """What took a time: its name, its colour, when it began, in nanoseconds since the epoch, and how many it took."""

    name: str
    kind: str
    began: int
    took: int


def waterfall(line: DecisionLine) -> tuple[Row, ...]:
    """The path of the Check: on its way to us, with us, and whom it has waited for there."""
    began = nanoseconds_of(line.time)
    decided = _Time("decided", "check", began, int(line.duration_us * _MICRO))
    waits = [
        _Time(
            _WAITS.get(wait.name, f"waited: {wait.name}"),
            "failed" if wait.failed else "wait",
            began + int(wait.after_us * _MICRO),
            int(wait.duration_us * _MICRO),
        )
        for wait in line.waits
    ]
    rows = sorted([decided, *waits], key=lambda row: row.began)  # a decision goes before a wait that begins with it
    if line.request_time is not None:
        seconds, nanos = line.request_time
        seen, first = seconds * 1_000_000_000 + nanos, rows[0].began
        if first >= seen:
            rows.insert(0, _Time("Envoy, and on the way", "way", seen, first - seen))
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


def _drawn(rows: Sequence[_Time]) -> Iterator[Row]:
    first = rows[0].began
    whole = max(1, max(row.began + row.took for row in rows) - first)
    for row in rows:
        width = max(LEAST, row.took / whole * WIDTH)
        x = min((row.began - first) / whole * WIDTH, WIDTH - width)
        yield Row(
            name=row.name,
            kind=row.kind,
            x=round(x, 2),
            width=round(width, 2),
            after=span(row.began - first) if row.began - first >= _MICRO else "",
            lasted=span(row.took),
        )
