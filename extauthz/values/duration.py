"""Durations as documents, settings and commands write them: `5m`, `1h30m`, `500ms`.

The rule: a duration has a unit. A bare number is refused everywhere, so that none is ever taken for another unit.
"""

import re
from collections.abc import Callable
from math import inf
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+")
_BARE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def seconds(text: object) -> float:
    """The seconds of a duration as it is written.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    bare = str(text) if isinstance(text, int | float | str) and not isinstance(text, bool) else ""
    if _BARE.fullmatch(bare):
        raise ValueError(f"a duration without a unit; write `{bare}s`")
    if not isinstance(text, str) or not DURATION.fullmatch(text):
        raise ValueError("not a duration; write `5m`, `1h30m` or `90s`")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def duration_text(value: float) -> str:
    """So many seconds as a document would write them, in one unit; `never` for infinitely many."""
    if value == inf:
        return "never"
    unit = next((unit for unit in ("d", "h", "m", "s") if value >= _UNITS[unit] and value % _UNITS[unit] == 0), "ms")
    return f"{value / _UNITS[unit]:.0f}{unit}" if value else "0s"


def longer_than_nothing(value: float) -> float:
    """The seconds `value`.

    Raises:
        ValueError: they are none.
    """
    if value <= 0:
        raise ValueError("a duration must be longer than nothing; write `5m`, `1h30m` or `90s`")
    return value


def at_most(limit: str) -> Callable[[float], float]:
    """A check that hands on a number of seconds, and raises `ValueError` for more than the duration `limit`."""
    most = seconds(limit)

    def check(value: float) -> float:
        if value > most:
            raise ValueError(f"must be at most {limit}")
        return value

    return check
