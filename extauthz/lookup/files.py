"""Opens the files that the operator names and that may change while the server runs.

The rule: nobody waits for a file. A pipe in its place has no end before somebody writes, a device none at all, and a
thread that waits for either never comes back.
"""

import errno
import os
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from extauthz.errors import ConfigurationError, failure_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStanding:
    """What is said of a file that is followed: when that was read which counts, in seconds since the epoch, and whether
    what is there now could be used, too."""

    read_at: float
    current: bool


def open_file(path: Path) -> BufferedReader:
    """The file at `path`, links followed, to be read.

    Raises:
        OSError: it can't be opened, or is something else than a file.
    """
    stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - pathlib has no opener; the caller closes
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise OSError(errno.EINVAL, "not a regular file")


def read_bytes(path: Path, what: str) -> bytes:
    """What is in the file at `path`; `what` is what a message calls it.

    Raises:
        ConfigurationError: it can't be read.
    """
    try:
        with open_file(path) as stream:
            return stream.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the {what}: {failure_of(error)}") from error


def read_text(path: Path, what: str) -> str:
    """As `read_bytes`, but text in UTF-8. The error does not hold it: it may be secret."""
    try:
        return read_bytes(path, what).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: can't read the {what}: not UTF-8 text") from None


def _without_waiting(path: str, flags: int) -> int:
    # To a pipe nobody may ever write; for a regular file the flag means nothing.
    return os.open(path, flags | os.O_NONBLOCK)
