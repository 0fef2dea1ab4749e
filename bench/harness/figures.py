"""Figures, their targets, and the reports of parts. A figure keeps every round, so that its noise can be told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, assert_never

Better = Literal["more", "less"]


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
    """A value with its rounds. `better` says in which direction a change is good."""

    name: str
    unit: str
    value: float
    rounds: tuple[float, ...]
    better: Better
    target: Target | None = None

    @property
    def least(self) -> float:
        """The smallest round."""
        return min(self.rounds)

    @property
    def most(self) -> float:
        """The largest round."""
        return max(self.rounds)

    def met(self) -> bool:
        """Whether the value meets the target; without one it does."""
        match self.target:
            case None:
                return True
            case AtLeast(value=bound):
                return self.value >= bound
            case AtMost(value=bound):
                return self.value <= bound
            case _:
                assert_never(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latencies in microseconds by percentile, `p50` and so on; curves of one `panel` are drawn into one another."""

    panel: str
    name: str
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a part has to say. One that was skipped says why, and which targets nobody has judged because of that."""

    part: str
    title: str
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    skipped: str = ""
    unjudged: tuple[str, ...] = ()


def measured(
    name: str, unit: str, rounds: Sequence[float], *, better: Better = "less", target: Target | None = None
) -> Figure:
    """The median of the rounds."""
    return Figure(name=name, unit=unit, value=median(rounds), rounds=tuple(rounds), better=better, target=target)


def ratio(
    name: str, over: Sequence[float], under: Sequence[float], *, better: Better = "less", target: Target | None = None
) -> Figure:
    """The ratio of the medians; its rounds are the ratios of each round, which saw the same drift."""
    return Figure(
        name=name,
        unit="×",  # noqa: RUF001  what people write between a number and what it multiplies
        value=_divided(median(over), median(under)),
        rounds=tuple(_divided(a, b) for a, b in zip(over, under, strict=True)),
        better=better,
        target=target,
    )


def misses(reports: Sequence[Report]) -> list[str]:
    """Every target that was missed, or not judged because its part was skipped; one line each."""
    lines = []
    for report in reports:
        lines += [
            f"{report.part}: {figure.name}: {figure.value:.4g} {figure.unit}, not {figure.target}"
            for figure in report.figures
            if not figure.met()
        ]
        lines += [f"{report.part}: {line}" for line in report.missed]
        lines += [f"{report.part}: not judged, as it was skipped: {target}" for target in report.unjudged]
    return lines


def as_json(report: Report) -> dict[str, Any]:
    """What is written of a report; `figures` by name, with `least` and `most` beside the rounds."""
    written = asdict(report)
    del written["part"]
    written["figures"] = {
        figure.name: {
            **{key: value for key, value in asdict(figure).items() if key not in ("name", "target")},
            "least": figure.least,
            "most": figure.most,
            "target": None if figure.target is None else str(figure.target),
            "met": figure.met(),
        }
        for figure in report.figures
    }
    written["curves"] = [asdict(curve) for curve in report.curves]
    return written


def _divided(over: float, under: float) -> float:
    """No number, which meets no target, where `under` is not above 0: noise can take a small difference there."""
    return over / under if under > 0 else float("nan")
