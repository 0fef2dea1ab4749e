"""Who is on call when: `approvals.schedules` of extauthz.yaml.

The rule kept here: a shift names its zone, its hours and its people; a schedule without any would ask nobody.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from extauthz.approval.on_call import Schedules, Shift
from extauthz.approval.persons import person_named
from extauthz.values.block import Block, distinct
from extauthz.values.windows import DAY, DAYS, Span, Window, minute_of, zone_named

MOST_SHIFTS: Final = 500
"""Of a schedule: who is on call is looked up with each vote."""


def _minute(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("must be a time of the day; write `08:30`, with quotes")  # noqa: TRY004 - pydantic's own way
    return minute_of(text)


def _zone(name: str) -> str:
    zone_named(name)
    return name


def _day(text: str) -> str:
    if text not in DAYS:
        raise ValueError(f"`{text[:20]}` is no day of the week; write one of `{'`, `'.join(DAYS)}`")
    return text


def _person(text: str) -> str:
    person = person_named(text)
    if person is None:
        raise ValueError("names nobody; write the person as the claim does that `approvals.persons` names")
    return person


_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
_Minute = Annotated[int, BeforeValidator(_minute)]


class ShiftSettings(Block):
    """`persons` are on call from `from` until `to` by the clock of `zone`, on the `days` on which that begins, on all
    of them without it. Hours that end before they begin go on over midnight."""

    zone: Annotated[str, AfterValidator(_zone)]
    days: Annotated[tuple[Annotated[str, AfterValidator(_day)], ...], Field(min_length=1), AfterValidator(distinct)] = (
        DAYS
    )
    begin: Annotated[_Minute, Field(alias="from")]
    end: Annotated[_Minute, Field(alias="to")]
    persons: Annotated[
        tuple[Annotated[str, AfterValidator(_person)], ...], Field(min_length=1), AfterValidator(distinct)
    ]

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.begin == self.end or self.begin == DAY:
            raise ValueError('begins when it ends; write `from: "00:00"` and `to: "24:00"` for whole days')
        return self

    def shift(self) -> Shift:
        """The shift."""
        days = frozenset(DAYS.index(day) for day in self.days)
        span = Span(days=days, begin=self.begin, end=self.end)
        return Shift(window=Window(zone=zone_named(self.zone), spans=(span,)), persons=frozenset(self.persons))


SchedulesSettings = Mapping[_Name, Annotated[tuple[ShiftSettings, ...], Field(min_length=1, max_length=MOST_SHIFTS)]]


def schedules(settings: SchedulesSettings) -> Schedules:
    """The schedules that these settings describe."""
    return {name: tuple(shift.shift() for shift in shifts) for name, shifts in settings.items()}
