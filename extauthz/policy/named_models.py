"""What a `kind: Definitions` document says of windows of time, holidays and lists of addresses, checked one by one.

Names that are used, and what must be unique, are checked by `naming`.
"""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from extauthz.risk.addresses import parse_entry
from extauthz.values import block as blocks
from extauthz.values.windows import DAY, DAYS, Holidays, minute_of, zone_named

MOST_SPANS: Final = 100
MOST_HOLIDAYS: Final = 2_000
MOST_ENTRIES: Final = 1_000
"""Of a list of addresses in a document; longer ones are files that the configuration names."""
_CLOCK: Final = r"^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_HOLIDAY: Final = r"^(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2}$"


def _minute(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("must be a time of the day; write `08:30`")  # noqa: TRY004 - what pydantic expects
    return minute_of(text)


def _zone(name: str) -> str:
    zone_named(name)
    return name


def _holiday(text: str) -> str:
    Holidays.of(text)
    return text


def _network(text: str) -> str:
    parse_entry(text)
    return text


def _day(text: str) -> str:
    if text not in DAYS:
        raise ValueError(f"`{text[:20]}` is no day of the week; write one of `{'`, `'.join(DAYS)}`")
    return text


Minute = Annotated[
    int, BeforeValidator(_minute), WithJsonSchema({"type": "string", "pattern": _CLOCK, "examples": ["08:30"]})
]
Day = Annotated[str, AfterValidator(_day), WithJsonSchema({"type": "string", "enum": list(DAYS)})]
Holiday = Annotated[str, AfterValidator(_holiday), WithJsonSchema({"type": "string", "pattern": _HOLIDAY})]
HolidayList = Annotated[list[Holiday], Field(min_length=1, max_length=MOST_HOLIDAYS)]
AddressList = Annotated[list[Annotated[str, AfterValidator(_network)]], Field(min_length=1, max_length=MOST_ENTRIES)]


class _Block(blocks.Block):
    model_config = ConfigDict(strict=True, validate_by_alias=True, validate_by_name=False)


class HoursModel(_Block):
    """Hours of a day."""

    days: Annotated[list[Day], Field(min_length=1)] | None = None
    """The days of the week on which they begin. Every day without it."""
    begin: Annotated[Minute, Field(alias="from")]
    """When they begin: `08:30`."""
    end: Annotated[Minute, Field(alias="to")]
    """The first minute that is not in them; `24:00` is the end of the day. With one that is earlier than `from` they go
    on over midnight."""

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.begin == self.end or self.begin == DAY:
            raise ValueError('begins when it ends; write `from: "00:00"` and `to: "24:00"` for whole days')
        return self


class WindowModel(_Block):
    """Hours by the clock of a time zone, not on the days of lists of holidays."""

    zone: Annotated[str, AfterValidator(_zone)]
    """The time zone of the clock, by its IANA name: `Europe/Berlin`, `UTC`."""
    hours: Annotated[list[HoursModel], Field(min_length=1, max_length=MOST_SPANS)]
    """When the window is open: at most 100 spans of hours, in any one of which it is."""
    holidays: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of lists under `holidays` of any document: on their days no hours begin."""
