"""Waiting for what processes do by themselves."""

import time
from collections.abc import Callable
from pathlib import Path

GENEROUS = 90.0
"""Seconds after which something does not come any more, however busy the machine is."""


def comes(what: Callable[[], bool]) -> bool:
    """Whether this becomes true."""
    deadline = time.monotonic() + GENEROUS
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_there(pid: int) -> bool:
    """Whether this process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
