"""The end of an audit file, and what is appended to it, through rotations.

The rule kept here: a line is read when its end is there. To read the last lines costs what they hold, not what the file
holds.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self

from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.record.file_lines import LONGEST_LINE, TOO_LONG, lines_in

BLOCK: Final = 65_536


class Tail:
    """An open audit file, seen from its end. To be closed, as a context manager does."""

    def __init__(self, path: Path) -> None:
        """Raises `ExtauthzError` if the file can't be read."""
        self._path = path
        self._moved = False
        with self._told():
            self._file = open_file(path)
            size = os.fstat(self._file.fileno()).st_size
            self._read_to = size - len(next(_backwards(self._file, size)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def last(self) -> Iterator[bytes]:
        """The whole lines so far, the newest first; to be taken before any that is appended."""
        lines = _backwards(self._file, self._read_to)
        next(lines)  # nothing: it ends behind a newline
        return lines

    def appended(self) -> Iterator[bytes]:
        """The lines that have come since the last call. A file that has taken the name is begun once it is known from
        two calls: until then another process may still write to the old one.

        Raises:
            ExtauthzError: that file can't be read.
        """
        moved = self._has_moved()
        yield from self._whole_lines()
        if moved and self._moved:
            with self._told():
                fresh = open_file(self._path)
            self._file.close()
            self._file, self._read_to, moved = fresh, 0, False
            yield from self._whole_lines()
        self._moved = moved

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = failure_of(error)
            raise ExtauthzError(f"{self._path}: can't read the audit file: {reason}") from error

    def _has_moved(self) -> bool:
        """Whether another file has the name now; one that is missing for a moment is waited for."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._file.fileno())
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)

    def _whole_lines(self) -> Iterator[bytes]:
        if os.fstat(self._file.fileno()).st_size < self._read_to:  # emptied in place
            self._read_to = 0
        self._file.seek(self._read_to)
        for line in lines_in(self._file):
            if line.endswith(b"\n"):
                self._read_to = self._file.tell()
                yield line.removesuffix(b"\n")


def _backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines of the first `end` bytes without their ends, from the last to the first; the last may be empty."""
    pieces: list[bytes] = []  # of the line whose beginning is not found yet, the last first
    size = 0
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        first, *others = file.read(end - start).split(b"\n")
        if others:
            pieces.append(others.pop())
            yield _joined(pieces, size + len(pieces[-1]))
            yield from reversed(others)
            pieces, size = [], 0
        size += len(first)
        if size <= LONGEST_LINE:
            pieces.append(first)
        end = start
    yield _joined(pieces, size)


def _joined(pieces: list[bytes], size: int) -> bytes:
    """The line of these pieces, the last of which comes first; `size` are the bytes of the whole."""
    return b"".join(reversed(pieces)) if size <= LONGEST_LINE else TOO_LONG
