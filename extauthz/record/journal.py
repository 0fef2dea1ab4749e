"""The one queue that records wait in, and the one thread that hands them to their keepers.

The rule kept here: to record costs a decision one append. The queue is bounded, and what does not fit is dropped and
counted; what a rule requires goes ahead of everything else, and whoever waits for it is told at once when it can't be
written.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

import structlog
from msgspec.structs import replace

from extauthz.errors import ConfigurationError
from extauthz.record.bounded_queue import BoundedQueue
from extauthz.record.brief import Decided, in_full
from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.keeping import JournalCounts, Keeper, Ledger, Record

QUEUE: Final = 50_000
"""Records that wait for their keepers before further ones are dropped."""
QUEUE_BYTES: Final = 128 << 20
"""Bytes of the Checks that they are of: a record holds the whole request."""
REQUIRED: Final = 5_000
"""Records that somebody waits for before further ones fail at once: on a disk that hangs they stay when nobody does."""
REQUIRED_BYTES: Final = 32 << 20
"""Bytes of the Checks that those are of."""
BATCH: Final = 64
"""Records that are handed over at a time. Small, because encoding keeps other threads from running."""
GATHER: Final = 0.01
"""Seconds that the thread waits for company after a first record."""
BEAT: Final = 1.0
"""Seconds between two calls of the keepers while there is nothing to keep."""
HANGING: Final = 3.0
"""Seconds after which keepers that have not come back hang."""
CLOSING: Final = 5.0
"""Seconds that `close` gives to what is still in the queue."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines about dropped records."""

_log = structlog.get_logger(__name__)


class _Required:
    """A record that somebody waits for."""

    def __init__(self, record: Decided, done: Future[None]) -> None:
        self.record: Final = record
        self.done: Final = done


class Journal:
    """A `Recorder` that hands records to keepers in small batches. Safe to use from any thread.

    `audit` is the keeper that can promise, where there is one; it is handed everything before the others. Where `must`
    is set, it blocks all decisions while the audit can't be written, the keepers hang, or the queue is more than half
    full. `queue` and `queue_bytes` are what may wait, `required` and `required_bytes` what somebody may wait for.
    Keepers that have not come back after `hanging` seconds hang.
    """

    def __init__(
        self,
        keepers: Sequence[Keeper] = (),
        *,
        audit: Ledger | None = None,
        must: bool = False,
        queue: int = QUEUE,
        queue_bytes: int = QUEUE_BYTES,
        required: int = REQUIRED,
        required_bytes: int = REQUIRED_BYTES,
        hanging: float = HANGING,
    ) -> None:
        self._audit = audit
        self._others = tuple(keepers)
        self._keepers = self._others if audit is None else (audit, *self._others)
        self._queue: BoundedQueue[Record] = BoundedQueue(room=queue, room_bytes=queue_bytes, batch=BATCH)
        self._required: BoundedQueue[_Required] = BoundedQueue(room=required, room_bytes=required_bytes, batch=BATCH)
        self._handed_at: float | None = None
        self._wake = threading.Event()
        self._woken = False
        """Whether whoever records needs not wake the thread: as the event, which is slower to ask."""
        self._urgent = threading.Event()
        self._closing = False
        self._counting = threading.Lock()
        self._dropped = 0
        self._told = 0
        self._told_at = -LOG_EVERY
        self._must = must and audit is not None
        self._hanging = hanging
        self._worker = threading.Thread(target=self._run, name="records", daemon=True)
        self._worker.start()

    @property
    def blocks(self) -> bool:
        """Whether the audit must be written."""
        return self._must

    @property
    def blocked(self) -> bool:
        """Whether the audit must be written, and can't be."""
        if not self._must or self._audit is None:
            return False
        handed_at = self._handed_at
        hangs = handed_at is not None and time.monotonic() > handed_at + self._hanging
        return hangs or self._audit.failing or self._queue.is_half_full

    def record(self, record: Record) -> None:
        """Take a record to be kept soon; drop and count it if too many wait already."""
        if self._closing or not self._queue.put(record, record.size):
            self._drop(1)
        if not self._woken:
            self._woken = True
            self._wake.set()

    def commit(self, record: Decided) -> Future[None]:
        """Take a record whose answer waits for it, as `Recorder` says."""
        done: Future[None] = Future()
        if self._audit is None:
            reason = "a rule requires its record to be written, but no `audit.path` is set"
            done.set_exception(ConfigurationError(reason))
        elif self._closing:
            done.set_exception(OSError("the audit file is closed"))
        elif not self._required.put(_Required(record, done), record.size):
            done.set_exception(OSError("too many records wait to be written"))
        else:
            self._urgent.set()
            self._wake.set()
        return done

    def count(self) -> JournalCounts:
        """How many records wait, and how many were dropped."""
        return JournalCounts(waiting=len(self._queue) + len(self._required), dropped=self._dropped)

    def close(self) -> None:
        """Hand over what waits, close the keepers, and end. What takes longer than a few seconds is left, and told."""
        self._closing = True
        self._urgent.set()
        self._wake.set()
        self._worker.join(CLOSING)
        if self._worker.is_alive() and self._queue:
            _log.error("records-dropped", dropped=self._dropped + len(self._queue))

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing
            if not closing and self._wake.wait(BEAT):
                self._urgent.wait(GATHER)
            self._wake.clear()
            self._woken = False  # not before: what comes in between is handed over now, what comes later wakes again
            self._urgent.clear()
            self._hand_over()
            self._tell_drops()
        self._finish()

    def _hand_over(self) -> None:
        """What waits, batch by batch, first what somebody waits for; an empty batch where nothing does."""
        self._handed_at = time.monotonic()
        if not self._queue and not self._required:
            self._keep(self._keepers, ())
        while self._required or self._queue:
            self._handed_at = time.monotonic()
            if self._required:
                self._commit_required()
            else:
                self._keep(self._keepers, self._queue.take())
        self._handed_at = None

    def _commit_required(self) -> None:
        batch = [entry for entry in self._required.take() if entry.done.set_running_or_notify_cancel()]
        records = [entry.record for entry in batch]
        try:
            if self._audit is not None and records:
                self._audit.commit(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it
            for entry in batch:
                entry.done.set_exception(error)
            self._give_up(error)
            return
        for entry in batch:
            entry.done.set_result(None)
        self._keep(self._others, [_waited_for(record) for record in records])

    def _give_up(self, error: Exception) -> None:
        """Tell everybody who waits now that it can't be written: to try for each would keep them waiting."""
        for entry in self._required.take_all():
            if entry.done.set_running_or_notify_cancel():
                entry.done.set_exception(error)

    def _keep(self, keepers: Sequence[Keeper], batch: Sequence[Record]) -> None:
        for keeper in keepers:
            try:
                keeper.keep(batch)
            except Exception:  # noqa: BLE001 - what one keeper can't bear must not end the others
                _log.exception("keeper-failed", keeper=type(keeper).__name__, records=len(batch))

    def _drop(self, count: int) -> None:
        with self._counting:
            self._dropped += count

    def _tell_drops(self) -> None:
        now = time.monotonic()
        if self._dropped > self._told and now >= self._told_at + LOG_EVERY:
            self._told, self._told_at = self._dropped, now
            _log.error("records-dropped", dropped=self._dropped)

    def _finish(self) -> None:
        """The end of the thread: what came while it ended is dropped."""
        self._give_up(OSError("the audit file is closed"))
        self._drop(len(self._queue.take_all()))
        self._told_at = -LOG_EVERY
        self._tell_drops()
        for keeper in self._keepers:
            try:
                keeper.close()
            except Exception:  # noqa: BLE001 - the others are still to be closed
                _log.exception("keeper-failed", keeper=type(keeper).__name__, records=0)


def _waited_for(kept: Decided) -> DecisionRecord:
    """The record, now that its answer has waited until it was on disk."""
    record = in_full(kept)
    wait = Wait("audit", record.ended_ns, max(time.time_ns(), record.ended_ns))
    return replace(record, waits=(*record.waits, wait))
