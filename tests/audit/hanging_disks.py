"""A file that takes 64 KiB, and then keeps whoever writes to it waiting until somebody reads."""

import fcntl
import os
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patience import comes

FULL = 40_000
"""Bytes: each write may leave the rest of a page empty, so that it takes no more before it holds 64 KiB."""


class HangingDisk:
    """A pipe at `path`."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def comes_to_hang(self) -> bool:
        """Wait until it takes no more; whether it came to that."""
        return comes(lambda: self._held() > FULL)

    def _held(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._reading, termios.FIONREAD, bytes(4)), sys.byteorder)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Meanwhile it takes everything; then it is gone."""
        over = threading.Event()

        def empty() -> None:
            while not over.wait(0.01):
                with suppress(BlockingIOError):
                    os.read(self._reading, 1 << 20)

        emptying = threading.Thread(target=empty)
        emptying.start()
        try:
            yield
        finally:
            over.set()
            emptying.join()
            os.close(self._reading)
