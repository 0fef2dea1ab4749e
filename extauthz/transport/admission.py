"""Whether a call that comes now would have its turn soon enough. Pure: lengths of time are arguments.

The rule: where nobody is ahead, nobody is refused. So a server that was slow is asked again, and what made it refuse is
forgotten as soon as it is over.
"""

from typing import Final, final

LONGEST_TURN: Final = 0.1
"""Seconds that a call may wait for its turn, where nobody knows how long its caller waits: half of the 200 ms that an
Envoy waits by default."""
_LATE: Final = 1.0
MOST_AHEAD: Final = 4096
"""Calls that may wait for their turn, however quick they are: each keeps its message in memory."""
_KEPT: Final = 0.95
"""How much of what was known counts on when a call tells more: the last twenty calls say most."""


def longest_turn(patience: float | None) -> float:
    """Seconds that a call may wait for its turn whose caller has this much patience, `None`: without end.

    Half of it, but no more than a second: whoever waits for long wants to hear early that it would be.
    """
    return _LATE if patience is None else min(patience / 2, _LATE)


@final
class Pace:
    """How long calls waited of late: `seconds`, for `calls` to go before them, themselves included.

    Never changed: one is made for each call, and taken over in one step by whichever thread.
    """

    __slots__ = ("_calls", "_seconds")

    def __init__(self, seconds: float = 0.02, calls: float = 20.0) -> None:
        self._seconds = seconds
        self._calls = calls

    def after(self, waited: float, ahead: int) -> "Pace":
        """What is known when a call had its turn `waited` seconds after it came, with so many `ahead` of it then."""
        return Pace(self._seconds * _KEPT + max(waited, 0.0), self._calls * _KEPT + ahead + 1)

    def wait(self, ahead: int) -> float:
        """The seconds until the turn of a call that comes now."""
        return ahead * self._seconds / self._calls

    def admits(self, ahead: int) -> bool:
        """Whether a call that comes now is to wait for its turn, else it is refused at once."""
        return ahead <= MOST_AHEAD and self.wait(ahead) <= LONGEST_TURN
