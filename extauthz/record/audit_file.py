"""The audit file: the keeper that appends a line for every record, and can promise that it is on disk.

The rule kept here: no record is lost silently, and no half line is left where a whole one follows. Records that
nobody waits for are best effort: while the disk is full they wait as lines, as many as there is room for, and what no
longer fits is counted and logged. A record that a rule requires is on disk before `commit` returns, or it fails.
"""

import os
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.errors import ConfigurationError, failure_of
from extauthz.record.decision import DecisionRecord
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.life_lines import life_line_of
from extauthz.record.masking import Keep, line_of

ROOM: Final = 50_000
"""Lines that wait for room on the disk before further ones are dropped: some 60 MB."""
CHUNK: Final = 64
"""Lines that are written at a time."""
PATIENCE: Final = 1.0
"""Seconds between two tries to write to a file that can't be written."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines about lost records."""
_NEWLINE: Final = ord("\n")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts:
    """Records since the start: waiting for room on the disk, in the file, and lost."""

    waiting: int
    written: int
    lost: int


class AuditFile:
    """A `Ledger` of one file, which other processes may append to as well.

    Whole lines are written with one system call on a descriptor in append mode, so lines of several processes don't
    mix. The file is made for its owner alone. All but `count` and `failing` is for one thread.
    """

    def __init__(self, path: Path, keep: Keep, *, room: int = ROOM) -> None:
        """Open the file.

        Raises:
            ConfigurationError: the file can't be opened for writing.
        """
        self._path = path
        self._keep = keep
        self._room = room
        self._encoder = msgspec.json.Encoder()
        self._lines: deque[bytes] = deque()
        self._written = 0
        self._lost = 0
        self._lost_told = 0
        self._told_at = -LOG_EVERY
        self._failing = False
        self._retry_at = -PATIENCE
        self._torn = False
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise ConfigurationError(f"audit.path: can't write `{path}`: {failure_of(error)}") from error

    @property
    def failing(self) -> bool:
        """Whether the last try to write has failed."""
        return self._failing

    def count(self) -> AuditCounts:
        """How many records are waiting, written and lost. Any thread may ask."""
        return AuditCounts(waiting=len(self._lines), written=self._written, lost=self._lost)

    def keep(self, batch: Sequence[Record]) -> None:
        """Append the lines of these records, or hold them until they can be."""
        room = self._room - len(self._lines)
        self._lost += max(len(batch) - room, 0)
        self._lines.extend(self._line(record) for record in batch[: max(room, 0)])
        if self._lines and (not self._failing or time.monotonic() >= self._retry_at):
            try:
                self._write()
            except OSError as error:
                self._fail(error)
        self._tell_losses()

    def commit(self, batch: Sequence[DecisionRecord]) -> None:
        """Append the lines of these records to the file on disk, ahead of what waits.

        Raises:
            OSError: they can't be written.
        """
        lines = [self._line(record) for record in batch]
        try:
            self._follow_name()
            self._append(lines)
            os.fsync(self._descriptor)
        except OSError as error:
            self._fail(error)
            raise
        self._failing = False

    def close(self) -> None:
        """Write what waits, to disk; what can't be written is counted and logged."""
        try:
            if self._lines:
                self._write()
            os.fsync(self._descriptor)
        except OSError as error:
            self._fail(error)
        self._lost += len(self._lines)
        self._lines.clear()
        self._told_at = -LOG_EVERY
        self._tell_losses()
        os.close(self._descriptor)

    def _write(self) -> None:
        """Write what waits, chunk by chunk. Raises `OSError`."""
        self._follow_name()
        while self._lines:
            before = self._written
            try:
                self._append(list(islice(self._lines, CHUNK)))
            finally:
                for _ in range(self._written - before):
                    self._lines.popleft()
        self._failing = False

    def _fail(self, error: OSError) -> None:
        """The file can't be written."""
        self._failing = True
        self._retry_at = time.monotonic() + PATIENCE
        _log.error("audit-write-failed", path=str(self._path), error=failure_of(error), waiting=len(self._lines))

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

    def _line(self, record: Record) -> bytes:
        """The line of a record; of one that can't be told in full, its outcome alone."""
        try:
            return self._encoded(record)
        except Exception as error:  # noqa: BLE001 - one odd record must not end the records of all others
            # By its type alone: a traceback could hold what is masked.
            reason = f"record cut: {type(error).__name__}"
            _log.error("audit-record-cut", decision_id=record.decision_id, error=type(error).__name__)
            match record:
                case DecisionRecord():
                    return self._encoded(replace(record, request=None, identity=None, rules=(), detail=reason))
                case LifeRecord():
                    return self._encoded(LifeRecord(kind=record.kind, at_ns=record.at_ns, reason=reason))

    def _encoded(self, record: Record) -> bytes:
        line = line_of(record, self._keep) if isinstance(record, DecisionRecord) else life_line_of(record)
        try:
            return self._encoder.encode(line) + b"\n"
        except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 can't hold
            return self._encoder.encode(_speakable(msgspec.to_builtins(line))) + b"\n"

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

    def _tell_losses(self) -> None:
        now = time.monotonic()
        if self._lost > self._lost_told and now >= self._told_at + LOG_EVERY:
            self._lost_told, self._told_at = self._lost, now
            _log.error("audit-records-lost", path=str(self._path), lost=self._lost)


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
