"""Figures, their targets, and the reports of parts. A figure keeps every round, so that its noise can be told, and is
judged only where its noise leaves room for no doubt, or next to none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isnan, nan
from statistics import median
from typing import Any, Final, Literal, assert_never

from bench.harness import intervals
from bench.harness.neighbours import Neighbours

Better = Literal["more", "less"]
Verdict = Literal["met", "missed", "unclear"]
TIMES: Final = "×"  # noqa: RUF001  what people write between a number and what it multiplies
TIMED: Final = frozenset({"s", "µs", "/s", "%"})
"""Units of what depends on how fast the machine is; shares are of calls that were answered in time."""
STILL: Final = 0.08
"""Share of a target. Bounds that lie no further apart, 4 % to both sides, are as good as it gets: where the target lies
between them, the value itself is judged. Where they are wider, nothing is: chance would do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast:
    """Met from this value up."""

    value: float

    def __str__(self) -> str:
        return f"≥ {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtMost:
    """Met up to this value."""

    value: float

    def __str__(self) -> str:
        return f"≤ {self.value:g}"


Target = AtLeast | AtMost


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value with its rounds, and the bounds between which it lies (`bench.harness.intervals`). `better` says in which
    direction a change is good, `crowded` that others took so much of the cores that it may be another one without them.
    """

    name: str
    unit: str
    value: float
    rounds: tuple[float, ...]
    low: float
    high: float
    better: Better
    target: Target | None = None
    crowded: bool = False

    def verdict(self) -> Verdict:
        """Whether the value meets the target, as far as that can be told; without one it does."""
        if self.target is None:
            return "met"
        lost_in_noise = isnan(self.low) or self.low == inf  # what it is a ratio to
        if lost_in_noise or self.crowded:
            return "unclear"
        ends = {_meets(end, self.target) for end in (self.low, self.high)}
        if len(ends) > 1 and self.high - self.low > STILL * abs(self.target.value):
            return "unclear"
        return "met" if _meets(self.value, self.target) else "missed"


def _meets(value: float, target: Target) -> bool:
    match target:
        case AtLeast(value=bound):
            return value >= bound
        case AtMost(value=bound):
            return value <= bound
        case _:
            assert_never(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latencies in microseconds by percentile, `p50` and so on; curves of one `panel` are drawn into one another."""

    panel: str
    name: str
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a part has to say. One that was skipped says why; `unjudged` are targets that nobody has judged because of
    that, or of others on the machine."""

    part: str
    title: str
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    skipped: str = ""
    unjudged: tuple[str, ...] = ()
    neighbours: Neighbours | None = None


def measured(
    name: str, unit: str, rounds: Sequence[float], *, better: Better = "less", target: Target | None = None
) -> Figure:
    """The median of the rounds; no number if one of them is none."""
    known = not any(map(isnan, rounds))
    low, high = intervals.of_median(rounds) if known else (nan, nan)
    return Figure(
        name=name,
        unit=unit,
        value=median(rounds) if known else nan,
        rounds=tuple(rounds),
        low=low,
        high=high,
        better=better,
        target=target,
    )


def ratio(
    name: str, over: Sequence[float], under: Sequence[float], *, better: Better = "less", target: Target | None = None
) -> Figure:
    """The median of the ratios of each round, whose two sides were measured one right after the other: so they saw the
    same drift and the same neighbours, which the ratio of two medians takes from rounds that may lie far apart."""
    rounds = [_divided(a, b) for a, b in zip(over, under, strict=True)]
    return measured(name, TIMES, rounds, better=better, target=target)


def ratio_of_added(
    name: str, over: Sequence[float], under: Sequence[float], base: Sequence[float], *, target: Target | None = None
) -> Figure:
    """What `over` adds to `base` over what `under` adds, each the median of the differences of rounds: a difference of
    one round can be next to nothing, so ratios of rounds say little, and bounds are found by drawing rounds anew."""
    above = [a - b for a, b in zip(over, base, strict=True)]
    beneath = [a - b for a, b in zip(under, base, strict=True)]

    def estimate(turns: Sequence[int]) -> float:
        added, least = median(above[turn] for turn in turns), median(beneath[turn] for turn in turns)
        return added / least if least > 0 else inf  # lost in noise: it may be as large as one likes

    low, high = intervals.by_drawing(len(above), estimate)
    return Figure(
        name=name,
        unit=TIMES,
        value=estimate(range(len(above))),
        rounds=tuple(map(_divided, above, beneath)),
        low=low,
        high=high,
        better="less",
        target=target,
    )


def misses(reports: Sequence[Report]) -> list[str]:
    """Every target that was missed; one line each."""
    lines = []
    for report in reports:
        lines += [
            f"{report.part}: {figure.name}: {figure.value:.4g} {figure.unit}, not {figure.target}"
            for figure in report.figures
            if figure.verdict() == "missed"
        ]
        lines += [f"{report.part}: {line}" for line in report.missed]
    return lines


def unjudged(reports: Sequence[Report]) -> list[str]:
    """Every target of which nobody knows whether it was met: too much noise, or its part was skipped; one line each."""
    lines = []
    for report in reports:
        lines += [
            f"{report.part}: {figure.name}: {figure.value:.4g} {figure.unit}, between {figure.low:.4g} and"
            f" {figure.high:.4g}: whether it is {figure.target} can't be judged here{_with_others(figure)}"
            for figure in report.figures
            if figure.verdict() == "unclear"
        ]
        why = "it was skipped" if report.skipped else "missed, but others took much of the cores"
        lines += [f"{report.part}: {target}: {why}" for target in report.unjudged]
    return lines


def among_others(report: Report) -> Report:
    """The report where others took much of the cores. Ratios are not judged then, for two servers need not suffer
    alike; nor is a miss of what is timed, or of a script, while what was met in spite of them stays met."""
    figures = tuple(
        replace(one, crowded=one.unit == TIMES or (one.unit in TIMED and one.verdict() == "missed"))
        for one in report.figures
    )
    return replace(report, figures=figures, missed=(), unjudged=(*report.unjudged, *report.missed))


def as_json(report: Report) -> dict[str, Any]:
    """What is written of a report; `figures` by name, each with all rounds and what became of its target."""
    written = asdict(report)
    del written["part"]
    written["figures"] = {
        figure.name: {
            **{key: value for key, value in asdict(figure).items() if key not in ("name", "target")},
            "target": None if figure.target is None else str(figure.target),
            "verdict": figure.verdict(),
        }
        for figure in report.figures
    }
    written["curves"] = [asdict(curve) for curve in report.curves]
    return written


def _with_others(figure: Figure) -> str:
    return ", as others took much of the cores" if figure.crowded else ""


def _divided(over: float, under: float) -> float:
    """No number, which is not judged, where `under` is not above 0: noise can take a small difference there."""
    return over / under if under > 0 else nan
