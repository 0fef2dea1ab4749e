"""Who runs on which core: what is measured on one, what asks it on another, so that neither takes the other's time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from extauthz.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """The cores of the server and of the load; `None`: nothing is pinned."""

    server: int | None
    load: int | None

    def __str__(self) -> str:
        if self.server is None:
            return (
                "nothing is pinned: this takes two cores and a system that can pin; server and load share what there is"
            )
        return f"servers on core {self.server}, load on core {self.load}"


def find_cores() -> Cores:
    """The last core for servers (the first one tends to serve interrupts), the first for the load."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(server=None, load=None)
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return Cores(server=None, load=None)
    return Cores(server=allowed[-1], load=allowed[0])


def go_first() -> None:
    """Run this process, and what it starts from now on, before all that has no real-time priority.

    Raises:
        ConfigurationError: the system does not let us.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except (AttributeError, OSError):
        raise ConfigurationError(
            "--real-time: the system does not allow it; on Linux it takes root, or CAP_SYS_NICE"
        ) from None


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This thread, and every process that it starts meanwhile, on `core`."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
