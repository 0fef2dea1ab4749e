"""Plots of decisions over time and of the challenge funnel: numbers in, places of bars out.

The rules: a plot is drawn by the page itself, without a script; and what it shows stands beside it in words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.history.index_questions import FUNNEL, KINDS
from extauthz.history.indexing import MINUTE

WIDTH: Final = 720.0
HEIGHT: Final = 120.0
MOST_BARS: Final = 72
STEPS: Final = tuple(zip(FUNNEL, ("asked", "shown", "met", "failed tries", "given up"), strict=True))
_WIDTHS: Final = (1, 5, 15, 60, 360, 1440, 10_080)
_GAP: Final = 0.15
"""Of a bar's room what is left free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One colour of a bar, in units of the plot, from the top."""

    kind: str
    y: float
    height: float
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An interval, in nanoseconds since the epoch, and what was decided in it."""

    x: float
    width: float
    since: int
    until: int
    parts: tuple[Part, ...]

    @property
    def words(self) -> str:
        """The numbers."""
        return ", ".join(f"{part.number} {part.kind}" for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is plotted: from `since` to `until`, nanoseconds since the epoch, in intervals of so many minutes."""

    since: int
    until: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the funnel; `share` of the most, from 0 to 1."""

    name: str
    number: int
    share: float


def span_of(since: int, until: int) -> Span:
    """Whole intervals that cover a time, not too many; the last begins before `until`."""
    minutes = max(1, -(-(until - since) // MINUTE))
    width = next((one for one in _WIDTHS if minutes <= one * MOST_BARS), -(-minutes // MOST_BARS))
    unit = width * MINUTE
    first = since // unit * unit
    return Span(since=first, until=max(-(-until // unit) * unit, first + unit), width=width)


def bars_of(span: Span, counts: Mapping[tuple[int, str], int]) -> tuple[Bar, ...]:
    """The bars of a plot, the earliest first; intervals in which there was nothing have none."""
    unit = span.width * MINUTE
    number = (span.until - span.since) // unit
    highest = highest_of(span, counts)
    room = WIDTH / number
    return tuple(
        Bar(
            x=round((at + _GAP / 2) * room, 2),
            width=round(room * (1 - _GAP), 2),
            since=span.since + at * unit,
            until=span.since + (at + 1) * unit,
            parts=parts,
        )
        for at in range(number)
        if (parts := tuple(_parts(at, counts, highest)))
    )


def highest_of(span: Span, counts: Mapping[tuple[int, str], int]) -> int:
    """How many decisions there were in the interval with the most."""
    number = (span.until - span.since) // (span.width * MINUTE)
    return max((sum(counts.get((at, kind), 0) for kind in KINDS) for at in range(number)), default=0)


def funnel_of(counts: Mapping[tuple[int, str], int]) -> tuple[Step, ...]:
    """What became of challenges; nothing if there were none."""
    numbers = {kind: sum(number for (_, one), number in counts.items() if one == kind) for kind, _ in STEPS}
    most = max(numbers.values())
    return tuple(Step(name=name, number=numbers[kind], share=numbers[kind] / most) for kind, name in STEPS if most)


def _parts(at: int, counts: Mapping[tuple[int, str], int], highest: int) -> Iterator[Part]:
    ground = HEIGHT
    for kind in KINDS:  # from the ground up
        number = counts.get((at, kind), 0)
        if number:
            height = max(1.0, number / highest * HEIGHT)  # one denial among thousands is seen
            ground -= height
            yield Part(kind=kind, y=round(ground, 2), height=round(height, 2), number=number)
