"""The part of the protocol of stores that takes what security event tokens say.

The rules: what one token says is done once. A call that raises may have done a part of it, and made again does all of
it; that a token was received is remembered last. What is newer than a token stays, whatever comes late.
"""

from enum import Enum
from typing import Protocol

import msgspec

from extauthz.identity.revocations import Revocation
from extauthz.identity.signals.facts import Signal
from extauthz.values.identity import Subject


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """By what a token is known that was received: `id` is its own, `digest` that of what it says. It is remembered
    until `until` (seconds since the epoch), and CLOCK_SKEW longer."""

    id: str
    digest: str
    until: float


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: revoke, take signals, and forget all grants of the subjects in `voids`.

    Without a `receipt` it comes from no token, and is done whenever it is asked for.
    """

    receipt: Receipt | None
    revocations: tuple[Revocation, ...] = ()
    signals: tuple[Signal, ...] = ()
    voids: tuple[Subject, ...] = ()


class Delivered(Enum):
    """How a delivery went.

    `AGAIN`: it was done before, and has changed nothing. `CONFLICT`: its id is that of a token that said something
    else; it has changed nothing either, unless both came at the same moment.
    """

    DONE = "done"
    AGAIN = "again"
    CONFLICT = "conflict"


def known_as(receipt: Receipt, digest: str | None) -> Delivered | None:
    """What stands against a delivery if `digest` is remembered of its id."""
    if digest is None:
        return None
    return Delivered.AGAIN if digest == receipt.digest else Delivered.CONFLICT


class SignalStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        """Do what a token says, unless it was done; a signal only if it `follows` what is in force of its key."""

    async def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        """What is in force at `now` of this subject, or of everybody and every device, oldest first."""
