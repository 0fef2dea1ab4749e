"""The lines of a file that may be anything: what is named on a command line, or lies in the folder of the audit.

The rule kept here: nothing is waited for, and a line takes no more memory than the longest one that there can be.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from extauthz.errors import ExtauthzError

LONGEST_LINE: Final = 16 << 20
"""Bytes of a line. A Check is smaller than that, and so is its record."""
TOO_LONG: Final = b"line too long"
"""What a longer one is read as, which is no record and of no chain."""


def opened(path: Path) -> BinaryIO:
    """The file, open for reading.

    Raises:
        ExtauthzError: it is a pipe, a device or something else that has no end.
        OSError: it can't be opened.
    """
    # Without blocking: a pipe would be opened when somebody writes to it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 - the path has no opener, and whoever calls closes it
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        raise ExtauthzError(f"{path}: can't read the audit file: it is no regular file")
    return file


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """The lines from where the file stands, each with its end if it has one; `TOO_LONG` with one in place of such."""
    while raw := file.readline(LONGEST_LINE + 1):
        if len(raw) <= LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(LONGEST_LINE)
        yield TOO_LONG + b"\n"
