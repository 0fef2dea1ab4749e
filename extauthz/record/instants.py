"""Moments as records write them, and as people do."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from extauthz.values.duration import seconds

_NANOS: Final = 1_000_000_000
_FORM: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z")
_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_LATEST: Final = 2**63 - 1
"""What files and databases have room for: the year 2262."""


def rfc3339(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 writes them, in UTC."""
    seconds, rest = divmod(nanoseconds, _NANOS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def nanoseconds_of(time: str) -> int:
    """The nanoseconds since the epoch of a time as `rfc3339` writes it, exactly; the fraction may be shorter.

    Raises:
        ValueError: it is none, or too far away.
    """
    found = _FORM.fullmatch(time)
    if found is None:
        raise ValueError("`time` is no moment in UTC")
    whole = int(datetime.fromisoformat(f"{found[1]}+00:00").timestamp())
    at = whole * _NANOS + int(f"{found[2] or 0:0<9}")
    if abs(at) > _LATEST:
        raise ValueError("`time` is too far away")
    return at


def moment_of(text: str, now: datetime) -> datetime:
    """A moment as somebody writes it at `now`, in UTC: `2h` is so long ago, `10:42` the last that there was, anything
    else an ISO 8601 date or time, in UTC where it says no zone.

    Raises:
        ValueError, OverflowError: it is none.
    """
    if _CLOCK.fullmatch(text):
        clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M").replace(tzinfo=UTC).time()
        at = datetime.combine(now.date(), clock, UTC)
        return at if at <= now else at - timedelta(days=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=seconds(text))
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
