"""How work beside the decisions stays out of their way.

Two things stop every thread of a Python process: another thread that computes, until it is made to give way, and a
search of the garbage collector over all objects. So such work rests often, and what it builds is never searched.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORK = 0.000_5
"""Seconds of work between two rests: what a decision may have to wait."""
REST = 0.005
"""Seconds of a rest."""
_NEVER = 1_000_000_000


class Pace:
    """Alternates work and rest in one thread."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._since = clock()

    def breathe(self) -> None:
        """Rest, if the last rest is long enough ago."""
        if self._clock() - self._since >= WORK:
            self._sleep(REST)
            self._since = self._clock()


@contextmanager
def building_what_stays() -> Iterator[None]:
    """What is built inside stays: the garbage collector looks at it neither now nor later.

    It must be free of circles, so that it goes when the last reference to it does.
    """
    young, middle, _ = thresholds = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    try:
        yield
        gc.freeze()
    finally:
        gc.set_threshold(*thresholds)


def release(parts: list[object], pace: Pace) -> None:
    """Drop what is in the list one by one: to free ten thousand rules at once would stop everything for a while."""
    while parts:
        parts.pop()
        pace.breathe()
