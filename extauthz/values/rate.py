"""Rates as settings write them: `10/min`, `100/h`, `5/30s`.

The rule: a rate says of how long a time it is. A bare number is refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from extauthz.values.duration import DURATION, duration_text, seconds

MOST: Final = 10_000
LONGEST: Final = 86_400.0

_UNITS: Final = {"s": "1s", "min": "1m", "m": "1m", "h": "1h", "d": "1d"}
RATE: Final = re.compile(rf"([0-9]{{1,9}})/({'|'.join(_UNITS)}|{DURATION.pattern})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """No more than `most` within `seconds`."""

    most: int
    seconds: float


def rate_text(rate: Rate) -> str:
    """The rate as it is written."""
    within = duration_text(rate.seconds)
    return f"{rate.most}/{next((unit for unit, meant in _UNITS.items() if meant == within), within)}"


def rate_of(text: object) -> Rate:
    """The rate as it is written.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    if isinstance(text, Rate):
        return text
    found = RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not a rate; write `10/min`, `100/h` or `5/30s`")
    rate = Rate(most=int(found[1]), seconds=seconds(_UNITS.get(found[2], found[2])))
    if not 1 <= rate.most <= MOST:
        raise ValueError(f"a rate is of 1 to {MOST}; write `10/min`")
    if not 1.0 <= rate.seconds <= LONGEST:
        raise ValueError("a rate is of a second at least, and of a day at most; write `10/min`")
    return rate
