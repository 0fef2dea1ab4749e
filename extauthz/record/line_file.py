"""A file that whole lines are appended to, by this process and by others.

The rules kept here: lines are written with one system call on a descriptor in append mode, so those of several
processes don't mix. What a full disk or a death leaves of a line is ended before the next one. The name is followed:
when the file is moved away, the next lines go to the one that has its name.
"""

import os
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

_NEWLINE: Final = ord("\n")


class LineFile:
    """The file at `path`, made for its owner alone. Every method raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        """Pieces that are out as a whole, since the start."""
        self._torn = False
        self._descriptor, self._held = self._open()

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write pieces of lines, one after the other, the last of each line with its newline.

        `written` counts those that are out, also if it raises.
        """
        opening = b"\n" if self._torn else b""
        view = memoryview(opening + b"".join(pieces))
        out = os.write(self._descriptor, view)
        if out == len(view):
            self._torn = False
            self.written += len(pieces)
            return
        ends = list(accumulate(map(len, pieces), initial=len(opening)))[1:]
        # A line is out that lacks its newline alone: whatever is written next ends it.
        enough = [end - piece.endswith(b"\n") for piece, end in zip(pieces, ends, strict=True)]
        counted = 0
        while True:
            self._torn = out < len(view) and view[out - 1] != _NEWLINE
            whole = bisect_right(enough, out)
            self.written += whole - counted
            counted = whole
            if out == len(view):
                return
            out += os.write(self._descriptor, view[out:])

    def sync(self) -> None:
        """Return when all that was written is on disk."""
        os.fsync(self._descriptor)

    def follow_name(self) -> bool:
        """Go on in the file that has the name now, if a rotation has moved the old one away; whether it has.

        Whatever another process has left of a line meanwhile, on a full disk or when it died, is ended before ours.
        """
        try:
            named = self.path.stat()
        except FileNotFoundError:
            named = None
        if named is not None and (named.st_dev, named.st_ino) == self._held:
            self._torn = self._torn or _ends_torn(self._descriptor, named.st_size)
            return False
        before = self._descriptor
        self._descriptor, self._held = self._open()
        os.close(before)
        return True

    def size(self) -> int:
        """Bytes in the file that is open."""
        return os.fstat(self._descriptor).st_size

    def opening(self, size: int) -> bytes:
        """The first bytes of the file that is open."""
        return os.pread(self._descriptor, size, 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _open(self) -> tuple[int, tuple[int, int]]:
        """The file that has the name: its descriptor, and what it is known by, which no other has while it is open."""
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fresh:
            _sync_folder(self.path.parent)
        held = os.fstat(descriptor)
        self._torn = _ends_torn(descriptor, held.st_size)
        return descriptor, (held.st_dev, held.st_ino)


def _sync_folder(folder: Path) -> None:
    """A new name is only there after a crash if its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ends_torn(descriptor: int, size: int) -> bool:
    """Whether the file, of this size, ends within a line, as a process that was killed may leave it.

    One that is being written just now looks the same, but soon has its end.
    """
    for pause in (0.001, 0.01, 0.0):
        if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
            return False
        time.sleep(pause)
        size = os.fstat(descriptor).st_size
    return True
