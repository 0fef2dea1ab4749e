"""The part of the protocol of stores that lists devices: what operators see of those that somebody has proven on.

The rule: the list decides nothing. Whether a device is known is in its own cookie, and whether it counts no more is a
revocation; so what falls off the list is as good as before, and is revoked with all devices of its subject.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from extauthz.values.identity import Subject

MOST_DEVICES: Final = 32
"""Devices that are listed of a subject; beyond that the one goes on which nothing was proven for the longest time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """A device on which `subject` has met challenges: first and last when, and until when it counts, in seconds since
    the epoch. `name` is the browser's own word for itself.
    """

    id: str
    subject: Subject
    first_at: float
    proven_at: float
    until: float
    name: str = ""


class DeviceStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def put_device(self, device: ListedDevice, *, now: float) -> None:
        """List a device, in the place of the same one of its subject; when it was first seen stays."""

    async def devices(self, subject: Subject | None, *, now: float) -> tuple[ListedDevice, ...]:
        """The devices of a subject, of everybody for `None`, that count at `now`; the one that was proven on last is
        last.
        """
