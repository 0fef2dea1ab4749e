"""Ctrl-C while a command is still being imported.

The rule kept here: next to nothing is imported before it is taken care of, so there are no types from `typing`.
"""

import gc
import os
import signal
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended, as shells have it."""


class Importing:
    """As a context, for imports: Ctrl-C ends the process silently, as nothing is there yet to be left in order.

    An exception could not do it: C extensions that are being imported swallow it, or print it. And what is imported
    stays, so that it is not searched for garbage: not meanwhile, not later, and not at the end of the process. That
    would be a third of the time of a short command.
    """

    def __enter__(self) -> None:
        gc.disable()
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:  # as shells start what runs in the background
            signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        gc.enable()
        gc.freeze()
        signal.signal(signal.SIGINT, self._before)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
