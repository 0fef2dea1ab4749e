"""What both transports share beside their methods: how long a call may wait, and what it is told when that is over.

The rule: a caller can't tell the transports apart. What one refuses the other refuses, with the same status and words.
"""

from typing import Final, Protocol

from extauthz.check.checker import Opened, Unidentified
from extauthz.errors import IssuerUnavailable, Refused, StateUnavailable

ANSWER_MARGIN: Final = 0.02
"""Seconds before the caller's deadline at which a call that still waits is answered with a denial."""
LONGEST_WAIT: Final = 10.0
"""Seconds a call without a deadline may wait."""


class Transport(Protocol):
    """Carries Checks to a `Checker` on one address, beside grpc.health.v1."""

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


def too_late(opened: Opened) -> Refused:
    """Why a call is denied whose caller won't wait any longer."""
    if isinstance(opened, Unidentified):
        return IssuerUnavailable("who calls was not known before the caller's deadline")
    return StateUnavailable("the look-up took longer than the caller waits")
