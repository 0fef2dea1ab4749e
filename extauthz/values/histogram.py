"""Counts of lengths of time, by how long they were.

The rule kept here: what is counted takes the same room however much of it there is.
"""

from itertools import accumulate
from typing import Final

from extauthz.values.counted import Counted

WAITS: Final[tuple[float, ...]] = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
    60.0,
)
"""Seconds that a computer is waited for."""
LABOURS: Final[tuple[float, ...]] = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds that a long work takes."""
PEOPLE: Final[tuple[float, ...]] = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Seconds that a person is waited for."""


class Histogram:
    """Counts by `bounds`, which are seconds and ascend. `add` belongs to one thread, `counted` may be asked by any."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds: Final[tuple[float, ...]] = bounds
        self._counts: Final[list[int]] = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> int:
        """Count one; return its place."""
        # A clock that was set back between two readings makes no negative time.
        if seconds < 0.0:
            seconds = 0.0
        place = self.place(seconds)
        self._counts[place] = self._counts[place] + 1
        self._seconds += seconds
        return place

    def place(self, seconds: float) -> int:
        """The place of one among the bounds, `len(bounds)` beyond the last."""
        # Most are among the first.
        bounds, place = self._bounds, 0
        while place < len(bounds) and seconds > bounds[place]:
            place += 1
        return place

    @property
    def counted(self) -> Counted:
        """What was counted until now."""
        *up_to, count = accumulate(tuple(self._counts))
        return Counted(self._bounds, tuple(up_to), count, self._seconds)
