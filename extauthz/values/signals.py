"""What somebody else says of a user, a workload or a device, as decisions see it."""

from typing import Literal, Protocol

import msgspec

from extauthz.values.identity import Subject

SignalName = Literal["account", "assurance", "compliance", "compromise", "credential", "risk"]
"""What it is about: whether an account may be used, how well its user was authenticated, whether a device is as its
operator wants it, that a credential is in the wrong hands, that one was changed, how much is at risk."""


class OutsideSignal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`source` says that it was so at `at` (seconds since the epoch), for a `reason` in its own words."""

    name: SignalName
    level: str
    reason: str
    source: str
    at: float


class Reports(Protocol):
    """Tells what others say; at once, from memory. Of each name there is at most one."""

    def of_subject(self, subject: Subject, session: str | None, *, now: float) -> tuple[OutsideSignal, ...]:
        """What is said of a subject at `now` (seconds since the epoch), and of its session with this `sid`."""

    def of_device(self, device: str, *, now: float) -> tuple[OutsideSignal, ...]:
        """What is said of the device with this id."""
