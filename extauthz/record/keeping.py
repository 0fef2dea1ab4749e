"""Who takes records, and who keeps them.

The rule kept here: nothing but the hand-over happens on the way of a decision. What a keeper does costs no answer, and
what goes wrong in it changes none; only a record that a rule requires is waited for.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from extauthz.record.brief import Decided
from extauthz.record.life import LifeRecord

Record = Decided | LifeRecord


class Recorder(Protocol):
    """Takes records of everybody. Every method is quick, safe to call from any thread, and never raises."""

    @property
    def blocked(self) -> bool:
        """Whether nothing may be decided now, since it could not be recorded and the operator wants it to be."""

    @property
    def blocks(self) -> bool:
        """Whether it may ever be `blocked`: always, or never."""
        return True

    def record(self, record: Record) -> None:
        """Take one record, to be kept soon."""

    def commit(self, record: Decided) -> Future[None]:
        """Take one record whose answer waits for it: the future ends when it is on disk, and fails with the reason if
        it can't be. One that is cancelled in time leaves no record."""


class Keeper(Protocol):
    """Keeps records in one form. Called on one thread, and only there."""

    def keep(self, batch: Sequence[Record]) -> None:
        """Keep these, in their order; what can't be kept is counted and logged, never raised.

        Comes with an empty batch about once a second while there is nothing new, for what is due by time.
        """

    def close(self) -> None:
        """Keep what waits and let go of everything; nothing comes after it."""


class Ledger(Keeper, Protocol):
    """A keeper that can promise."""

    @property
    def failing(self) -> bool:
        """Whether what was last to be written could not be. Any thread may ask."""

    def commit(self, batch: Sequence[Record]) -> None:
        """Keep these durably, before it returns.

        Raises:
            OSError: they are not on disk; none of those that are not is written later.
        """


class JournalCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Records that wait for their keepers, and those that were dropped since the start because too many did."""

    waiting: int
    dropped: int
