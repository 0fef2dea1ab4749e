"""Ctrl-C while a command is still being imported."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C has ended, as shells have it."""


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Inside, Ctrl-C ends the process silently: for imports, when nothing is there yet that had to be left in order.

    An exception could not do it: C extensions that are being imported swallow it, or print it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # as shells start what runs in the background
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
