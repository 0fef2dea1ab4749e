"""How long an answer waits for its record to be on disk, where a rule requires that."""

from concurrent.futures import Future
from typing import Final

PATIENCE = 0.15
"""Seconds that an answer waits for its record to be on disk; Envoy waits 0.2 unless it is told otherwise."""
MARGIN: Final = 0.02
"""Seconds of the caller's deadline that are left for the answer when that wait ends."""
MARGIN_LATER: Final = 0.03
"""As much, where a transport counts its own margin beside: the answer that the record is missing is to be the first."""


def patience(remaining: float | None, margin: float = MARGIN) -> float:
    """How long a record may take, so that the answer is there before the caller has given up."""
    return PATIENCE if remaining is None else max(min(PATIENCE, remaining - margin), 0.0)


def wait(written: Future[None], seconds: float) -> None:
    """Wait until a record is on disk. One that comes too late is called back: it says what is not answered."""
    try:
        written.result(seconds)
    except TimeoutError:
        written.cancel()
        raise
