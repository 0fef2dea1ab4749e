"""PNG plots: bars with the bounds of figures, lines over percentiles for latencies."""

from collections.abc import Sequence
from math import inf, isfinite
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Plot

from bench.harness.figures import Curve, Figure, Report

mpl.use("Agg")
_WIDTH = 10.0
_ROW = 0.32
_HEAD = 1.2


def draw(report: Report, folder: Path) -> list[Path]:
    """The files that were written: one of the figures, and one of the curves where there are some."""
    written = []
    if report.figures and not report.curves:
        written.append(_bars(report, folder / f"{report.part}.png"))
    if report.curves:
        written.append(_lines(report, report.curves, folder / f"{report.part}.png"))
    return written


def _bars(report: Report, path: Path) -> Path:
    units = list(dict.fromkeys(figure.unit for figure in report.figures))
    groups = [[figure for figure in report.figures if figure.unit == unit] for unit in units]
    heights = [len(group) * _ROW + _HEAD for group in groups]
    plot = Plot(figsize=(_WIDTH, sum(heights)), layout="constrained")
    plot.suptitle(report.title)
    axes = plot.subplots(len(groups), squeeze=False, height_ratios=heights)
    for axis, group, unit in zip(axes[:, 0], groups, units, strict=True):
        names = [figure.name for figure in group]
        values = [figure.value if isfinite(figure.value) else 0.0 for figure in group]
        axis.barh(names, values, xerr=_bounds(group), capsize=3)
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        for place, figure in enumerate(group):
            if figure.target is not None:
                axis.plot([figure.target.value] * 2, [place - 0.4, place + 0.4], color="black", linestyle="dashed")
    plot.savefig(path)
    return path


def _bounds(group: Sequence[Figure]) -> list[list[float]]:
    return [
        [_drawn(figure.value - figure.low) for figure in group],
        [_drawn(figure.high - figure.value) for figure in group],
    ]


def _drawn(length: float) -> float:
    """Nothing of what has no end, or no number."""
    return length if 0 < length < inf else 0.0


def _lines(report: Report, curves: Sequence[Curve], path: Path) -> Path:
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    plot = Plot(figsize=(_WIDTH, _WIDTH / 2), layout="constrained")
    plot.suptitle(report.title)
    axes = plot.subplots(ncols=len(panels), sharey=True, squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for curve in curves:
            if curve.panel == panel:
                axis.plot(list(curve.percentiles), list(curve.percentiles.values()), marker="o", label=curve.name)
        axis.set_title(panel)
        axis.set_yscale("log")
        axis.legend(fontsize="small")
    axes[0, 0].set_ylabel("µs")
    plot.savefig(path)
    return path
