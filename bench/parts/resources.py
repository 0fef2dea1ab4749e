"""Start-up and memory of the product: seconds until it serves, MB of its processes, and whether they grow."""

import time
from typing import Final

from bench.harness import h2load
from bench.harness.figures import AtMost, Figure, Report, measured
from bench.harness.proc import processor_seconds, resident
from bench.harness.servers import TRANSPORTS, Server, Transport
from bench.harness.setting import Part, Setting

NAME: Final = "resources"
TITLE: Final = "Start-up and memory"
RULES: Final = 100
MOST_SECONDS: Final = AtMost(value=1.5)
MOST_MB: Final = AtMost(value=140.0)
MOST_GROWTH: Final = AtMost(value=2.0)
"""MB: what the allocator may still take while every path has been walked (issue 7 wants no growth)."""
WARM_UP: Final = 0.2
"""Share of the time before memory is looked at for the first time."""


def _start(transport: str) -> str:
    return f"{transport}, start to SERVING with {RULES} rules"


def _largest(transport: str) -> str:
    return f"{transport}, largest process after load"


def _growth(transport: str) -> str:
    return f"{transport}, growth under load"


def measure(setting: Setting) -> Report:
    """Start-up by turns, then each server's memory."""
    figures: list[Figure] = []
    notes: list[str] = []
    turns: dict[str, list[tuple[float, float]]] = {transport.name: [] for transport in setting.transports}
    for _ in range(setting.size.starts):
        for transport in setting.transports:
            turns[transport.name].append(_started(setting, transport))
    for name, rounds in turns.items():
        figures += [
            measured(_start(name), "s", [seconds for seconds, _ in rounds], target=MOST_SECONDS),
            measured(f"{name}, processor until then", "s", [processor for _, processor in rounds]),
        ]
    for transport in setting.transports:
        with setting.yard() as yard:
            server = yard.start_extauthz(transport, rules=RULES)
            figures += _memory(setting, server, transport.name, notes)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=tuple(notes))


def _started(setting: Setting, transport: Transport) -> tuple[float, float]:
    """Seconds until it serves, and those of the processor in them: what others on the machine take least from."""
    with setting.yard() as yard:
        began = time.monotonic()
        server = yard.start_extauthz(transport, rules=RULES)
        return time.monotonic() - began, sum(map(processor_seconds, server.pids()))


def _memory(setting: Setting, server: Server, name: str, notes: list[str]) -> list[Figure]:
    size, core, ask = setting.size, setting.cores.load, server.ask()
    pids = server.pids()
    idle = [resident(pid) for pid in pids]
    rate = h2load.rate_of(ask, h2load.Load(seconds=size.growth_seconds * WARM_UP), core=core)
    warm = sum(map(resident, pids))
    seconds = min(size.growth_seconds, size.growth_calls / rate)
    calls = seconds * h2load.rate_of(ask, h2load.Load(seconds=seconds), core=core)
    loaded = [resident(pid) for pid in pids]
    notes.append(
        f"{name}: growth over {calls:,.0f} calls, after {rate * size.growth_seconds * WARM_UP:,.0f} before them"
    )
    return [
        measured(f"{name}, all {len(pids)} processes, idle", "MB", [sum(idle)]),
        measured(_largest(name), "MB", [max(loaded)], target=MOST_MB),
        measured(_growth(name), "MB", [sum(loaded) - warm], target=MOST_GROWTH),
    ]


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(judged(transport.name) for judged in (_start, _largest, _growth) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
