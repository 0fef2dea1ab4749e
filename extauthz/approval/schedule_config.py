"""Who is on call when: `approvals.schedules` of extauthz.yaml.

The rule kept here: a shift names its zone, its hours and its people; a schedule without any would ask nobody.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

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
_WRITTEN: Final = WithJsonSchema({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$", "examples": ["08:30"]})
_Minute = Annotated[int, BeforeValidator(_minute), _WRITTEN]


class ShiftSettings(Block):
    """Who is on call from one time of the day until another."""

    zone: Annotated[str, AfterValidator(_zone)]
    """The time zone of the hours, as `Europe/Berlin`."""
    days: Annotated[tuple[Annotated[str, AfterValidator(_day)], ...], Field(min_length=1), AfterValidator(distinct)] = (
        DAYS
    )
    """The days on which the shift begins. Without it all of them."""
    begin: Annotated[_Minute, Field(alias="from")]
    """When it begins, as `08:00`, in quotes."""
    end: Annotated[_Minute, Field(alias="to")]
    """When it ends, as `18:00`, in quotes. A shift that ends before it begins goes on over midnight."""
    persons: Annotated[
        tuple[Annotated[str, AfterValidator(_person)], ...], Field(min_length=1), AfterValidator(distinct)
    ]
    """Who is on call, as the claim of `approvals.persons` names them."""

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
