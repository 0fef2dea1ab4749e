"""Start-up and memory of the product: seconds until it serves, MB of its processes, and whether they grow.

What is judged is what an operator sees, resident memory; beside it stands what of that is shared with others, and what
the same transport takes with nothing behind it.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import Final

from bench.harness import h2load, openloop, traffic
from bench.harness.envoys import start_direct
from bench.harness.figures import AtMost, Figure, Report, measured
from bench.harness.proc import Memory, memory, processor_seconds
from bench.harness.servers import TRANSPORTS, Server, Transport
from bench.harness.setting import Part, Setting
from bench.noop import CHECK, framed

NAME: Final = "resources"
TITLE: Final = "Start-up and memory"
RULES: Final = 100
MOST_SECONDS: Final = AtMost(value=1.5)
MOST_MB: Final = AtMost(value=140.0)
MOST_GROWTH: Final = AtMost(value=2.0)
"""MB: what the allocator may still take while every path has been walked (issue 7 wants no growth)."""
ENOUGH: Final = 1_000_000
"""Calls after which growth is judged: with fewer, what is remembered of requests is not yet full."""
WARM_UP: Final = 0.2
"""Share of the calls before memory is looked at for the first time."""
AT_EASE: Final = 0.6
"""Of what the server can do: so that calls are decided, not refused."""
CAPACITY: Final = 1.5
"""Seconds for which it is asked what it can do."""
AT_ONCE: Final = 20_000
"""Calls whose answers are kept at a time."""
CONNECTIONS: Final = 4
AT_A_TIME: Final = 64
"""Calls under way: a busy machine is not to pile them up, which would be memory for calls that wait."""
PATIENCE: Final = 120.0


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
    figures.append(measured("envoy by itself", "MB", [_of_envoy(setting).resident]))
    for transport in setting.transports:
        figures.append(measured(f"{transport.name}, no-op", "MB", [_of_noop(setting, transport).resident]))
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


def _of_envoy(setting: Setting) -> Memory:
    with setting.yard() as yard:
        start_direct(yard)
        return memory(yard.processes.children[-1].process.pid)


def _of_noop(setting: Setting, transport: Transport) -> Memory:
    with setting.yard() as yard:
        return _largest_of(yard.start_noop(transport).pids())


def _largest_of(pids: tuple[int, ...]) -> Memory:
    return max(map(memory, pids), key=lambda one: one.resident)


def _memory(setting: Setting, server: Server, name: str, notes: list[str]) -> list[Figure]:
    size, core = setting.size, setting.cores.load
    pids = server.pids()
    idle = _all(pids)
    rate = AT_EASE * h2load.rate_of(server.ask(), h2load.Load(seconds=CAPACITY), core=core)
    calls = int(min(size.growth_calls, size.growth_seconds * rate))
    bodies = map(framed, map(traffic.varied, count()))
    before = _ask(server, bodies, calls=int(calls * WARM_UP), rate=rate, core=core)
    warm = _all(pids)
    asked = _ask(server, bodies, calls=calls, rate=rate, core=core)
    judged = MOST_GROWTH if asked >= ENOUGH else None
    loaded, largest = _all(pids), _largest_of(pids)
    told = "" if judged else f"; judged is what {ENOUGH:,} bring (--long)"
    notes.append(f"{name}: growth over {asked:,} calls, no two the same, after {before:,} before them{told}")
    return [
        measured(f"{name}, all {len(pids)} processes, idle", "MB", [idle]),
        measured(_largest(name), "MB", [largest.resident], target=MOST_MB),
        measured(f"{name}, of it pages of files", "MB", [largest.of_files]),
        measured(f"{name}, of it shared with nobody", "MB", [largest.private]),
        measured(f"{name}, with its part of what is shared", "MB", [largest.proportional]),
        measured(_growth(name), "MB", [loaded - warm], target=judged),
    ]


def _all(pids: tuple[int, ...]) -> float:
    return sum(memory(pid).resident for pid in pids)


def _ask(server: Server, bodies: Iterator[bytes], *, calls: int, rate: float, core: int | None) -> int:
    """Ask so often, at this rate; how often it was. Raises `LoadFailed` if a call ends without an answer."""
    headers = {":method": "POST", ":scheme": "http", ":path": CHECK, ":authority": server.address, **h2load.GRPC}
    asked = 0
    while asked < calls:
        outcome = openloop.run(
            server.address,
            headers,
            bodies,
            rate=rate,
            seconds=max(min(calls - asked, AT_ONCE) / rate, 0.1),
            deadline=PATIENCE,
            connections=CONNECTIONS,
            core=core,
            most=AT_A_TIME,
        )
        sent = outcome.asked - outcome.held_back
        answered = sum(one.message is not None for one in outcome.answered)
        if answered < sent:
            raise h2load.LoadFailed(f"{server.name}: {sent - answered} of {sent} calls got no answer")
        asked += sent
    return asked


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(judged(transport.name) for judged in (_start, _largest, _growth) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
