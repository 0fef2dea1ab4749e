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
from dataclasses import dataclass
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
from extauthz.record.audit_line import DecisionLine
from extauthz.record.brief import Brief, in_full
from extauthz.record.chain import WRITER_BYTES, Head, after, beginning, chained, signed
from extauthz.record.keeping import Record
from extauthz.record.life import Detail, LifeKind, LifeRecord
from extauthz.record.life_lines import LifeLine, life_line_of
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.line_file import LineFile
from extauthz.record.masking import Keep, line_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts:
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
        self._keep = keep
        self._keys = keys
        self._rotation = rotation
        self._rotate_at = 0.0
        self._room = room
        self._room_bytes = room_bytes
        self._waiting_bytes = 0
        self._decisions = LineEncoder(keep)
        self._encoder = msgspec.json.Encoder()
        self._lines: deque[bytes] = deque()  # without their ends
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
        return AuditCounts(waiting=len(self._lines), written=self._written, lost=self._lost)

    def keep(self, batch: Sequence[Record]) -> None:
        """Append the lines of these records, or hold them until they can be."""
        lines, room, room_bytes = self._lines, self._room, self._room_bytes
        for record in batch:
            if len(lines) >= room or self._waiting_bytes >= room_bytes:
                self._lost += 1
                continue
            line = self._line(record)
            lines.append(line)
            self._waiting_bytes += len(line)
        if not self._failing or time.monotonic() >= self._retry_at:
            try:
                self._write()
            except OSError as error:
                self._fail(error)
        self._tell_losses()

    def commit(self, batch: Sequence[Record]) -> None:
        """Append the lines of these records to the file on disk, ahead of what waits.

        Raises:
            OSError: they can't be written.
        """
        lines = [self._line(record) for record in batch]
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
        self._lost += len(self._lines)
        self._lines.clear()
        self._waiting_bytes = 0
        self._told_at = -LOG_EVERY
        self._tell_losses()
        self._file.close()

    def _write(self) -> None:
        """Write what waits, chunk by chunk, and what is due by time. Raises `OSError`."""
        if not self._lines and self._is_to_check():
            self._follow_name()
        while self._lines:
            self._follow_name()  # each time: what goes on in a file that was moved away hides its end
            before = self._written
            try:
                self._append_records(list(islice(self._lines, CHUNK)))
            finally:
                self._let_go(self._written - before)
            self._failing = False
        if self._is_to_check():
            self._check()

    def _let_go(self, written: int) -> None:
        """Hold the oldest lines no longer, so many."""
        if written == len(self._lines):
            self._lines.clear()
            self._waiting_bytes = 0
            return
        for _ in range(written):
            self._waiting_bytes -= len(self._lines.popleft())

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
        before = self._file.written
        try:
            self._append(lines)
        finally:
            self._written += self._file.written - before
        if self._head.seq >= self._checked + CHECKPOINT_LINES:
            self._check()

    def _begin(self) -> None:
        """Begin the chain, where there is none yet."""
        if not self._head.seq:
            self._append([self._signed("audit.started", {"version": __version__})])
            self._check_at = time.monotonic() + CHECKPOINT_EVERY

    def _append(self, lines: Sequence[bytes]) -> None:
        whole, hashes = chained(self._head, lines)
        before = self._file.written
        try:
            self._file.append(whole)
        finally:
            self._head = after(self._head, hashes[: self._file.written - before])

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
            return self._encoded(event)
        key = self._keys.newest
        return signed(self._head, self._encoded(replace(event, details={**details, "key": key.kid})), key.audit)

    def _fail(self, error: OSError) -> None:
        """The file can't be written."""
        self._failing = True
        self._retry_at = time.monotonic() + PATIENCE
        _log.error("audit-write-failed", path=str(self._path), error=failure_of(error), waiting=len(self._lines))

    def _line(self, record: Record) -> bytes:
        """The line of a record, as `_encoded`; of one that can't be told in full, its outcome alone."""
        try:
            return self._encoded(record)
        except Exception as error:  # noqa: BLE001 - one odd record must not end the records of all others
            # By its type alone: a traceback could hold what is masked.
            reason = f"record cut: {type(error).__name__}"
            _log.error("audit-record-cut", decision_id=record.decision_id, error=type(error).__name__)
            if isinstance(record, LifeRecord):
                return self._encoded(LifeRecord(kind=record.kind, at_ns=record.at_ns, reason=reason))
            return self._encoded(replace(in_full(record), request=None, identity=None, rules=(), detail=reason))

    def _encoded(self, record: Record) -> bytes:
        """The line of a record without the closing brace."""
        try:
            if isinstance(record, Brief):
                return self._decisions.encode(record)
            return self._encoder.encode(self._told(record))[:-1]
        except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 can't hold
            return self._encoder.encode(_speakable(msgspec.to_builtins(self._told(record))))[:-1]

    def _told(self, record: Record) -> DecisionLine | LifeLine:
        return life_line_of(record) if isinstance(record, LifeRecord) else line_of(in_full(record), self._keep)

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
