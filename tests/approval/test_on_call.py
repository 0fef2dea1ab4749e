"""Who is on call, who stands in for whom, and how schedules are written."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from approval.asking import ANNA, BEN, NOW, asked, person, terms
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from extauthz.approval.audience import audience
from extauthz.approval.on_call import Schedules, groups_on_call, on_call, rights
from extauthz.approval.schedule_config import SchedulesSettings, schedules
from extauthz.approval.terms import Circle, Step
from extauthz.values.approvals import Absence, Approver
from extauthz.values.windows import DAYS

WRITTEN = TypeAdapter[SchedulesSettings](SchedulesSettings)
BERLIN = "Europe/Berlin"


def shift(begin: str, end: str, *persons: str, zone: str = BERLIN, **more: Any) -> dict[str, Any]:
    return {"zone": zone, "from": begin, "to": end, "persons": list(persons), **more}


def made(**written: list[dict[str, Any]]) -> Schedules:
    return schedules(WRITTEN.validate_python(written))


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def there(known: Schedules, moment: float, name: str = "payments") -> frozenset[str]:
    return on_call(known, moment)[name]


def test_who_is_on_call_is_a_matter_of_the_clock_on_the_wall() -> None:
    known = made(payments=[shift("08:00", "20:00", "anna"), shift("20:00", "08:00", "ben")])
    assert there(known, at("2026-01-12T07:59:59+01:00")) == {"ben"}
    assert there(known, at("2026-01-12T08:00:00+01:00")) == {"anna"}
    assert there(known, at("2026-07-13T08:00:00+02:00")) == {"anna"}
    assert there(known, at("2026-07-13T08:00:00+01:00")) == {"anna"}, "which is nine o'clock in summer"
    assert there(known, at("2026-07-13T19:00:00+01:00")) == {"ben"}


def test_a_shift_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    known = made(payments=[shift("22:00", "06:00", "anna", days=["fri"])])
    assert there(known, at("2026-11-20T22:00:00+01:00")) == {"anna"}
    assert there(known, at("2026-11-21T05:59:00+01:00")) == {"anna"}
    assert there(known, at("2026-11-21T22:00:00+01:00")) == frozenset()
    assert there(known, at("2026-11-20T05:59:00+01:00")) == frozenset()


def test_two_zones_of_one_schedule_follow_their_own_clocks() -> None:
    known = made(
        payments=[shift("08:00", "16:00", "anna"), shift("08:00", "16:00", "ben", zone="America/New_York")],
        infra=[shift("00:00", "24:00", "cleo")],
    )
    # New York changes its clocks two weeks before Berlin: its morning comes an hour earlier there for a while.
    assert there(known, at("2026-03-06T14:30:00+01:00")) == {"anna", "ben"}
    assert there(known, at("2026-03-13T13:30:00+01:00")) == {"anna", "ben"}
    assert there(known, at("2026-03-06T13:30:00+01:00")) == {"anna"}
    assert there(known, at("2026-03-06T13:30:00+01:00"), "infra") == {"cleo"}


def test_the_hour_that_spring_leaves_out_is_nobodys() -> None:
    known = made(payments=[shift("02:00", "03:00", "anna"), shift("03:00", "02:00", "ben")])
    before, after = at("2026-03-29T01:59:59+01:00"), at("2026-03-29T03:00:00+02:00")
    assert after - before == 1
    assert there(known, before) == {"ben"}
    assert there(known, after) == {"ben"}


def test_the_hour_that_autumn_gives_twice_is_the_same_persons_twice() -> None:
    known = made(payments=[shift("02:00", "03:00", "anna"), shift("03:00", "02:00", "ben")])
    assert there(known, at("2026-10-25T02:30:00+02:00")) == {"anna"}
    assert there(known, at("2026-10-25T02:30:00+01:00")) == {"anna"}
    assert there(known, at("2026-10-25T03:00:00+01:00")) == {"ben"}


QUARTERS = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"])
MOMENTS = st.one_of(
    st.floats(at("2025-01-01T00:00+00:00"), at("2028-01-01T00:00+00:00")),
    # Around the changes of the clock.
    st.sampled_from([at("2026-03-29T01:00+00:00"), at("2026-10-25T01:00+00:00"), at("2026-03-08T07:00+00:00")]).flatmap(
        lambda change: st.floats(change - 7200, change + 7200)
    ),
)


@given(cuts=st.lists(QUARTERS, min_size=2, max_size=6, unique=True), zone=ZONES, moment=MOMENTS)
def test_shifts_that_take_turns_around_the_clock_leave_no_moment_to_nobody_or_to_two(
    cuts: list[str], zone: str, moment: float
) -> None:
    turns = [*sorted(cuts), min(cuts)]
    known = made(payments=[shift(*turn, f"p{number}", zone=zone) for number, turn in enumerate(pairwise(turns))])
    assert len(there(known, moment)) == 1


@given(days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=6, unique=True), zone=ZONES, moment=MOMENTS)
def test_days_that_divide_the_week_leave_no_moment_to_nobody_or_to_two(
    days: list[str], zone: str, moment: float
) -> None:
    others = [day for day in DAYS if day not in days]
    known = made(
        payments=[
            shift("00:00", "24:00", "anna", zone=zone, days=days),
            shift("00:00", "24:00", "ben", zone=zone, days=others),
        ]
    )
    assert len(there(known, moment)) == 1


# Absence and delegation

ALWAYS = made(payments=[shift("00:00", "24:00", "anna")])
ON_CALL = "on-call:payments"


def away(absent: Approver, delegate: str | None, *, since: float = NOW - 10, until: float = NOW + 10) -> Absence:
    return Absence(
        id=f"{absent.person}-{delegate}", absent=absent, since=since, until=until, delegate=delegate, made_at=since
    )


def held(approver: Approver, *absences: Absence, now: float = NOW) -> list[tuple[str, bool, set[str]]]:
    found = rights(approver, schedules=ALWAYS, absences=absences, now=now)
    return [(right.holder.person, right.own, set(right.holder.groups)) for right in found]


def test_who_is_on_call_is_in_a_group_of_that_name() -> None:
    assert groups_on_call(ALWAYS, "anna", NOW) == {ON_CALL}
    assert held(ANNA) == [("anna", True, {"treasury", ON_CALL})]
    assert held(BEN) == [("ben", True, {"treasury"})]


def test_no_issuer_puts_anybody_on_call() -> None:
    sly = person("ben", "treasury", ON_CALL, "on-call:infra")
    assert held(sly) == [("ben", True, {"treasury"})]
    assert held(person("cleo"), away(sly, "cleo"))[1] == ("ben", False, {"treasury"})


def test_a_delegate_has_the_right_of_who_is_away_and_of_nobody_else() -> None:
    assert held(BEN, away(ANNA, "ben")) == [("ben", True, {"treasury"}), ("anna", False, {"treasury", ON_CALL})]
    assert held(BEN, away(ANNA, "cleo")) == [("ben", True, {"treasury"})]


def test_who_is_away_is_not_on_call() -> None:
    assert held(ANNA, away(ANNA, "ben")) == [("anna", True, {"treasury"})]


@pytest.mark.parametrize(
    ("now", "there"), [(NOW - 10.1, False), (NOW - 10, True), (NOW + 9.9, True), (NOW + 10, False)]
)
def test_an_absence_has_its_time(now: float, there: bool) -> None:
    assert (len(held(BEN, away(ANNA, "ben"), now=now)) == 2) == there


def test_a_delegate_hands_nothing_on() -> None:
    chain = (away(ANNA, "ben"), away(BEN, "cleo"))
    assert [name for name, _, _ in held(person("cleo"), *chain)] == ["cleo", "ben"]


def test_nobody_stands_in_for_themselves() -> None:
    assert held(ANNA, away(ANNA, "anna")) == [("anna", True, {"treasury"})]


# Whom to tell


def told(
    circle: Circle, *absences: Absence, waited: float = 0.0, later: Circle | None = None
) -> Mapping[str, set[str]]:
    steps = () if later is None else (Step(after=60.0, circle=later),)
    found = audience(
        asked(), terms(circle=circle, escalate=steps), schedules=ALWAYS, absences=absences, now=NOW + waited
    )
    return {"groups": set(found.groups), "subjects": set(found.subjects), "persons": set(found.persons)}


FIRST = Circle(groups=frozenset({"treasury", ON_CALL}), subjects=frozenset({"dora-sub"}))
SECOND = Circle(groups=frozenset({"board"}))


def test_those_are_told_whom_the_rule_asks() -> None:
    assert told(FIRST, later=SECOND) == {
        "groups": {"treasury", ON_CALL},
        "subjects": {"dora-sub"},
        "persons": {"anna"},
    }
    assert told(FIRST, later=SECOND, waited=60.0)["groups"] == {"treasury", ON_CALL, "board"}


def test_delegates_are_told_in_the_place_of_who_is_away() -> None:
    assert told(FIRST, away(ANNA, "cleo"))["persons"] == {"cleo"}
    assert told(FIRST, away(ANNA, None))["persons"] == set()
    assert told(FIRST, away(BEN, "eve"))["persons"] == {"anna", "eve"}
    assert told(FIRST, away(person("dora"), "eve"))["persons"] == {"anna", "eve"}
    assert told(FIRST, away(person("zoe", "other"), "eve"))["persons"] == {"anna"}
    assert told(Circle(groups=frozenset({"treasury"})))["persons"] == set(), "nobody asks who is on call"


def test_nobody_is_told_of_a_rule_that_is_gone() -> None:
    found = audience(asked(), None, schedules=ALWAYS, absences=(), now=NOW)
    assert (found.groups, found.subjects, found.persons) == (frozenset(), frozenset(), frozenset())


# How schedules are written


def test_persons_are_known_by_any_spelling() -> None:
    known = made(payments=[shift("00:00", "24:00", " Anna@Example.COM ")])
    assert groups_on_call(known, "anna@example.com", NOW) == {ON_CALL}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"payments": []}, "at least 1"),
        ({"payments": [shift("08:00", "20:00")]}, "at least 1"),
        ({"payments": [shift("08:00", "20:00", "anna", days=[])]}, "at least 1"),
        ({"payments": [shift("08:00", "20:00", "anna", days=["monday"])]}, "no day of the week"),
        ({"payments": [shift("08:00", "20:00", "anna", days=["mon", "mon"])]}, "listed twice"),
        ({"payments": [shift("08:00", "20:00", "anna", "anna")]}, "listed twice"),
        ({"payments": [shift("08:00", "20:00", " ")]}, "names nobody"),
        ({"payments": [shift("8:00", "20:00", "anna")]}, "no time of the day"),
        ({"payments": [{**shift("08:00", "20:00", "anna"), "from": 800}]}, "with quotes"),
        ({"payments": [shift("08:00", "08:00", "anna")]}, "begins when it ends"),
        ({"payments": [shift("24:00", "08:00", "anna")]}, "begins when it ends"),
        ({"payments": [shift("08:00", "20:00", "anna", zone="localtime")]}, "no time zone"),
        ({"payments": [shift("08:00", "20:00", "anna", holidays=["12-25"])]}, "not permitted"),
        ({"Payments": [shift("08:00", "20:00", "anna")]}, "pattern"),
    ],
)
def test_what_is_no_schedule_is_refused(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WRITTEN.validate_python(written)


def test_a_vote_keeps_the_groups_that_it_counted_by() -> None:
    right = rights(replace(ANNA, groups=frozenset()), schedules=ALWAYS, absences=(), now=NOW)[0]
    assert right.holder.groups == {ON_CALL}
