"""Windows of time, held against a clock on the wall that is looked at minute by minute."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.values.windows import DAY, Holidays, Span, Window, minute_of, zone_named

WORKDAYS = frozenset(range(5))
EVERY_DAY = frozenset(range(7))
NONE = Holidays()
BERLIN = ZoneInfo("Europe/Berlin")
# Half an hour of daylight saving (Lord Howe), a day left out (Samoa, end of 2011), an offset of quarters (Nepal), and a
# clock that is changed at midnight (Santiago).
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/Santiago",
    "UTC",
)


def seconds(text: str) -> int:
    """Seconds since the epoch of a moment with its offset."""
    return int(datetime.fromisoformat(text).timestamp())


def window(zone: str, begin: str, end: str, *, days: frozenset[int] = EVERY_DAY, holidays: Holidays = NONE) -> Window:
    """A window of one span."""
    span = Span(days=days, begin=minute_of(begin), end=minute_of(end))
    return Window(zone=ZoneInfo(zone), spans=(span,), holidays=holidays)


OFFICE = window("Europe/Berlin", "08:00", "18:00", days=WORKDAYS, holidays=Holidays(frozenset({date(2026, 11, 20)})))
NIGHT = window("Europe/Berlin", "22:00", "06:00", days=frozenset({4}))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-19T07:59:59+01:00", False),
        ("2026-11-19T08:00:00+01:00", True),
        ("2026-11-19T17:59:59+01:00", True),
        ("2026-11-19T18:00:00+01:00", False),
        ("2026-11-19T07:00:00+00:00", True),  # the clock that counts is Berlin's
        ("2026-07-02T06:00:00+00:00", True),  # and in summer it is two hours ahead
        ("2026-07-02T16:00:00+00:00", False),
        ("2026-11-21T12:00:00+01:00", False),  # a Saturday
        ("2026-11-20T12:00:00+01:00", False),  # the holiday
    ],
)
def test_a_window_is_open_in_its_hours_on_its_days(moment: str, expected: bool) -> None:
    assert OFFICE.covers(seconds(moment)) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-20T21:59:00+01:00", False),
        ("2026-11-20T22:00:00+01:00", True),  # Friday
        ("2026-11-21T00:00:00+01:00", True),  # what began on Friday
        ("2026-11-21T05:59:00+01:00", True),
        ("2026-11-21T06:00:00+01:00", False),
        ("2026-11-20T05:00:00+01:00", False),  # would have begun on Thursday
        ("2026-11-21T22:30:00+01:00", False),  # begins on Saturday
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(moment: str, expected: bool) -> None:
    assert NIGHT.covers(seconds(moment)) is expected


def test_a_night_that_would_begin_on_a_holiday_does_not_take_place_and_one_into_it_does() -> None:
    nights = window("Europe/Berlin", "22:00", "06:00", holidays=Holidays(frozenset(), frozenset({(12, 25)})))
    assert nights.covers(seconds("2026-12-25T03:00:00+01:00"))
    assert not nights.covers(seconds("2026-12-25T23:00:00+01:00"))
    assert not nights.covers(seconds("2027-12-26T03:00:00+01:00"))
    assert nights.covers(seconds("2026-12-26T23:00:00+01:00"))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-10-25T02:15:00+02:00", True),
        ("2026-10-25T02:45:00+02:00", False),
        ("2026-10-25T02:15:00+01:00", True),  # the clock shows 02:15 once more
        ("2026-10-25T02:45:00+01:00", False),
        ("2026-03-29T01:59:00+01:00", False),
        ("2026-03-29T03:00:00+02:00", False),  # the minute after: there was no 02:15
    ],
)
def test_an_hour_that_comes_twice_counts_twice_and_one_that_never_comes_does_not(moment: str, expected: bool) -> None:
    assert window("Europe/Berlin", "02:00", "02:30").covers(seconds(moment)) is expected


def test_a_whole_day_is_open_from_midnight_to_midnight() -> None:
    sunday = window("Europe/Berlin", "00:00", "24:00", days=frozenset({6}))
    open_minutes = [
        now
        for now in range(seconds("2026-10-23T00:00+02:00"), seconds("2026-10-28T00:00+01:00"), 60)
        if sunday.covers(now)
    ]
    assert len(open_minutes) == DAY + 60  # of 25 hours
    assert open_minutes[0] == seconds("2026-10-25T00:00+02:00")
    assert open_minutes[-1] == seconds("2026-10-25T23:59+01:00")


def test_a_day_that_a_place_left_out_is_nowhere() -> None:
    friday = window("Pacific/Apia", "00:00", "24:00", days=frozenset({4}))
    around = range(seconds("2011-12-29T00:00-10:00"), seconds("2012-01-01T00:00+14:00"), 60)
    assert not any(friday.covers(now) for now in around)  # 30 December 2011 was not there


def test_several_spans_are_open_in_any_of_them() -> None:
    morning, evening = Span(days=EVERY_DAY, begin=480, end=720), Span(days=EVERY_DAY, begin=1080, end=1200)
    shop = Window(zone=BERLIN, spans=(morning, evening))
    assert [shop.covers(seconds(f"2026-11-19T{at}:00+01:00")) for at in ("09:00", "12:00", "18:00", "20:00")] == [
        True,
        False,
        True,
        False,
    ]


def test_a_window_comes_through_a_pipe_whole() -> None:
    assert pickle.loads(pickle.dumps(OFFICE)) == OFFICE  # noqa: S301 - it was written here


def test_what_no_calendar_has_is_an_error() -> None:
    with pytest.raises((ValueError, OverflowError)):
        OFFICE.covers(10**15)


@pytest.mark.parametrize(
    ("text", "minute_of_day"), [("00:00", 0), ("08:30", 510), ("19:59", 1199), ("23:59", 1439), ("24:00", 1440)]
)
def test_a_time_of_the_day_is_a_minute(text: str, minute_of_day: int) -> None:
    assert minute_of(text) == minute_of_day


@pytest.mark.parametrize("text", ["", "8:30", "24:01", "25:00", "12:60", "12", "12:30:00", "12.30", "-1:00", "٠٨:٣٠"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time of the day; write `08:30`"):
        minute_of(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Berlin/Europe",
        "Europe",
        "localtime",
        "right/UTC",
        "posixrules",
        "../Berlin",
        "/etc/passwd",
        "+02:00",
        "x" * 100,
        "a\0b",
    ],
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; write its IANA name"):
        zone_named(name)


def test_zones_are_there_without_those_of_the_system() -> None:
    """As in an image that has none."""
    program = "from extauthz.values.windows import zone_named; print(zone_named('Europe/Berlin'))"
    environ = {**os.environ, "PYTHONTZPATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Europe/Berlin\n", "")


@pytest.mark.parametrize(
    ("text", "day", "expected"),
    [
        ("2026-12-25", date(2026, 12, 25), True),
        ("2026-12-25", date(2027, 12, 25), False),
        ("12-25", date(2027, 12, 25), True),
        ("12-25", date(2027, 12, 26), False),
        ("02-29", date(2028, 2, 29), True),
        ("02-29", date(2027, 3, 1), False),
    ],
)
def test_a_holiday_is_a_date_or_a_day_of_every_year(text: str, day: date, expected: bool) -> None:
    assert (day in Holidays.of(text)) is expected


@pytest.mark.parametrize(
    "text", ["", "2026-02-29", "02-30", "13-01", "2026-1-1", "20261225", "2026-W01-1", "25.12.", "1-1"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no day; write `2026-12-25`"):
        Holidays.of(text)


def wall_minutes(one: Window, first: date, days: int) -> Iterator[str]:
    """What the clock shows while the window is open, by walking through it minute by minute from each day."""
    for number in range(-2, days + 2):
        day = first + timedelta(days=number)
        for span in one.spans:
            if (
                day.weekday() not in span.days
                or day in one.holidays.dates
                or (day.month, day.day) in one.holidays.yearly
            ):
                continue
            shown = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=span.begin)
            length = (span.end - span.begin) % DAY or DAY
            for step in range(length):
                yield f"{shown + timedelta(minutes=step):%Y-%m-%d %H:%M}"


spans = st.builds(
    Span,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    begin=st.integers(0, DAY - 1),
    end=st.integers(1, DAY),
).filter(lambda span: span.begin != span.end)
# Around changes of clocks, and anywhere.
firsts = st.sampled_from(
    [
        date(2026, 3, 28),
        date(2026, 10, 24),
        date(2026, 3, 7),
        date(2026, 10, 31),
        date(2026, 4, 4),
        date(2026, 9, 5),
        date(2011, 12, 29),
    ]
) | st.dates(date(1970, 1, 5), date(2037, 12, 1))


@settings(max_examples=50)
@given(st.sampled_from(ZONES), st.lists(spans, min_size=1, max_size=3), firsts, st.data())
def test_a_window_is_open_while_the_clock_on_the_wall_shows_a_time_of_it(
    zone: str, of: list[Span], first: date, data: st.DataObject
) -> None:
    near = st.integers(-1, 3).map(lambda after: first + timedelta(days=after))
    holidays = Holidays(
        data.draw(st.frozensets(near, max_size=2)),
        data.draw(st.frozensets(near.map(lambda day: (day.month, day.day)), max_size=1)),
    )
    one = Window(zone=ZoneInfo(zone), spans=tuple(of), holidays=holidays)
    shown = set(wall_minutes(one, first, 3))
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    for now in range(begin, begin + 2 * DAY * 60, 60):
        clock = datetime.fromtimestamp(now, ZoneInfo(zone))
        assert one.covers(now) is (f"{clock:%Y-%m-%d %H:%M}" in shown), clock
