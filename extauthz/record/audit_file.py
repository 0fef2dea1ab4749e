"""The audit file: records are handed over by the threads that decide, and written by one thread of its own.

The rule kept here: no record is lost silently, and no half line is left where a whole one follows. Records that
nobody waits for are best effort: while the disk is full they wait in a bounded queue, and what no longer fits is
counted and logged. A record that a rule requires is on disk before `commit` says so, or `commit` fails.
"""

import errno
import os
import threading
import time
from bisect import bisect_right
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.errors import ConfigurationError, failure_of
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of

QUEUE: Final = 50_000
"""Records that wait to be written before further ones are dropped: some 60 MB as lines."""
BATCH: Final = 64
"""Records that are encoded at a time. Small, because encoding keeps other threads from running."""
GATHER: Final = 0.01
"""Seconds that the writer waits for company after a first record."""
PATIENCE: Final = 1.0
"""Seconds between two tries to write to a file that can't be written."""
CLOSING: Final = 5.0
"""Seconds that `close` gives to what is still in the queue."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines about lost records."""
_NEWLINE: Final = ord("\n")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts:
    """Records since the start: on their way, in the file, and lost."""

    waiting: int
    written: int
    lost: int


@dataclass(frozen=True, slots=True)
class _Required:
    record: DecisionRecord
    done: Future[None]


class AuditFile:
    """Appends a line for every decision to one file, which other processes may append to as well.

    Safe to use from any thread. Whole lines are written with one system call on a descriptor in append mode, so lines
    of several processes don't mix. The file is made for its owner alone.
    """

    def __init__(self, path: Path, keep: Keep, *, queue: int = QUEUE) -> None:
        """Open the file and start the writer.

        Raises:
            ConfigurationError: the file can't be opened for writing.
        """
        self._path = path
        self._keep = keep
        self._room = queue
        self._encoder = msgspec.json.Encoder()
        self._queue: deque[DecisionRecord] = deque()
        self._lines: deque[bytes] = deque()  # older than what is in the queue; the writer's alone
        self._required: deque[_Required] = deque()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self._counting = threading.Lock()
        self._written = 0
        self._lost = 0
        self._lost_told = 0
        self._told_at = -LOG_EVERY
        self._torn = False
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise ConfigurationError(f"audit.path: can't write `{path}`: {failure_of(error)}") from error
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, record: DecisionRecord) -> None:
        """Take a record to be written soon; drop and count it if too many wait already."""
        if len(self._queue) + len(self._lines) >= self._room or self._closing:
            self._lose(1)
        else:
            self._queue.append(record)
        if not self._wake.is_set():
            self._wake.set()

    def commit(self, record: DecisionRecord) -> Future[None]:
        """Take a record whose answer waits for it: the future ends when it is on disk, or fails with `OSError`.

        A future that is cancelled in time leaves no record.
        """
        done: Future[None] = Future()
        if self._closing:
            done.set_exception(OSError("the audit file is closed"))
            return done
        self._required.append(_Required(record, done))
        self._urgent.set()
        self._wake.set()
        return done

    def count(self) -> AuditCounts:
        """How many records are waiting, written and lost."""
        waiting = len(self._queue) + len(self._lines) + len(self._required)
        return AuditCounts(waiting=waiting, written=self._written, lost=self._lost)

    def close(self) -> None:
        """Write what waits, to disk, and end; what can't be written within a few seconds is counted and logged."""
        self._closing = True
        self._urgent.set()
        self._wake.set()
        self._thread.join(CLOSING)
        if self._thread.is_alive():
            _log.error(
                "audit-records-lost", path=str(self._path), lost=self._lost + len(self._queue) + len(self._lines)
            )

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing
            if not closing:
                self._wake.wait()
                self._urgent.wait(GATHER)
            self._wake.clear()
            self._urgent.clear()
            try:
                self._drain()
            except OSError as error:
                self._fail(error)
                if not closing:
                    self._urgent.wait(PATIENCE)
                    self._wake.set()
            self._tell_losses()
        self._finish()

    def _drain(self) -> None:
        """Write what waits, batch by batch, first what somebody waits for. Raises `OSError`."""
        if self._queue or self._lines or self._required:
            self._follow_name()
        while self._required or self._queue or self._lines:
            if self._required:
                self._write_required()
            else:
                self._write_batch()

    def _write_required(self) -> None:
        taken = [self._required.popleft() for _ in range(min(BATCH, len(self._required)))]
        batch = [entry for entry in taken if entry.done.set_running_or_notify_cancel()]
        try:
            self._append([self._line(entry.record) for entry in batch])
            os.fsync(self._descriptor)
        except OSError as error:
            for entry in batch:
                entry.done.set_exception(error)
            raise
        for entry in batch:
            entry.done.set_result(None)

    def _write_batch(self) -> None:
        while self._queue and len(self._lines) < BATCH:
            self._encode_next()
        before = self._written
        try:
            self._append(list(islice(self._lines, BATCH)))
        finally:
            for _ in range(self._written - before):
                self._lines.popleft()

    def _encode_next(self) -> None:
        self._lines.append(self._line(self._queue.popleft()))

    def _fail(self, error: OSError) -> None:
        """The file can't be written: whoever waits is told now."""
        _log.error("audit-write-failed", path=str(self._path), error=failure_of(error), waiting=self.count().waiting)
        while self._required:
            entry = self._required.popleft()
            if entry.done.set_running_or_notify_cancel():
                entry.done.set_exception(error)
        # What waits for longer waits as its line: a record holds on to its request, with the body.
        while self._queue:
            self._encode_next()

    def _append(self, lines: list[bytes]) -> None:
        """Write whole lines, counting those that are out. What a full disk leaves of one is ended before the next."""
        opening = b"\n" if self._torn else b""
        view = memoryview(opening + b"".join(lines))
        ends = list(accumulate(map(len, lines), initial=len(opening)))[1:]
        written = counted = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
            self._torn = written < len(view) and view[written - 1] != _NEWLINE
            out = bisect_right(ends, written)
            self._written += out - counted
            counted = out

    def _line(self, record: DecisionRecord) -> bytes:
        """The line of a record; of one that can't be told in full, its outcome alone."""
        try:
            return _encoded(self._encoder, record, self._keep)
        except Exception as error:  # noqa: BLE001 - one odd record must not end the records of all others
            # By its type alone: a traceback could hold what is masked.
            reason = f"record cut: {type(error).__name__}"
            _log.error("audit-record-cut", decision_id=record.decision_id, error=type(error).__name__)
            outcome = replace(record, request=None, identity=None, rules=(), detail=reason)
            return _encoded(self._encoder, outcome, self._keep)

    def _open(self) -> int:
        fresh = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fresh:
            _sync_folder(self._path.parent)
        self._torn = _ends_torn(descriptor)
        return descriptor

    def _follow_name(self) -> None:
        """Go on in the file that has the name now: a rotation has moved the old one away. Raises `OSError`."""
        held = os.fstat(self._descriptor)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            descriptor = self._open()
            os.close(self._descriptor)
            self._descriptor = descriptor

    def _lose(self, count: int) -> None:
        with self._counting:
            self._lost += count

    def _tell_losses(self) -> None:
        now = time.monotonic()
        if self._lost > self._lost_told and now >= self._told_at + LOG_EVERY:
            self._lost_told, self._told_at = self._lost, now
            _log.error("audit-records-lost", path=str(self._path), lost=self._lost)

    def _finish(self) -> None:
        """The end of the writer: what came while it ended, or can't be written, is lost."""
        if self._required:
            self._fail(OSError(errno.ESHUTDOWN, "the audit file is closed"))
        self._lose(len(self._queue) + len(self._lines))
        self._queue.clear()
        self._lines.clear()
        self._told_at = -LOG_EVERY
        self._tell_losses()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            _log.error("audit-write-failed", path=str(self._path), error=failure_of(error), waiting=0)
        os.close(self._descriptor)


def _encoded(encoder: msgspec.json.Encoder, record: DecisionRecord, keep: Keep) -> bytes:
    line = line_of(record, keep)
    try:
        return encoder.encode(line) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 can't hold
        return encoder.encode(_speakable(msgspec.to_builtins(line))) + b"\n"


def _speakable(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_speakable(name): _speakable(item) for name, item in value.items()}
        case list() | tuple():
            return [_speakable(item) for item in value]
        case _:
            return value


def _ends_torn(descriptor: int) -> bool:
    """Whether the file ends within a line, as a process that was killed may leave it."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """A new file is only there after a crash if its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
