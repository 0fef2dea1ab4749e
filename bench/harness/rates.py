"""How many calls a second a server answers, and how many for each second of the processor that it used.

On a core that is the server's alone, and has always something to do, the two are the same. Where others use the core,
too, the first tells what they left, and the second still what one core can do: so it is what targets are held against.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.harness import h2load, pages
from bench.harness.figures import Figure, measured
from bench.harness.h2load import Ask, Load
from bench.harness.proc import processor_seconds
from bench.harness.servers import Server
from bench.harness.setting import Setting

ROUND: Final = 0.15
"""Seconds. Many short rounds by turns vary less than few long ones of the same time; see docs/performance.md."""
WARM_UP: Final = 0.3
"""Likewise, to see how many calls a round takes."""
LEAST: Final = 400
"""Calls of a round: at its end fewer are under way at a time than what is measured has."""
AFTERWARDS: Final = 1.0
"""Seconds after which a server has done what it left for later: to write, to export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to send, the processes whose time it takes, and the file that they write."""

    ask: Ask
    pids: tuple[int, ...] = ()
    audit: Path | None = None

    @classmethod
    def of(cls, server: Server) -> Self:
        """The Check, and the processes and the audit of a server."""
        return cls(ask=server.ask(), pids=server.pids(), audit=server.audit)

    def used(self) -> float:
        """Seconds of the processor that its processes have used so far."""
        return sum(map(processor_seconds, self.pids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of each round: calls a second, and calls for each second of the processor, which are missing of a server that
    somebody else has started."""

    by_clock: tuple[float, ...]
    of_core: tuple[float, ...]

    @property
    def processor(self) -> tuple[float, ...]:
        """Microseconds of the processor for a call."""
        return tuple(1e6 / rate for rate in self.of_core)

    def figures(self, name: str) -> list[Figure]:
        """What is told of them."""
        told = [measured(name, "/s", self.by_clock, better="more")]
        if self.of_core:
            told.append(measured(per_core(name), "/s", self.of_core, better="more"))
            told.append(measured(f"{name}, processor", "µs a Check", self.processor))
        return told


def per_core(name: str) -> str:
    """What the second of the rates is called."""
    return f"{name}, for each second of the processor"


def by_turns(asked: Mapping[str, Asked], setting: Setting) -> dict[str, Rates]:
    """Ask all of them in many short rounds. What a server uses of the processor counts until its next round begins, so
    that what it leaves for later is its own, and not that of nobody.

    Raises:
        LoadFailed: a call failed.
    """
    core = setting.cores.load
    pace = {name: warmed_up(one.ask, core=core) for name, one in asked.items()}

    def ask(name: str) -> _Round:
        used_before, calls = asked[name].used(), calls_in(ROUND, pace=pace[name])
        pace[name] = rate_of(asked[name].ask, calls, core=core)
        if (audit := asked[name].audit) is not None:
            pages.reuse(audit)
        return _Round(used_before=used_before, calls=calls, rate=pace[name])

    rounds = setting.in_turn({name: name for name in asked}, ask, seconds=ROUND)
    time.sleep(AFTERWARDS)
    return {name: _rates(one, rounds[name]) for name, one in asked.items()}


def calls_in(seconds: float, *, pace: float) -> int:
    """How many calls make a round of so many seconds."""
    return max(LEAST, int(seconds * pace))


def rate_of(ask: Ask, calls: int, *, core: int | None) -> float:
    """Calls a second, of so many. A number, not a time: at the end of a time some are under way, which cost the
    processor and are not counted, and where others use the core these would be many of those that are."""
    return h2load.rate_of(ask, Load(seconds=ROUND, calls=calls, warm_up=False), core=core)


def warmed_up(ask: Ask, *, core: int | None) -> float:
    """The rate after some calls that nobody looks at."""
    first = rate_of(ask, LEAST, core=core)
    return rate_of(ask, calls_in(WARM_UP, pace=first), core=core)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    used_before: float
    calls: int
    rate: float


def _rates(asked: Asked, rounds: list[_Round]) -> Rates:
    by_clock = tuple(one.rate for one in rounds)
    if not asked.pids:
        return Rates(by_clock=by_clock, of_core=())
    marks = [*(one.used_before for one in rounds), asked.used()]
    of_core = tuple(one.calls / (after - before) for one, before, after in zip(rounds, marks, marks[1:], strict=False))
    return Rates(by_clock=by_clock, of_core=of_core)
