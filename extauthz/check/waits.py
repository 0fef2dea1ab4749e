"""What one Check waits for on its way to an answer.

The rule kept here: what is answered at once is no wait, and leaves nothing.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from extauthz.record.decision import Wait, WaitName, WallClock

SHORTEST_NS: Final = 100_000
"""Nanoseconds from which on something counts as a wait."""


class Waits:
    """Notes the waits of one Check, in the order in which they end."""

    def __init__(self, clock: WallClock, before: Iterable[Wait] = ()) -> None:
        self._clock = clock
        self._noted = list(before)

    @property
    def noted(self) -> tuple[Wait, ...]:
        """Those that are over."""
        return tuple(self._noted)

    def on(self, name: WaitName) -> "_Waiting":
        """The wait that a `with` block is; one that ends by an exception has failed."""
        return _Waiting(name, self._clock, self._noted)


class _Waiting:
    __slots__ = ("_clock", "_name", "_noted", "_started")

    def __init__(self, name: WaitName, clock: WallClock, noted: list[Wait]) -> None:
        self._name = name
        self._clock = clock
        self._noted = noted

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended = self._clock()
        if ended - self._started >= SHORTEST_NS:
            self._noted.append(Wait(self._name, self._started, ended, error is not None))
