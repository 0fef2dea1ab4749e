"""Records reach their keepers soon, whenever and from wherever they come."""

import random
import threading
import time
from collections.abc import Sequence

import pytest
from audit.auditing import decision

from extauthz.record import journal as journals
from extauthz.record.journal import Journal
from extauthz.record.keeping import Record

THREADS, ROUNDS = 4, 40
PATIENCE = 10.0


class Counting:
    def __init__(self) -> None:
        self.kept = 0

    def keep(self, batch: Sequence[Record]) -> None:
        self.kept += len(batch)

    def close(self) -> None:
        pass


def test_whoever_records_wakes_the_thread_each_time_that_it_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes round by itself only after an hour; threads record at moments of their own, and wait for each record."""
    monkeypatch.setattr(journals, "BEAT", 3_600.0)
    monkeypatch.setattr(journals, "GATHER", 0.0005)
    keeper, late = Counting(), list[int]()
    journal = Journal((keeper,))
    start, record = threading.Barrier(THREADS), decision()

    def record_and_wait(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        for number in range(ROUNDS):
            start.wait()
            time.sleep(chance.random() / 500)
            journal.record(record)
            start.wait()
            until = time.monotonic() + PATIENCE
            while keeper.kept < (number + 1) * THREADS and time.monotonic() < until and not late:
                time.sleep(0.0002)
            if keeper.kept < (number + 1) * THREADS:
                late.append(number)

    threads = [threading.Thread(target=record_and_wait, args=(seed,)) for seed in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    journal.close()
    assert not late
    assert (keeper.kept, journal.count().dropped) == (THREADS * ROUNDS, 0)
