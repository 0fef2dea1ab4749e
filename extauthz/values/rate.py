"""Rates as settings write them: `10/min`, `100/h`, `5/30s`.

The rule: a rate says of how long a time it is. A bare number is refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from extauthz.values.duration import DURATION, seconds

MOST: Final = 10_000
LONGEST: Final = 86_400.0

_RATE: Final = re.compile(r"([0-9]{1,9})/(.+)")
_UNITS: Final = {"s": "1s", "min": "1m", "m": "1m", "h": "1h", "d": "1d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """No more than `most` within `seconds`."""

    most: int
    seconds: float


def rate_of(text: object) -> Rate:
    """The rate as it is written.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    if isinstance(text, Rate):
        return text
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    within = "" if found is None else _UNITS.get(found[2], found[2])
    if found is None or not DURATION.fullmatch(within):
        raise ValueError("not a rate; write `10/min`, `100/h` or `5/30s`")
    rate = Rate(most=int(found[1]), seconds=seconds(within))
    if not 1 <= rate.most <= MOST:
        raise ValueError(f"a rate is of 1 to {MOST}; write `10/min`")
    if not 1.0 <= rate.seconds <= LONGEST:
        raise ValueError("a rate is of a second at least, and of a day at most; write `10/min`")
    return rate
