"""Durations as documents write them: `5m`, `1h30m`, `500ms`."""

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def seconds(text: object) -> float:
    """The seconds of a duration as it is written.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    if not isinstance(text, str) or not DURATION.fullmatch(text):
        raise ValueError("not a duration; write `5m`, `1h30m` or `90s`")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
