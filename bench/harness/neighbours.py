"""What else ran meanwhile on the cores that are measured, so that a reader knows what to trust.

From /proc/stat: what of the time of these cores others on this machine took, and what the hypervisor did, as far as it
tells. Where there is no /proc, nothing is told.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

MUCH: Final = 0.2
"""Of the cores. Where others took more, ratios can be other ones than without them: of `grpcio`, whose threads wait for
each other, extauthz over its no-op was 1.05 where they took 80 %, and 0.85 before them."""
STAT: Final = Path("/proc/stat")
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Shares of the time of the cores, 0 to 1: what others took, and what was stolen by the hypervisor."""

    others: float
    stolen: float

    def __str__(self) -> str:
        return (
            f"meanwhile others on this machine took {self.others:.0%} of the cores' time, the hypervisor"
            f" {self.stolen:.1%}"
        )


def own_seconds() -> float:
    """What this process has used of the processor, and what it has started, once that has ended."""
    return sum(os.times()[:4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A look at some cores, to be compared with a later one: seconds since anything, all of them together. `own` tells
    what of it is not of others."""

    cores: frozenset[int]
    own: Callable[[], float]
    at: float
    busy: float
    stolen: float
    used: float

    @classmethod
    def start(cls, *cores: int | None, own: Callable[[], float] = own_seconds) -> Self | None:
        """Look at these cores, at all where nothing is pinned; `None` where nothing can be told."""
        if not STAT.exists():
            return None
        pinned = {core for core in cores if core is not None}
        return cls._now(frozenset(pinned or range(os.cpu_count() or 1)), own)

    def end(self) -> Neighbours:
        """What happened since it began."""
        now = self._now(self.cores, self.own)
        whole = (now.at - self.at) * len(self.cores)
        others = (now.busy - self.busy) - (now.used - self.used)
        return Neighbours(others=min(max(others / whole, 0.0), 1.0), stolen=(now.stolen - self.stolen) / whole)

    @classmethod
    def _now(cls, cores: frozenset[int], own: Callable[[], float]) -> Self:
        busy, stolen = parse_stat(STAT.read_text(), cores)
        return cls(cores=cores, own=own, at=time.monotonic(), busy=busy, stolen=stolen, used=own())


def parse_stat(text: str, cores: frozenset[int]) -> tuple[float, float]:
    """Seconds that these cores were busy, and that were stolen from them, since they were started (proc_stat(5))."""
    busy = stolen = 0.0
    for line in text.splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name.removeprefix("cpu")) in cores:
            user, nice, system, _idle, _waiting, interrupts, soft, steal = map(int, counts[:8])
            busy += (user + nice + system + interrupts + soft) * _TICK
            stolen += steal * _TICK
    return busy, stolen
