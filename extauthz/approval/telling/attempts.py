"""What becomes of a letter after an attempt to deliver it: it is done, tried again later, or given up.

The rule: no answer makes it try more often than its own pace, and none lets it wait for ever. What is given up is kept,
and can be sent again.
"""

from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

_FIRST: Final = 5.0
_LONGEST: Final = 2 * 3600.0
"""Seconds between two attempts of one letter, at least at first and at most at last."""
LONGEST_ASKED: Final = 3600.0
"""Seconds that a receiver may make one wait."""
_LONGEST_PAUSE: Final = 60.0
_GONE: Final = 410
_NOT_NOW: Final = frozenset({408, 425, 429})


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """It was taken."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """It was not, for this reason, which is for the operator.

    `wait` are the seconds that the receiver has asked to be left alone. `is_down`: others will fare no better now.
    `is_final`: no other attempt will. `is_gone`: the receiver wants none of the others either.
    """

    error: str
    wait: float = 0.0
    is_down: bool = False
    is_final: bool = False
    is_gone: bool = False


Outcome = Delivered | Failed


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """A letter is given up after `attempts`, or if its event is older than `max_age` seconds after one."""

    attempts: int
    max_age: float

    def is_out(self, *, attempt: int, age: float) -> bool:
        """Whether attempt number `attempt`, which has failed, was the last one."""
        return attempt >= self.attempts or age >= self.max_age


def answered(status: int, *, asked: str, now: float) -> Outcome:
    """What a status means ("Delivery success and failure" of Standard Webhooks), with its `Retry-After` of `asked`."""
    if 200 <= status < 300:
        return Delivered()
    error = f"answered with {status}"
    if status == _GONE:
        return Failed(error=f"{error}: wants no more", is_final=True, is_gone=True)
    if 300 <= status < 400:
        return Failed(error=f"{error}: redirects are not followed; name the new address")
    is_down = status >= 500 or status in _NOT_NOW
    return Failed(error=error, wait=retry_after(asked, now=now) if is_down else 0.0, is_down=is_down)


def delay(attempt: int, *, asked: float, chance: float) -> float:
    """Seconds from attempt number `attempt` to the next one; `chance` is a random number from 0 to 1.

    Twice as long each time, less up to a half by chance, so that many don't come at once; and no shorter than `asked`,
    which counts up to LONGEST_ASKED.
    """
    grown = min(_LONGEST, _FIRST * 2.0 ** min(attempt - 1, 30))
    return max(grown * (1.0 - chance / 2.0), min(asked, LONGEST_ASKED))


def pause(failures: int, *, asked: float) -> float:
    """Seconds that a receiver which is down is left alone after so many failures in a row."""
    return max(min(_LONGEST_PAUSE, 2.0 ** min(failures - 1, 30)), min(asked, LONGEST_ASKED))


def retry_after(value: str, *, now: float) -> float:
    """The seconds that `Retry-After` (RFC 9110 section 10.2.3) asks for, 0 if it can't be read."""
    text = value.strip(" \t")
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), LONGEST_ASKED)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # an overflow is what numbers of many digits are
        return 0.0
    # A date without a zone is none of HTTP's.
    return 0.0 if until.tzinfo is None else max(0.0, min(until.timestamp() - now, LONGEST_ASKED))
