"""When the audit goes on in a new file, what the old one is called then, and how long it is kept.

The rule kept here: of all processes that write to one file one rotates it, under a lock; the others follow the name. A
file is removed only if it is one of ours by its name, and what is in it agrees: its end where files are counted, its
lines where their age counts. The newest of what was rotated goes last.
"""

import fcntl
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from extauthz.errors import ExtauthzError
from extauthz.files import open_file
from extauthz.record.chain import Head, Link, beginning, hash_of, link_of
from extauthz.record.file_lines import lines_in
from extauthz.record.line_file import LineFile

_OPENING: Final = 4_096
_CLOSING: Final = 65_536
_BEFORE_TIME: Final = 128
"""Bytes of a line within which its time is: only `v` and `event` come before it."""
_TIME: Final = re.compile(rb'"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})')
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"-([0-9]{8}T[0-9]{6}Z)-[0-9]+(?:\.[^.]*)?\Z")
_STOPPED: Final = b'{"v":1,"event":"audit.stopped"'
_REMOVED: Final = b'{"v":1,"event":"audit.removed"'
MOST_CARRIED: Final = 1_000
"""Ends of files that were removed before, of which a removed one tells: of writers that were killed, or are idle."""


class _Removed(msgspec.Struct):
    """What `audit.removed` tells."""

    heads: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


class _RemovedLine(msgspec.Struct):
    details: _Removed


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """When a file is rotated, by bytes and seconds, and what is kept, by seconds and files; `None` sets no limit."""

    size: int | None = None
    every: float | None = None
    retain_for: float | None = None
    retain_files: int | None = None

    def is_due(self, file: LineFile, now: float) -> bool:
        """Whether the file is as large, or its first line as old, as one may be. `now` in seconds since the epoch."""
        size = file.size()
        if size == 0:
            return False
        if self.size is not None and size >= self.size:
            return True
        return self.every is not None and now - _born(file) >= self.every

    def surplus(self, path: Path, now: float, is_ours: Callable[[Path], bool]) -> "Surplus":
        """What is not to be kept of the rotated files of `path`. Files are counted that are ours by what is in them."""
        # What a clock that was ahead has named, or a stranger, is as old as what is in it.
        files = [(at if at <= now else _newest(file), file) for at, file in rotated(path)]
        ours = files if self.retain_files is None else [(at, file) for at, file in files if is_ours(file)]
        kept = len(ours) if self.retain_files is None else self.retain_files
        too_many = ours[: max(0, len(ours) - kept)]
        oldest = -math.inf if self.retain_for is None else now - self.retain_for
        removed = [
            (file, None if (at, file) in too_many else oldest)
            for at, file in files
            if at < oldest or (at, file) in too_many
        ]
        gone = {file for file, _ in removed}
        return Surplus(removed, [file for at, file in files if (at, file) not in ours and file not in gone])


class Surplus(msgspec.Struct, frozen=True):
    """Files to be removed, the oldest first, each if its last line is of before that moment, in seconds since the
    epoch, whenever that was if it is `None`; and those that are not what they are called, which are not counted."""

    removed: list[tuple[Path, float | None]]
    strange: list[Path]


def rotated(path: Path) -> list[tuple[float, Path]]:
    """The rotated files of `path` with the moment when they were, in seconds since the epoch; the oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}-[0-9]{{8}}T[0-9]{{6}}Z-([0-9]{{1,18}}){re.escape(path.suffix)}")
    found = [
        (moment, int(match[1]), one)
        for one in path.parent.iterdir()
        if (match := name.fullmatch(one.name)) is not None
        and (moment := rotated_at(one.name)) is not None
        and one.is_file()  # a pipe would be waited for
    ]
    return [(moment, file) for moment, _, file in sorted(found)]


def move_away(path: Path, now: float) -> Path:
    """Give the file at `path` a name of its own, behind all others, and return that. Raises `OSError`."""
    # A clock that was set back makes no file older than those before it: the oldest are the first to be removed.
    before = rotated(path)
    last, file = before[-1] if before else (0.0, path)
    moment = max(float(int(now)), last)
    stamp = datetime.fromtimestamp(moment, UTC).strftime(_STAMP)
    # Behind the last one of this second, not in a gap: what was first may have been removed already.
    number = int(file.stem.rpartition("-")[2]) + 1 if moment == last else 1
    name = path.with_name(f"{path.stem}-{stamp}-{number}{path.suffix}")
    path.rename(name)
    return name


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process may rotate the file at `path` meanwhile: no other one does. Raises `OSError`."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def rotated_at(name: str) -> float | None:
    """When a file of this name was rotated, in seconds since the epoch, to the second; `None` of another name."""
    found = _NAME.search(name)
    try:
        return None if found is None else datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class Ends(msgspec.Struct, frozen=True):
    """Where chains end with a file that is removed: each writer's last line in it, and those that were before it of
    writers that are not in it. Of `ended` nothing follows. `last` is the newest time in it, in seconds since the
    epoch."""

    heads: tuple[Head, ...]
    ended: tuple[str, ...]
    last: float


class ChangedLine(ExtauthzError):
    """A line in a file that is to be removed does not follow the one before it: the file proves that it was changed."""


def ends_in(path: Path) -> Ends:
    """The ends of chains in a file, with what it tells of files that were removed before it: it was the only one that
    told of them, and a writer that was idle ever since goes on from there.

    Raises:
        ChangedLine: what would be told, and signed, is not what was written.
        OSError: the file can't be read.
    """
    heads: dict[str, Head] = {}
    before: dict[str, Head] = {}
    ended: set[str] = set()
    last = b""
    with open_file(path) as file:
        for number, line in enumerate(lines_in(file), 1):
            time = _TIME.search(line, 0, _BEFORE_TIME)
            last = last if time is None else max(last, time[1])
            link = link_of(line.rstrip(b"\n"))
            if link is None:
                continue
            if not _follows(link, heads.get(link.writer)):
                raise ChangedLine(
                    f"line {number} is not as it was written, or was put there: see `extauthz audit verify`"
                )
            heads[link.writer] = Head(link.writer, link.seq, link.hash)
            if line.startswith(_STOPPED):
                ended.add(link.writer)
            elif line.startswith(_REMOVED):
                before |= {head.writer: head for head in _open_in(line)}
    carried = [head for head in before.values() if head.writer not in heads][-MOST_CARRIED:]
    return Ends((*heads.values(), *carried), tuple(sorted(ended)), _moment(last) if last else -math.inf)


def _follows(link: Link, before: Head | None) -> bool:
    """Whether a line is the next one of its writer. The first one in a file may be behind another file's last."""
    if before is None:
        if link.seq > 1:
            return True
        before = beginning(link.writer)
    return link.seq == before.seq + 1 and hash_of(before.hash, link.body) == link.hash


def _open_in(line: bytes) -> Iterator[Head]:
    """The ends in an `audit.removed` from where a chain may go on."""
    try:
        told = msgspec.json.decode(line, type=_RemovedLine).details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    for text in told.heads:
        writer, _, rest = text.partition(":")
        seq, _, hash_ = rest.partition(":")
        if seq.isascii() and seq.isdigit() and writer not in told.ended:
            yield Head(writer, int(seq), hash_)


def _born(file: LineFile) -> float:
    """When the first line was written, in seconds since the epoch; of a file that does not say so, never."""
    found = _TIME.search(file.opening(_OPENING))
    return math.inf if found is None else _moment(found[1])


def _newest(path: Path) -> float:
    """The newest time in the last lines of a file, in seconds since the epoch; of one without, never."""
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _CLOSING))
            found = [time[1] for line in lines_in(file) if (time := _TIME.search(line, 0, _BEFORE_TIME)) is not None]
    except (OSError, ExtauthzError):
        return math.inf
    return _moment(max(found)) if found else math.inf


def _moment(time: bytes) -> float:
    """The seconds since the epoch of a time as lines have it; of one that there is not, one that is still to come."""
    try:
        return datetime.strptime(time.decode("ascii"), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return math.inf
