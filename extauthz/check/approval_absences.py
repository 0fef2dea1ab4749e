"""Who is away, and who answers in their place: what approvers say of themselves, and nobody of anybody else."""

from dataclasses import dataclass
from typing import Final, Literal

from extauthz.approval.persons import person_named
from extauthz.check.approvals import Approvals
from extauthz.values.approvals import Absence, Approver

ABSENCE_ID_BYTES: Final = 16
LONGEST_ABSENCE: Final = 60 * 86_400.0
"""Seconds from when it is entered until it ends, whenever it begins: the delegate answers by the groups that the absent
one had then."""
MOST_OF_ONE: Final = 20
"""Absences of one person: all that are not over are read whenever somebody answers."""
LONGEST_NOTE: Final = 500
"""Characters."""

AbsenceRefusal = Literal["no-time", "too-long", "names-nobody", "names-yourself", "note-too-long", "too-many"]
"""`no-time`: it is over before it begins, or is over already. `names-nobody`: the delegate has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """What is asynchronous raises `StateUnavailable`. Times are seconds since the epoch."""

    approvals: Approvals

    async def put(
        self, approver: Approver, *, since: float, until: float, delegate: str | None, note: str = ""
    ) -> Absence | AbsenceRefusal:
        """The approver is away from `since` until `until`; `delegate` is a person as `approvals.persons` names them."""
        now = self.approvals.clock()
        if not max(since, now) < until:
            return "no-time"
        if until - now > LONGEST_ABSENCE:
            return "too-long"
        if len(note) > LONGEST_NOTE:
            return "note-too-long"
        person = None if delegate is None else person_named(delegate)
        if delegate is not None and person is None:
            return "names-nobody"
        if person == approver.person:
            return "names-yourself"
        absence = Absence(
            id=self.approvals.entropy(ABSENCE_ID_BYTES).hex(),
            absent=approver,
            since=since,
            until=until,
            delegate=person,
            note=note.strip(),
            made_at=now,
        )
        if not await self.approvals.store.put_absence(absence, now=now):
            return "too-many"
        # Counted once it is there: of many that come at the same time each sees the others.
        if len(await self._own(approver, now)) > MOST_OF_ONE:
            await self.approvals.store.end_absence(absence.id, now=now)
            return "too-many"
        return absence

    async def end(self, approver: Approver, id_: str) -> bool:
        """The approver is back; false if there is no such absence of theirs."""
        now = self.approvals.clock()
        own = await self._own(approver, now)
        return id_ in own and await self.approvals.store.end_absence(id_, now=now)

    async def concerning(self, approver: Approver) -> tuple[Absence, ...]:
        """Those of the approver, and those for which they stand in, that are not over."""
        found = await self.approvals.absences(self.approvals.clock())
        return tuple(one for one in found if approver.person in (one.absent.person, one.delegate))

    async def _own(self, approver: Approver, now: float) -> list[str]:
        """The ids of those of this person that are not over."""
        return [one.id for one in await self.approvals.store.absences(now=now) if one.absent.person == approver.person]
