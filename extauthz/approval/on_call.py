"""Who is on call: weekly shifts by the clock on the wall of a place, and who stands in for whom.

The rule: on call is who a shift names while its window is open (`values.windows`), and nobody else. Who is absent has
given their turn away: the right is still theirs, and the delegate uses it in their place.
"""

from collections.abc import Iterable, Mapping

import msgspec

from extauthz.values.approvals import ON_CALL, Absence, Approver
from extauthz.values.windows import Window


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Those who are on call, as persons, while the window is open."""

    window: Window
    persons: frozenset[str]


Schedules = Mapping[str, tuple[Shift, ...]]
"""Shifts by the name of their schedule."""


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """The right to answer: of `holder`, with all groups of this moment; `own` is whether by their own hand."""

    holder: Approver
    own: bool


def on_call(schedules: Schedules, now: float) -> Mapping[str, frozenset[str]]:
    """The persons who are on call at `now` (seconds since the epoch), by the name of the schedule."""
    moment = int(now // 1)
    return {
        name: frozenset[str]().union(*(shift.persons for shift in shifts if shift.window.covers(moment)))
        for name, shifts in schedules.items()
    }


def groups_on_call(schedules: Schedules, person: str, now: float) -> frozenset[str]:
    """The groups that this person is in by being on call at `now`."""
    return frozenset(ON_CALL + name for name, persons in on_call(schedules, now).items() if person in persons)


def rights(approver: Approver, *, schedules: Schedules, absences: Iterable[Absence], now: float) -> tuple[Right, ...]:
    """The rights that this approver may answer by at `now`, their own first, then those of people they stand in for.

    Nobody hands on what was handed to them, and nobody brings a group of those on call along.
    """
    away = [absence for absence in absences if absence.since <= now < absence.until]
    is_away = any(absence.absent.person == approver.person for absence in away)
    own = frozenset[str]() if is_away else groups_on_call(schedules, approver.person, now)
    found = [Right(holder=_in_groups(approver, own), own=True)]
    found += [
        Right(holder=_in_groups(absence.absent, groups_on_call(schedules, absence.absent.person, now)), own=False)
        for absence in sorted(away, key=lambda absence: (absence.since, absence.id))
        if absence.delegate == approver.person and absence.absent.person != approver.person
    ]
    return tuple(found)


def _in_groups(approver: Approver, by_schedule: frozenset[str]) -> Approver:
    by_issuer = frozenset(group for group in approver.groups if not group.startswith(ON_CALL))
    return msgspec.structs.replace(approver, groups=by_issuer | by_schedule)
