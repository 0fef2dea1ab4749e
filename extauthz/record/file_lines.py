"""The lines of a file that may be anything: what is named on a command line, or lies in the folder of the audit.

The rule kept here: a line takes no more memory than the longest one that there can be.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

LONGEST_LINE: Final = 16 << 20
"""Bytes of a line. A Check is smaller than that, and so is its record."""
TOO_LONG: Final = b"line too long"
"""What a longer one is read as, which is no record and of no chain."""


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """The lines from where the file stands, each with its end if it has one; `TOO_LONG` with one in place of such."""
    while raw := file.readline(LONGEST_LINE + 1):
        if len(raw) <= LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(LONGEST_LINE)
        yield TOO_LONG + b"\n"
