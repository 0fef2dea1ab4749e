"""What processes hold while the load goes on, whether it grows, and whether the machine let anybody run.

The rules: what a process holds when it has just started is no growth, so its first part of life is passed over; what
grows is the median of all slopes between two looks (Theil and Sen), which a peak or a collection of garbage does not
move; a process that lived for too short a time to be judged is not judged, and is counted.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.harness.proc import family, memory
from bench.soaking.site import Site
from bench.soaking.verdict import Verdict

LOOK_EVERY: Final = 2.0
STALL: Final = 0.05
"""Seconds by which somebody wakes too late when the machine does not let them run: a call of a Redis may take 0.08."""
FEWEST: Final = 8
SHORTEST: Final = 60.0
"""Looks and seconds below which nothing is told of a process."""
_PAIRS: Final = 4_000
_NAP: Final = 0.02
_QUEUE_EVERY: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much a figure may grow from the end of the warm-up to the last look: by `share` of itself and `more`.

    It is judged only if it was watched for `after` seconds: what is remembered of callers fills up before.
    """

    unit: str
    share: float
    more: float
    after: float = 60.0

    def most(self, middle: float) -> float:
        """In its unit, where it is this in the middle."""
        return self.share * middle + self.more


_OF_CALLERS: Final = 270_000.0
"""Blocks of memory that the bounded memories of 4,096 callers and tokens take at most: 66 for each, as `tracemalloc`
has it. How many there are depends on how many come in a minute, and goes down with each key that is removed."""
BOUNDS: Final[Mapping[str, Bound]] = {
    "resident": Bound(unit="MB", share=0.05, more=6.0, after=600.0),
    "descriptors": Bound(unit="", share=0.1, more=6.0),
    "threads": Bound(unit="", share=0.0, more=3.0),
    "tasks": Bound(unit="", share=0.2, more=12.0),
    "blocks": Bound(unit="", share=0.05, more=_OF_CALLERS, after=600.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a figure of a process did: its middle, and what it grew by in the seconds for which it was watched."""

    process: str
    figure: str
    middle: float
    grown: float
    seconds: float

    @property
    def an_hour(self) -> float:
        """What it would grow by in one."""
        return self.grown * 3600 / self.seconds

    @property
    def leaks(self) -> bool:
        """Whether that is more than it may."""
        bound = BOUNDS[self.figure]
        return self.seconds >= bound.after and self.grown > bound.most(self.middle)


@dataclass
class Watch:
    """Looks at all processes of a site again and again."""

    site: Site
    verdict: Verdict
    looks: dict[int, list[tuple[float, Mapping[str, float]]]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    _queued: dict[int, int] = field(default_factory=dict)

    async def begin(self) -> None:
        """Look for the first time, before anybody asks: what they hold and wait later is compared with this."""
        await asyncio.to_thread(self._take)
        self._queued = {pid: _waited(pid) for pid in self.looks}

    async def run(self, until: float) -> None:
        """Until this time of the monotonic clock."""
        await asyncio.gather(self._look(until), self._wake(until), self._queue(until))

    async def _look(self, until: float) -> None:
        while time.monotonic() < until:
            await asyncio.to_thread(self._take)
            await asyncio.sleep(LOOK_EVERY)

    async def _wake(self, until: float) -> None:
        while (began := time.monotonic()) < until:
            await asyncio.sleep(_NAP)
            late = time.monotonic() - began - _NAP
            if late > STALL:
                self.verdict.stalled(began, time.monotonic())

    async def _queue(self, until: float) -> None:
        """How long the kernel lets the main threads of the processes wait for a processor, by its own account."""
        while (began := time.monotonic()) < until:
            await asyncio.sleep(_QUEUE_EVERY)
            for pid in tuple(self.looks):
                told = _waited(pid)
                if told - self._queued.get(pid, told) > STALL * 1e9:
                    self.verdict.stalled(began, time.monotonic())
                self._queued[pid] = told

    def _take(self) -> None:
        now = time.monotonic()
        for name, child in tuple(self.site.children.items()):
            for pid in family(child.process.pid):
                try:
                    figures = _figures(pid, self.site.folder / "inside")
                    self.names.setdefault(pid, _name(name, pid, child.process.pid))
                except OSError:  # it has ended
                    continue
                self.looks.setdefault(pid, []).append((now, figures))

    def growth(self, warm_up: float) -> tuple[list[Growth], int]:
        """Of every process that was watched for long enough after so many seconds; and how many were not."""
        found, unjudged = [], 0
        for pid, looks in self.looks.items():
            began = looks[0][0]
            warm = [(at, figures) for at, figures in looks if at - began >= warm_up]
            if len(warm) < FEWEST or warm[-1][0] - warm[0][0] < SHORTEST:
                unjudged += 1
                continue
            for figure in BOUNDS:
                points = [(at, figures[figure]) for at, figures in warm if figure in figures]
                if len(points) >= FEWEST:
                    seconds = points[-1][0] - points[0][0]
                    found.append(
                        Growth(
                            process=f"{self.names[pid]} ({pid})",
                            figure=figure,
                            middle=median(value for _, value in points),
                            grown=_slope(points) * seconds,
                            seconds=seconds,
                        )
                    )
        return found, unjudged


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """By the second."""
    chance = random.Random(1)
    pick: Callable[[], tuple[float, float]] = lambda: chance.choice(points)  # noqa: E731 - typed
    pairs = [(pick(), pick()) for _ in range(_PAIRS)]
    slopes = [(one[1] - other[1]) / (one[0] - other[0]) for one, other in pairs if one[0] != other[0]]
    return median(slopes)


def _figures(pid: int, inside: Path) -> Mapping[str, float]:
    proc = Path(f"/proc/{pid}")
    figures = {
        "resident": memory(pid).resident,
        "descriptors": float(sum(1 for _ in (proc / "fd").iterdir())),
        "threads": float(sum(1 for _ in (proc / "task").iterdir())),
    }
    told = inside / f"{pid}.json"
    if told.exists():
        figures.update(json.loads(told.read_text()))
    return figures


def _waited(pid: int) -> int:
    """Nanoseconds for which its main thread has waited for a processor so far; none if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except OSError:
        return 0


def _name(child: str, pid: int, leader: int) -> str:
    if pid == leader:
        return child
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return f"{child}: {' '.join(word.decode(errors='replace').rpartition('/')[2] for word in words[:4])}"[:48]
