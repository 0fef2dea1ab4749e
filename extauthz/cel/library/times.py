"""Timestamps and durations: their texts (RFC 3339 and Go's durations) and their parts (langdef, "Timestamps")."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.types import DURATION, INT, STRING, TIMESTAMP
from extauthz.cel.values import NANOS, Duration, Timestamp
from extauthz.values.quoting import given

_TIMESTAMP: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2}))"
)
_PART: Final = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>h|ms|m|s|us|µs|μs|ns)")
_DURATION_LENGTH_MAX: Final = 200
_UNITS: Final = {
    "h": 3600 * NANOS, "m": 60 * NANOS, "s": NANOS, "ms": 1_000_000,
    "us": 1000, "µs": 1000, "μs": 1000, "ns": 1,
}  # fmt: skip
_OFFSET: Final = re.compile(r"(?P<sign>[+-]?)(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2})")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}")
_ZONE_LENGTH_MAX: Final = 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339 with up to nine digits of a second."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise EvalError(f"{given(text)} is no timestamp; write it like 2026-11-21T10:00:00Z")
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time']}+00:00")
    except ValueError as error:
        raise EvalError(f"timestamp out of range: {given(str(error))}") from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if match["sign"]:
        hours, minutes = int(match["hours"]), int(match["minutes"])
        if hours > 23 or minutes > 59:
            raise EvalError(f"timestamp out of range: no such offset in {given(text)}")
        offset = hours * 3600 + minutes * 60
        seconds -= offset if match["sign"] == "+" else -offset
    return Timestamp(seconds, int((match["fraction"] or "0").ljust(9, "0")))


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of a second as it needs."""
    moment = _EPOCH + timedelta(seconds=value.seconds)
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}{_fraction(value.nanos)}Z"


def _fraction(nanos: int) -> str:
    return f".{nanos:09}".rstrip("0") if nanos else ""


def parse_duration(text: str) -> Duration:
    """A sequence of numbers with units: `1h30m`, `-1.5s`, `250ms`; units are h, m, s, ms, us, ns."""
    negative = text.startswith("-")
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if len(unsigned) > _DURATION_LENGTH_MAX:
        raise EvalError(f"a duration of more than {_DURATION_LENGTH_MAX} characters")
    if unsigned == "0":
        return Duration(0)
    total = position = 0
    while position < len(unsigned):
        match = _PART.match(unsigned, position)
        if match is None or not (match["whole"] or match["fraction"]) or match.end() - position > 60:
            break
        unit = _UNITS[match["unit"]]
        fraction = (match["fraction"] or "")[:20]
        total += int(match["whole"] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = match.end()
    if not unsigned or position < len(unsigned):
        raise EvalError(f"{given(text)} is no duration; write it like 1h30m or 250ms")
    return Duration(0, -total if negative else total)


def duration_text(value: Duration) -> str:
    """Seconds, as JSON has durations: `5400s`, `-0.25s`."""
    sign = "-" if value.ns < 0 else ""
    seconds, nanos = divmod(abs(value.ns), NANOS)
    return f"{sign}{seconds}{_fraction(nanos)}s"


@lru_cache(maxsize=512)
def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name, or an offset from UTC as `02:00` or `-09:30`."""
    match = _OFFSET.fullmatch(name)
    if match is not None:
        hours, minutes = int(match["hours"]), int(match["minutes"])
        if hours > 23 or minutes > 59:
            raise EvalError(f"{given(name)} is no offset from UTC")
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if match["sign"] == "-" else offset)
    # Only what looks like a name is looked up: it becomes a path.
    if len(name) <= _ZONE_LENGTH_MAX and _ZONE.fullmatch(name):
        with suppress(ValueError, OSError, KeyError):
            return ZoneInfo(name)
    raise EvalError(f"unknown time zone {given(name)}; write its IANA name or an offset")


def _in_zone(value: Timestamp, zone: tzinfo) -> datetime:
    try:
        return datetime.fromtimestamp(value.ns // NANOS, zone)
    except OverflowError:
        raise EvalError("timestamp out of range in this time zone") from None


def _day_of_week(moment: datetime) -> int:
    return moment.isoweekday() % 7


PARTS: Final[dict[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": _day_of_week,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
}
"""Parts of a timestamp; months and days of months, weeks and years count from 0, but for `getDate`."""


def part_in_zone(part: Callable[[datetime], int], zone: tzinfo) -> Callable[[Timestamp], int]:
    """The function that takes a part of timestamps in one time zone, prepared."""

    def take(value: Timestamp) -> int:
        return part(_in_zone(value, zone))

    return take


def _part(name: str, part: Callable[[datetime], int]) -> list[Overload]:
    def take(value: Timestamp, zone: str) -> int:
        return part(_in_zone(value, zone_of(zone)))

    return [
        Overload(f"timestamp_{name}", (TIMESTAMP,), INT, part_in_zone(part, UTC), member=True, total=True),
        Overload(f"timestamp_{name}_tz", (TIMESTAMP, STRING), INT, take, member=True),
    ]


def _milliseconds(value: Timestamp) -> int:
    return value.nanos // 1_000_000


def _milliseconds_in_zone(value: Timestamp, zone: str) -> int:
    zone_of(zone)
    return _milliseconds(value)


def _whole(unit: int) -> Callable[[Duration], int]:
    def take(value: Duration) -> int:
        return value.ns // unit if value.ns >= 0 else -(-value.ns // unit)

    return take


def _duration_milliseconds(value: Duration) -> int:
    """The milliseconds beyond the whole seconds, not the duration in milliseconds."""
    return value.nanos // 1_000_000 if value.nanos >= 0 else -(-value.nanos // 1_000_000)


def functions() -> list[Function]:
    """The parts of timestamps and durations."""
    table = {name: _part(name, part) for name, part in PARTS.items()}
    table["getMilliseconds"] = [
        Overload("timestamp_getMilliseconds", (TIMESTAMP,), INT, _milliseconds, member=True, total=True),
        Overload("timestamp_getMilliseconds_tz", (TIMESTAMP, STRING), INT, _milliseconds_in_zone, member=True),
        Overload("duration_getMilliseconds", (DURATION,), INT, _duration_milliseconds, member=True, total=True),
    ]
    for name, unit in (("getHours", 3600 * NANOS), ("getMinutes", 60 * NANOS), ("getSeconds", NANOS)):
        table[name].append(Overload(f"duration_{name}", (DURATION,), INT, _whole(unit), member=True, total=True))
    return [Function(name, overloads) for name, overloads in table.items()]
