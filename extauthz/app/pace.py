"""How work beside the decisions stays out of their way.

Two things stop every thread of a Python process: another thread that computes, until it is made to give way, and a
search of the garbage collector over all objects. So such work rests often, and what it builds is never searched.
"""

import gc
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

WORK = 0.000_5
"""Seconds of work between two rests: what a decision may have to wait."""
NEW = 20_000
"""Objects that may come to be, and not go, before the garbage collector looks for circles among them. By default it
does at 700, which a hundred calls under way have: it would look at them again and again, and find nothing."""
REST = 0.010
"""Seconds of a rest. Long enough that of a hundred decisions less than one meets the work."""


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
            self._rest()
            self._since = self._clock()

    def _rest(self) -> None:
        self._sleep(REST)


def settle() -> None:
    """What is there stays: it is never searched for garbage, and what comes is searched rarely."""
    gc.freeze()
    gc.set_threshold(NEW)


class Building(Pace):
    """The pace of building what stays: inside of its `with`, the garbage collector looks at nothing that is built.

    Nor does it later: all objects of the process go to where it never looks (`gc.freeze`). So what is built must be
    free of circles, to go when the last reference to it does. What was frozen by the way, and is in a circle, never
    goes: that is why garbage is collected before, and why there is as little of it as can be. Use one at a time.
    """

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(WORK)  # where the work can't rest, it gives way
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setswitchinterval(self._interval)
        if error is None:
            gc.freeze()
        gc.enable()

    def _rest(self) -> None:
        gc.freeze()
        gc.enable()
        super()._rest()
        gc.disable()
        gc.collect(0)  # what others made meanwhile, which is little


def release(roots: list[object], pace: Pace) -> None:
    """Let go of what is in the list piece by piece: to free ten thousand rules at once would stop everything.

    Pieces are the containers and the objects of this package's policies; each is held here until those that hold it
    are gone.
    """
    pieces = roots
    known = {id(piece) for piece in pieces}
    for piece in pieces:  # which grows meanwhile
        for held in gc.get_referents(piece):
            if id(held) not in known and _is_piece(type(held)):
                known.add(id(held))
                pieces.append(held)
        pace.breathe()
    pieces.reverse()
    while pieces:
        pieces.pop()
        pace.breathe()


def _is_piece(kind: type) -> bool:
    return kind in _CONTAINERS or kind.__module__.startswith("extauthz.policy.")


_CONTAINERS = frozenset({dict, list, tuple, set})
