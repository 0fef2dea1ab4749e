"""What every part is told: how long to measure, on which cores, beside which peers; and a yard to start servers in."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from bench.harness.cores import Cores
from bench.harness.figures import Report
from bench.harness.h2load import LoadFailed, NothingAnswered
from bench.harness.servers import Server, Transport, Yard
from extauthz.cli.quickstart.processes import Processes

_Asked = TypeVar("_Asked")
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured: seconds of each thing in all its rounds, and what parts need beside."""

    seconds: float
    starts: int
    """Starts of each server until it serves."""
    growth_calls: int
    """Calls at most while the memory is watched."""
    growth_seconds: float
    counted: int
    """Decisions whose instructions are counted."""
    drained: int = 50_000
    """Calls while workers are replaced (issue 7)."""
    steady: float = 10.0
    """Seconds at a rate at which no record is to be lost."""

    def rounds(self, seconds: float) -> int:
        """How many rounds of so many seconds; one at least."""
        return max(1, round(self.seconds / seconds))


QUICK: Final = Size(seconds=4.5, starts=3, growth_calls=1_000_000, growth_seconds=10.0, counted=200)
LONG: Final = Size(seconds=45.0, starts=9, growth_calls=1_000_000, growth_seconds=3_600.0, counted=1_000, steady=60.0)
TINY: Final = Size(seconds=0.6, starts=1, growth_calls=500, growth_seconds=1.0, counted=5, drained=500, steady=1.0)
TRIES: Final = 5
"""Of a round in which nothing was answered: a busy machine may not let so short a one begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run. `peers` are other servers by name; they listen already."""

    size: Size
    cores: Cores
    peers: Mapping[str, str]
    transports: tuple[Transport, ...]

    @contextmanager
    def yard(self) -> Iterator[Yard]:
        """A place for servers, which are stopped at its end."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Processes() as processes:
            yield Yard(processes=processes, folder=Path(folder), core=self.cores.server)

    def servers(self, yard: Yard) -> list[Server]:
        """Each transport with nothing behind it and with the product, and the peers."""
        started = []
        for transport in self.transports:
            started += [yard.start_noop(transport), yard.start_extauthz(transport)]
        return started + [Server(name=name, address=address) for name, address in self.peers.items()]

    def in_turn(
        self, asked: Mapping[str, _Asked], ask: Callable[[_Asked], _Got], *, seconds: float
    ) -> dict[str, list[_Got]]:
        """What each gives in each round of so many seconds; the rounds go through all, so that a drift meets all alike.

        Raises:
            LoadFailed: with the name of the one that failed.
        """
        got: dict[str, list[_Got]] = {name: [] for name in asked}
        for _ in range(self.size.rounds(seconds)):
            for name, one in asked.items():
                try:
                    got[name].append(_insisted(partial(ask, one)))
                except LoadFailed as error:
                    raise LoadFailed(f"{name}: {error}") from None
        return got


def _insisted(ask: Callable[[], _Got]) -> _Got:
    for _ in range(TRIES - 1):
        with suppress(NothingAnswered):
            return ask()
    return ask()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that is measured. `targets` names what is judged, for when it can't be measured; `missing` tells that
    before anything is started."""

    name: str
    title: str
    targets: tuple[str, ...]
    measure: Callable[[Setting], Report]
    missing: Callable[[], str] = lambda: ""
    """What to install first; empty if everything is there."""

    def skipped(self, reason: str) -> Report:
        """The report when it could not be measured."""
        return Report(part=self.name, title=self.title, skipped=reason, unjudged=self.targets)
