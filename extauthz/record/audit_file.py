"""The audit file: the keeper that appends a line for every record, chains them, and can promise that they are on disk.

The rules kept here: no record is lost silently. Records that nobody waits for are best effort: while the disk is full
they wait as lines, as many as there is room for, and what no longer fits is counted and logged. A record that a rule
requires is on disk before `commit` returns, or it fails. A line takes its place in the chain when it is written, and
keeps it only if it is out as a whole.
"""

import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from extauthz import __version__
from extauthz.errors import ConfigurationError, ExtauthzError, failure_of
from extauthz.record.audit_keys import by_id, public_keys
from extauthz.record.chain import WRITER_BYTES, Head, after, beginning, chained, signed
from extauthz.record.keeping import Record
from extauthz.record.life import Detail, LifeKind, LifeRecord
from extauthz.record.line_file import LineFile
from extauthz.record.masking import Keep
from extauthz.record.record_lines import RecordLines
from extauthz.record.rotation import Rotation, alone, ends_in, move_away
from extauthz.record.sealing import is_sealed
from extauthz.stepup.keys import KeyRing

ROOM: Final = 50_000
"""Lines that wait for room on the disk before further ones are dropped: some 60 MB."""
ROOM_BYTES: Final = 128 << 20
"""Bytes of them: a caller may send what makes a line of a hundred kilobytes."""
CHUNK: Final = 64
"""Lines that are written at a time."""
PATIENCE: Final = 1.0
"""Seconds between two tries to write to a file that can't be written."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines about lost records."""
ROTATION_PATIENCE: Final = 60.0
"""Seconds between two tries to rotate a file that can't be rotated."""
NEVER: Final = Rotation()
"""Somebody else rotates the file, or nobody."""
MOST_NAMED: Final = 10
"""Files that a log line names."""
CHECKPOINT_LINES: Final = 1_000
"""Lines between two checkpoints."""
CHECKPOINT_EVERY: Final = 60.0
"""Seconds after which what was written since the last checkpoint gets one."""

_log = structlog.get_logger(__name__)


class AuditCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Records since the start: waiting for room on the disk, in the file, and lost."""

    waiting: int
    written: int
    lost: int


class AuditFile:
    """A `Ledger` of one file, which other processes may append to as well, each with a chain of its own.

    `keys` sign the checkpoints; without them there are none. It goes on in a new file as `rotation` says. All but
    `count`, `failing` and `head` is for one thread.
    """

    def __init__(
        self,
        path: Path,
        keep: Keep,
        *,
        keys: KeyRing | None = None,
        rotation: Rotation = NEVER,
        room: int = ROOM,
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        """Open the file.

        Raises:
            ConfigurationError: the file can't be opened for writing.
        """
        self._path = path
        self._keys = keys
        self._rotation = rotation
        self._rotate_at = 0.0
        self._room = room
        self._room_bytes = room_bytes
        self._waiting_bytes = 0
        self._lines = RecordLines(keep)
        self._waiting: deque[bytes] = deque()  # without their ends
        self._head = beginning(secrets.token_hex(WRITER_BYTES))
        self._checked = 0
        self._check_at = 0.0
        self._written = 0
        self._lost = 0
        self._lost_told = 0
        self._told_at = -LOG_EVERY
        self._failing = False
        self._retry_at = -PATIENCE
        try:
            self._file = LineFile(path)
        except OSError as error:
            raise ConfigurationError(f"audit.path: can't write `{path}`: {failure_of(error)}") from error

    @property
    def failing(self) -> bool:
        """Whether the last try to write has failed."""
        return self._failing

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    @property
    def head(self) -> Head:
        """The end of this writer's chain: the last line that is out."""
        return self._head

    def count(self) -> AuditCounts:
        """How many records are waiting, written and lost. Any thread may ask."""
        return AuditCounts(waiting=len(self._waiting), written=self._written, lost=self._lost)

    def keep(self, batch: Sequence[Record]) -> None:
        """Append the lines of these records, or hold them until they can be."""
        lines = self._lines.of_each(batch) if self._has_room() else []
        self._lost += len(batch) - len(lines)
        if self._failing and time.monotonic() < self._retry_at:
            self._hold(lines)
        else:
            try:
                self._write(lines)
            except OSError as error:
                self._fail(error)
        self._tell_losses()

    def commit(self, batch: Sequence[Record]) -> None:
        """Append the lines of these records to the file on disk, ahead of what waits.

        Raises:
            OSError: they can't be written.
        """
        lines = self._lines.of_each(batch)
        try:
            self._follow_name()
            self._append_records(lines)
            self._file.sync()
        except OSError as error:
            self._fail(error)
            raise
        self._failing = False

    def close(self) -> None:
        """Write what waits, to disk; what can't be written is counted and logged."""
        try:
            self._write()
            if self._head.seq:
                self._file.follow_name()
                self._append([self._signed("audit.stopped", {})])
            self._file.sync()
        except OSError as error:
            self._fail(error)
        self._lost += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._told_at = -LOG_EVERY
        self._tell_losses()
        self._file.close()

    def _write(self, lines: Sequence[bytes] = ()) -> None:
        """Write what waits and these behind it, chunk by chunk, and what is due by time; hold what can't be written.

        Raises `OSError`.
        """
        if self._waiting:
            self._hold(lines)
            lines = ()
        if not self._waiting and not lines and self._is_to_check():
            self._follow_name()
        self._write_waiting()
        before = self._written
        try:
            for start in range(0, len(lines), CHUNK):
                self._put_out(lines[start : start + CHUNK])
        finally:
            self._hold(lines[self._written - before :])
        if self._is_to_check():
            self._check()

    def _write_waiting(self) -> None:
        while self._waiting:
            before = self._written
            try:
                self._put_out(list(islice(self._waiting, CHUNK)))
            finally:
                for _ in range(self._written - before):
                    self._waiting_bytes -= len(self._waiting.popleft())

    def _put_out(self, lines: Sequence[bytes]) -> None:
        self._follow_name()  # each time: what goes on in a file that was moved away hides its end
        self._append_records(lines)
        self._failing = False

    def _has_room(self) -> bool:
        """Whether a further line may wait."""
        return len(self._waiting) < self._room and self._waiting_bytes < self._room_bytes

    def _hold(self, lines: Sequence[bytes]) -> None:
        """Have these wait behind the others, as many as there is room for."""
        for line in lines:
            if self._has_room():
                self._waiting.append(line)
                self._waiting_bytes += len(line)
            else:
                self._lost += 1

    def _is_to_check(self) -> bool:
        """Whether what was written has waited long enough to be signed."""
        return self._head.seq > self._checked and time.monotonic() >= self._check_at

    def _follow_name(self) -> None:
        """Go on in the file that has the name, and rotate it if that is due. Raises `OSError`."""
        self._file.follow_name()
        if self._rotation == NEVER or time.monotonic() < self._rotate_at:
            return
        try:
            self._rotate()
        except OSError as error:
            self._rotate_at = time.monotonic() + ROTATION_PATIENCE
            _log.error("audit-rotation-failed", path=str(self._path), error=failure_of(error))

    def _rotate(self) -> None:
        """Begin a new file if that is due, and remove what is not to be kept; an event tells of each.

        Raises `OSError`.
        """
        now = time.time()
        if not self._rotation.is_due(self._file, now):
            return
        with alone(self._path) as may:
            if not may or self._file.follow_name():
                return  # another process does, or has
            self._begin()
            name = move_away(self._path, now).name
            self._append([self._signed("audit.rotated", {"file": name, "before": self._head.hash})])
            self._checked = self._head.seq
            self._file.sync()
            self._file.follow_name()
            self._retain(now)

    def _retain(self, now: float) -> None:
        """Remove what is not to be kept; an event tells of each, and the log of those whose names are not true."""
        publics = None if self._keys is None else by_id(public_keys(self._keys))
        surplus = self._rotation.surplus(self._path, now, partial(is_sealed, publics=publics))
        left = [file.name for file in surplus.strange]
        for old, before in surplus.removed:
            try:
                ends = ends_in(old)
            except (OSError, ExtauthzError) as error:  # such a one keeps no other
                reason = failure_of(error) if isinstance(error, OSError) else str(error)
                _log.error("audit-not-removed", path=str(old), error=reason)
                continue
            if before is not None and ends.last >= before:  # somebody has given a younger one this name
                left.append(old.name)
                continue
            heads = tuple(f"{head.writer}:{head.seq}:{head.hash}" for head in ends.heads)
            told: dict[str, Detail] = {"file": old.name, "heads": heads, "ended": ends.ended}
            self._append([self._signed("audit.removed", told)])
            old.unlink()
        if left:
            _log.warning("audit-left-alone", path=str(self._path), files=left[:MOST_NAMED], number=len(left))

    def _append_records(self, lines: Sequence[bytes]) -> None:
        """Append lines of records, and what is due by their number."""
        self._begin()
        before = self._head.seq
        try:
            self._append(lines)
        finally:
            self._written += self._head.seq - before
        if self._head.seq >= self._checked + CHECKPOINT_LINES:
            self._check()

    def _begin(self) -> None:
        """Begin the chain, where there is none yet."""
        if not self._head.seq:
            self._append([self._signed("audit.started", {"version": __version__})])
            self._check_at = time.monotonic() + CHECKPOINT_EVERY

    def _append(self, lines: Sequence[bytes]) -> None:
        pieces = chained(self._head, lines)
        before = self._file.written
        try:
            self._file.append(pieces)
        finally:
            self._head = after(self._head, pieces[: self._file.written - before])

    def _check(self) -> None:
        """Sign what was written since the last checkpoint."""
        if self._keys is not None:
            self._append([self._signed("audit.checkpoint", {})])
        self._checked = self._head.seq
        self._check_at = time.monotonic() + CHECKPOINT_EVERY

    def _signed(self, kind: LifeKind, details: Mapping[str, Detail]) -> bytes:
        """An event of the audit itself, signed where there are keys: the next line of the chain, and no other."""
        event = LifeRecord(kind=kind, at_ns=time.time_ns(), details=details)
        if self._keys is None:
            return self._lines.general.in_full_of(event)
        key = self._keys.newest
        line = self._lines.general.in_full_of(replace(event, details={**details, "key": key.kid}))
        return signed(self._head, line, key.audit)

    def _fail(self, error: OSError) -> None:
        """The file can't be written."""
        self._failing = True
        self._retry_at = time.monotonic() + PATIENCE
        _log.error("audit-write-failed", path=str(self._path), error=failure_of(error), waiting=len(self._waiting))

    def _tell_losses(self) -> None:
        now = time.monotonic()
        if self._lost > self._lost_told and now >= self._told_at + LOG_EVERY:
            self._lost_told, self._told_at = self._lost, now
            _log.error("audit-records-lost", path=str(self._path), lost=self._lost)
