"""The part of the protocol of stores that keeps revocations, and feeds every process that decides with them and with
signals.

The rules: who asks for what has changed since a mark gets either all of it or everything there is; a store that does
not know the mark, because it was replaced, restored or has forgotten so much, gives everything. So no process goes on
without what it missed.
"""

from typing import Final, Protocol

import msgspec

from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal
from extauthz.values.identity import Subject

REMEMBERED_CHANGES: Final = 10_000
"""How many changes a store tells one by one; who has missed more gets everything."""


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force now, and how many grants that were still good went with it."""

    revocation: Revocation
    grants: int


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed, up to `mark`, which is the store's own word for where it is.

    `whole`: `put` and `signals` are everything there is, and what is not in them is there no more. Something may be
    there that has ended. Signals are not withdrawn: they end, or others take their place.
    """

    mark: str
    whole: bool
    put: tuple[Revocation, ...] = ()
    withdrawn: tuple[RevocationKey, ...] = ()
    signals: tuple[Signal, ...] = ()


class RevocationStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        """Revoke, together with what was in force of the same key (`Revocation.widened`), and forget the grants that go
        with it. A call that raises may have done only the first; made again it does both.
        """

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        """Revoke this no more; false if it was not in force."""

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        """What is in force at `now`, of this subject or of everybody, oldest first."""

    async def revocation_changes(self, since: str | None) -> Changes:
        """What has changed since the mark that an earlier call gave; everything there is for `None`."""
