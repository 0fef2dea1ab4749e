"""Opens, and replaces, the files that the operator names and that may change while the server runs.

The rules: nobody waits for a file. A pipe in its place has no end before somebody writes, a device none at all, and a
thread that waits for either never comes back. And nobody reads half of one: what is written comes whole into its place.
"""

import errno
import os
import stat
import tempfile
from contextlib import suppress
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


def write_whole(path: Path, content: bytes, *, mode: int = 0o600, replace: bool = True) -> None:
    """Write a file beside `path`, to disk, then into its place; `mode` is what it is made with.

    Links are followed where it is replaced: it is the file that is, as it is the file that `open_file` reads.

    Raises:
        FileExistsError: one is there, and it is not to `replace` it.
        OSError: it can't be written, or what is there is something else than a file; what was there still is.
    """
    if replace:
        path = _file_at(path)
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")  # mode 0600
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            if mode != 0o600:  # some file systems let nobody change one
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)  # unlike a rename it never replaces
    finally:
        beside.unlink(missing_ok=True)


def _file_at(path: Path) -> Path:
    # As root, a name of something else, as /dev/null, would be taken from it by the file.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
    return Path(os.path.realpath(path))


def _without_waiting(path: str, flags: int) -> int:
    # To a pipe nobody may ever write; for a regular file the flag means nothing.
    return os.open(path, flags | os.O_NONBLOCK)
