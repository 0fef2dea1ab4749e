"""Recorders that keep what they are given, for tests to look at."""

from collections.abc import Sequence
from concurrent.futures import Future

from extauthz.record.brief import Decided, in_full
from extauthz.record.decision import DecisionRecord
from extauthz.record.keeping import Record, Recorder
from extauthz.record.life import LifeRecord


class Records(Recorder):
    """Keeps decisions and life events in their order; what is committed is kept at once."""

    def __init__(self) -> None:
        self.kept: list[DecisionRecord] = []
        self.lives: list[LifeRecord] = []

    @property
    def blocked(self) -> bool:
        return False

    def record(self, record: Record) -> None:
        if isinstance(record, LifeRecord):
            self.lives.append(record)
        else:
            self.kept.append(in_full(record))

    def commit(self, record: Decided) -> Future[None]:
        done: Future[None] = Future()
        self.kept.append(in_full(record))
        done.set_result(None)
        return done


class KeptRecords(Records):
    """The same as a keeper beside the audit."""

    def keep(self, batch: Sequence[Record]) -> None:
        for record in batch:
            self.record(record)

    def close(self) -> None:
        """Nothing to let go of."""
