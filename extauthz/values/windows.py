"""Windows of time: hours of the day, on days of the week, by the clock on the wall of a place.

Pure: the moment is an argument. The rule kept here: a window is open while that clock shows a time of it, and closed
otherwise. So an hour that the clock shows twice in autumn counts both times, and one that it skips in spring is not
there, whatever a window says of it.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

DAY: Final = 24 * 60
"""Minutes of a day by the clock."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week as documents write them."""
_ONE_DAY: Final = timedelta(days=1)
_CLOCK: Final = re.compile(r"(?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9])|24:00")
_ZONE: Final = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}")
_LONGEST_ZONE: Final = 60
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_OF_YEAR: Final = re.compile(r"[0-9]{2}-[0-9]{2}")
_LEAP_YEAR: Final = 2000
"""One that has every day that a year can have."""


def zone_named(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises `ValueError` if there is none."""
    # Only what looks like a name is looked up: it becomes a path. Those of IANA begin with a capital: others are of the
    # system, `localtime` of this machine alone, `right/…` by clocks that count leap seconds.
    if len(name) <= _LONGEST_ZONE and _ZONE.fullmatch(name):
        with suppress(ValueError, OSError, KeyError):
            return ZoneInfo(name)
    raise ValueError(f"`{name[:_LONGEST_ZONE]}` is no time zone; write its IANA name, like `Europe/Berlin` or `UTC`")


def minute_of(text: str) -> int:
    """The minute of the day of a time as `08:30`; `24:00` is its end. Raises `ValueError` for any other text."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text[:20]}` is no time of the day; write `08:30`, or `24:00` for the end of it")
    return DAY if match["hours"] is None else int(match["hours"]) * 60 + int(match["minutes"])


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Hours on some days of the week, of which 0 is Monday.

    `begin` and `end` are minutes of the day, the last of them not in it. One that does not end later than it begins
    goes on over midnight, and belongs to the day on which it begins.
    """

    days: frozenset[int]
    begin: int
    end: int

    def day_of(self, today: date, minute: int) -> date | None:
        """The day to which a minute of `today` belongs if it is within these hours, whatever day that is."""
        if self.begin < self.end:
            return today if self.begin <= minute < self.end else None
        if minute >= self.begin:
            return today
        return today - _ONE_DAY if minute < self.end else None


class Holidays(msgspec.Struct, frozen=True):
    """Days on which nothing begins: dates, and days of any year as month and day."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def __contains__(self, day: date) -> bool:
        return day in self.dates or (day.month, day.day) in self.yearly

    @classmethod
    def of(cls, text: str) -> "Holidays":
        """The day that is written as `2026-12-25`, or as `12-25` for that of every year. Raises `ValueError`."""
        with suppress(ValueError):
            if _DATE.fullmatch(text):
                return cls(dates=frozenset({date.fromisoformat(text)}))
            if _DAY_OF_YEAR.fullmatch(text):
                day = date.fromisoformat(f"{_LEAP_YEAR}-{text}")
                return cls(yearly=frozenset({(day.month, day.day)}))
        raise ValueError(f"`{text[:20]}` is no day; write `2026-12-25`, or `12-25` for that of every year")

    @classmethod
    def together(cls, several: Iterable["Holidays"]) -> "Holidays":
        """The days of all of them."""
        lists = tuple(several)
        return cls(frozenset().union(*(one.dates for one in lists)), frozenset().union(*(one.yearly for one in lists)))


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Spans by the clock of one zone; those that would begin on a holiday do not take place."""

    zone: tzinfo
    spans: tuple[Span, ...]
    holidays: Holidays = Holidays()

    def covers(self, seconds: int) -> bool:
        """Whether the window is open at a moment, in whole seconds since the epoch.

        Raises `ValueError` or `OverflowError` for one that no calendar of the zone has: before the year 1, after 9999.
        """
        moment = datetime.fromtimestamp(seconds, self.zone)
        today, minute = moment.date(), moment.hour * 60 + moment.minute
        for span in self.spans:
            day = span.day_of(today, minute)
            if day is not None and day.weekday() in span.days and day not in self.holidays:
                return True
        return False
