"""Whether a call that comes now would have its turn soon enough. Pure: lengths of time are arguments.

The rule: where nobody is ahead, nobody is refused. So a server that was slow is asked again, and what made it refuse is
forgotten as soon as it is over.
"""

from typing import Final, NamedTuple

LONGEST_TURN: Final = 0.1
"""Seconds that a call may wait for its turn: half of the 200 ms that Envoy waits unless it is told otherwise."""
MOST_AHEAD: Final = 4096
"""Calls that may wait for their turn, however quick they are: each keeps its message in memory."""
_KEPT: Final = 0.95
"""How much of what was known counts on when a call tells more: the last twenty calls say most."""


class Pace(NamedTuple):
    """How long calls waited of late: `seconds`, for `calls` to go before them, themselves included.

    A tuple, because one is made for each call, and taken over in one step by whichever thread.
    """

    seconds: float = 0.02
    calls: float = 20.0

    def after(self, *, waited: float, ahead: int) -> "Pace":
        """What is known when a call had its turn `waited` seconds after it came, with so many `ahead` of it then."""
        return Pace(self.seconds * _KEPT + max(waited, 0.0), self.calls * _KEPT + ahead + 1)

    def wait(self, ahead: int) -> float:
        """The seconds until the turn of a call that comes now."""
        return ahead * self.seconds / self.calls

    def admits(self, ahead: int) -> bool:
        """Whether a call that comes now is to wait for its turn, else it is refused at once."""
        return ahead <= MOST_AHEAD and self.wait(ahead) <= LONGEST_TURN
