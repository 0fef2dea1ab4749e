"""How many calls a second a server answers, and the processor's time of one, which others on the machine take little
from: where it is busy, trust that."""

from dataclasses import dataclass
from typing import Self

from bench.harness import h2load
from bench.harness.h2load import Ask, Load
from bench.harness.proc import processor_seconds
from bench.harness.servers import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to send, and the processes whose time it takes."""

    ask: Ask
    pids: tuple[int, ...] = ()

    @classmethod
    def of(cls, server: Server) -> Self:
        """The Check, and the processes of a server."""
        return cls(ask=server.ask(), pids=server.pids())


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Calls a second, and microseconds of the processor for one."""

    rate: float
    processor: float


def one_round(asked: Asked, *, load: Load, core: int | None) -> Round:
    """Ask as `load` says. Raises `LoadFailed` if a call fails."""
    before = sum(map(processor_seconds, asked.pids))
    rate = h2load.rate_of(asked.ask, load, core=core)
    used = sum(map(processor_seconds, asked.pids)) - before
    return Round(rate=rate, processor=used / (rate * load.seconds) * 1e6)
