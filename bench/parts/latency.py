"""How long a Check takes at rates that the server can keep up with."""

from functools import partial
from typing import Final

from bench.harness import h2load
from bench.harness.figures import Curve, Figure, Report, measured
from bench.harness.h2load import Ask, Load
from bench.harness.setting import Part, Setting

NAME: Final = "latency"
TITLE: Final = "Latency of a Check at fixed rates"
RATES: Final = (500, 2_000, 4_000)
CONNECTIONS: Final = 8
ROUND: Final = 0.9
"""Seconds, after a fifth of that to warm up: the largest percentile takes a thousand calls."""
KEPT: Final = 0.95
"""Of the rate; below it the server can't keep up, and h2load waits instead of the calls."""


def measure(setting: Setting) -> Report:
    """Percentiles for each server and rate."""
    figures: list[Figure] = []
    curves: list[Curve] = []
    notes = ["h2load sends in bursts, one each 10 ms: calls wait for those of their own burst"]
    with setting.yard() as yard:
        asks = {server.name: server.ask() for server in setting.servers(yard)}
        for rate in RATES:
            load = Load(connections=CONNECTIONS, streams=100, seconds=ROUND, rate=rate)
            at_rate = partial(_at, load=load, core=setting.cores.load)
            for name, rounds in setting.in_turn(asks, at_rate, seconds=ROUND).items():
                kept = min(kept for kept, _ in rounds)
                if kept < rate * KEPT:
                    notes.append(f"{name} at {rate}/s: only {kept:.0f}/s were reached; its percentiles say too little")
                row = [
                    measured(f"{name} at {rate}/s, {percentile}", "µs", [taken[percentile] for _, taken in rounds])
                    for percentile in h2load.PERCENTILES
                ]
                figures += row
                values = dict(zip(h2load.PERCENTILES, (figure.value for figure in row), strict=True))
                curves.append(Curve(panel=f"{rate}/s", name=name, percentiles=values))
    return Report(part=NAME, title=TITLE, figures=tuple(figures), curves=tuple(curves), notes=tuple(notes))


def _at(ask: Ask, *, load: Load, core: int | None) -> tuple[float, dict[str, float]]:
    rate, taken = h2load.latencies_of(ask, load, core=core)
    return rate, h2load.percentiles(taken)


PART: Final = Part(name=NAME, title=TITLE, targets=(), measure=measure, missing=h2load.missing)
