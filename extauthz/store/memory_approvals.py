"""Approvals and absences in the memory of one process. Whoever calls holds the lock of the store."""

from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import TypeVar

import msgspec

from extauthz.store.approval_rows import (
    HAS_A_PLACE,
    age,
    denies_until,
    from_mark,
    has_key_until,
    is_wanted,
    kept_until,
    mark_of,
)
from extauthz.store.approvals import MOST_ABSENCES, MOST_FINAL, ApprovalPage, ApprovalQuery
from extauthz.values.approvals import Absence, Approval
from extauthz.values.identity import Subject

_K = TypeVar("_K")


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    approval: Approval
    until: float


class MemoryApprovals:
    """The approvals by id, which is the newest of each key, and the absences."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._newest: dict[str, str] = {}
        self._of: dict[Subject, set[str]] = {}
        self._alike: dict[str, set[str]] = {}
        self._absences: dict[str, Absence] = {}

    def with_key(self, key: str, *, good: Collection[str], now: float) -> Approval | None:
        """The approval that has this key, by itself or by its grant, which is one of the `good`."""
        kept = self._kept.get(self._newest.get(key, ""))
        if kept is None:
            return None
        approval = kept.approval
        has_it = has_key_until(approval) > now or (approval.state == "approved" and approval.id in good)
        return approval if has_it else None

    def denial(self, alike: str, now: float) -> Approval | None:
        """One of those that are alike which is in its cooldown."""
        return next((one for one in self._approvals(self._alike.get(alike)) if denies_until(one) > now), None)

    def open_of(self, subject: Subject, now: float) -> int:
        """How many of this subject have a place."""
        return sum(_has_place(one, now) for one in self._approvals(self._of.get(subject)))

    def open_alike(self, alike: str, now: float) -> int:
        """How many of those that are alike have a place."""
        return sum(_has_place(one, now) for one in self._approvals(self._alike.get(alike)))

    def put(self, approval: Approval, keep: float, now: float) -> None:
        """Keep it, in the place of the one with its id."""
        if approval.id not in self._kept:
            self._newest[approval.key] = approval.id
            self._of.setdefault(approval.subject, set()).add(approval.id)
            self._alike.setdefault(approval.alike, set()).add(approval.id)
        self._kept[approval.id] = _Kept(approval=approval, until=kept_until(approval, keep))
        over = [self._kept[one.id] for one in self._approvals(self._of[approval.subject]) if one.state != "pending"]
        if len(over) > MOST_FINAL:
            over.sort(key=lambda kept: (is_wanted(kept.approval, now), kept.until, kept.approval.id))
            self._forget(over[: len(over) - MOST_FINAL])

    def found(self, id_: str) -> Approval | None:
        """The one with this id."""
        kept = self._kept.get(id_)
        return None if kept is None else kept.approval

    def page(self, query: ApprovalQuery, most: int, before: str) -> ApprovalPage:
        """As `ApprovalStore.approvals`."""
        begins = from_mark(before)
        meant = (kept.approval for kept in self._kept.values() if query.includes(kept.approval))
        found = sorted((approval for approval in meant if age(approval) < begins), key=age, reverse=True)
        return ApprovalPage(approvals=tuple(found[:most]), next=mark_of(found[most - 1]) if len(found) > most else "")

    def due(self, most: int, now: float) -> tuple[Approval, ...]:
        """As `ApprovalStore.due_approvals`."""
        pending = (kept.approval for kept in self._kept.values() if kept.approval.state == "pending")
        due = [(inf if one.due_at is None else one.due_at, one.id, one) for one in pending]
        return tuple(one for at, _, one in sorted(due, key=lambda entry: entry[:2])[:most] if at <= now)

    def put_absence(self, absence: Absence, now: float) -> bool:
        """As `ApprovalStore.put_absence`."""
        self._absences = {id_: one for id_, one in self._absences.items() if one.until > now}
        if absence.id not in self._absences and len(self._absences) >= MOST_ABSENCES:
            return False
        self._absences[absence.id] = absence
        return True

    def end_absence(self, id_: str, now: float) -> bool:
        """As `ApprovalStore.end_absence`."""
        ended = self._absences.pop(id_, None)
        return ended is not None and ended.until > now

    def absences(self, now: float) -> tuple[Absence, ...]:
        """As `ApprovalStore.absences`."""
        found = (absence for absence in self._absences.values() if absence.until > now)
        return tuple(sorted(found, key=lambda absence: (absence.since, absence.id)))

    def sweep(self, now: float) -> None:
        """Forget what is kept no longer."""
        self._forget([kept for kept in self._kept.values() if kept.until <= now])

    def _approvals(self, ids: Iterable[str] | None) -> Iterable[Approval]:
        return (self._kept[id_].approval for id_ in ids or ())

    def _forget(self, gone: Sequence[_Kept]) -> None:
        for kept in gone:
            approval = kept.approval
            del self._kept[approval.id]
            _drop(self._of, approval.subject, approval.id)
            _drop(self._alike, approval.alike, approval.id)
            if self._newest.get(approval.key) == approval.id:
                del self._newest[approval.key]


def _has_place(approval: Approval, now: float) -> bool:
    return approval.state in HAS_A_PLACE and approval.expires_at > now


def _drop(ids: dict[_K, set[str]], key: _K, id_: str) -> None:
    ids[key].discard(id_)
    if not ids[key]:
        del ids[key]
