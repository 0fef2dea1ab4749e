"""Ctrl-C while a command is still being imported.

The rule kept here: next to nothing is imported before it is taken care of, so there are no types from `typing`.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended, as shells have it."""


class EndingAtOnce:
    """As a context: Ctrl-C ends the process silently. For imports, when nothing is there yet to be left in order.

    An exception could not do it: C extensions that are being imported swallow it, or print it.
    """

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:  # as shells start what runs in the background
            signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
