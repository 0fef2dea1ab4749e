"""What both transports share beside their methods: how long a call may wait, what it is told when that is over, and how
many were refused because there were too many.

The rule: a caller can't tell the transports apart. What one refuses the other refuses, with the same status and words.
"""

import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from extauthz.check.opened import Opened, Unidentified
from extauthz.errors import IssuerUnavailable, Overloaded, Refused, StateUnavailable
from extauthz.transport.callers import Callers

ANSWER_MARGIN: Final = 0.02
"""Seconds before the caller's deadline at which a call that still waits is answered with a denial."""
LONGEST_WAIT: Final = 10.0
"""Seconds a call without a deadline may wait."""


class Overload(StrEnum):
    """What there is too much of when a call is refused that could be decided."""

    TURN = "turn"
    WAITING = "waiting"


_WORDS: Final = {
    Overload.TURN: "its turn would have come too late",
    Overload.WAITING: "too many calls wait for a look-up",
}


class Refusals:
    """Counts the calls that are refused under overload. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Overload, 0)

    def one_more(self, cause: Overload) -> Overloaded:
        """Count a call; what it is told is returned, so that none is refused without being counted."""
        with self._lock:
            self._counts[cause] += 1
        return Overloaded(_WORDS[cause])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were of each since the start."""
        return {cause.value: count for cause, count in self._counts.items()}


class Transport(Protocol):
    """Carries Checks to a `Checker` on one address, beside grpc.health.v1."""

    @property
    def name(self) -> str:
        """As `--transport` has it."""

    @property
    def refusals(self) -> Refusals:
        """The calls that it has refused under overload."""

    @property
    def callers(self) -> Callers | None:
        """Who may call, where certificates say that; it counts the others."""

    @property
    def address(self) -> str:
        """Where it listens; with the port that was given if 0 was asked for."""

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises:
            ConfigurationError: the address can't be listened on.
        """

    def drain(self) -> None:
        """Report NOT_SERVING, so that the callers' health checks look elsewhere."""

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""


def caller_gone() -> Refused:
    """Why a call is denied that was held for somebody who has gone: it is a decision all the same, and on record."""
    return StateUnavailable("its caller was gone before an approval was given")


def too_late(opened: Opened) -> Refused:
    """Why a call is denied whose caller won't wait any longer."""
    if isinstance(opened, Unidentified):
        return IssuerUnavailable("who calls was not known before the caller's deadline")
    return StateUnavailable("the look-up took longer than the caller waits")
