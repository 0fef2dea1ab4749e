"""A store in the memory of one process: for tests, trials and a single worker that may forget on a restart.

The rule: no method waits while it holds the lock, so each is atomic, from any thread and any event loop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

import msgspec

from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.stepup.lockout import Limit
from extauthz.store.audit_heads import AuditHead
from extauthz.store.devices import ListedDevice
from extauthz.store.habits import Habit
from extauthz.store.memory_approving import MemoryApproving
from extauthz.store.memory_audit_heads import MemoryAuditHeads
from extauthz.store.memory_devices import MemoryDevices
from extauthz.store.memory_habits import MemoryHabits
from extauthz.store.memory_limits import MemoryLimits
from extauthz.store.protocol import (
    CLOCK_SKEW,
    RESET_SECONDS,
    SWEEP_SECONDS,
    Activity,
    Advance,
    Burn,
    Changed,
    Consumed,
    EnrolledFactor,
    Enrolment,
    Found,
    Ground,
    Presence,
    Redeemed,
    Redemption,
    Selection,
    SpentTicket,
    Tried,
    UseUp,
)
from extauthz.store.revocations import Changes, Revoked
from extauthz.store.signals import Delivered, Delivery
from extauthz.values.facts import Question
from extauthz.values.grants import Grant, SessionTimes
from extauthz.values.identity import Subject


class _UsedProof(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    at: float
    expires_at: float


class _Session(msgspec.Struct, frozen=True, kw_only=True):
    times: SessionTimes
    until: float


class MemoryStore(MemoryApproving):
    """`memory:`. Implements `store.protocol.Store`."""

    def __init__(self) -> None:
        super().__init__()
        self._tickets: dict[str, float] = {}
        self._proofs: dict[str, _UsedProof] = {}
        self._factors: dict[str, EnrolledFactor] = {}
        self._resets: dict[Subject, float] = {}
        self._limits = MemoryLimits()
        self._sessions: dict[tuple[Subject, str], _Session] = {}
        self._habits = MemoryHabits()
        self._devices = MemoryDevices()
        self._audit_heads = MemoryAuditHeads()
        self._swept_at = 0.0

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        with self._lock:
            self._check_open()
            answers = self._habits.answers(subject, questions, now)
            if subject is None or session is None:
                return Found(answers=answers)
            known = self._sessions.get((subject, session))
            times = known.times if known is not None and known.until > now else None
            found = self._grants.found(subject, session, fingerprint, now)
            return Found(grants=found, session=times, answers=answers)

    async def consume(self, subject: Subject, grants: Sequence[str], *, fingerprint: str, now: float) -> Consumed:
        with self._lock:
            self._check_open()
            used = self._grants.use(subject, grants, fingerprint, now)
            self._sweep(now)
            return used

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        with self._lock:
            self._check_open()
            barred = redemption.barred_by(self._revocations.listed(redemption.subject, now=now), now)
            refused = barred or self._burn(redemption.subject, redemption.burn, redemption.ticket)
            if refused is not None:
                return refused
            self._grants.put(redemption.subject, redemption.grants, now)
            self._limits.give_back(redemption.limits, redemption.known_to, now)
            self._sweep(now)
            return Redeemed.DONE

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        with self._lock:
            self._check_open()
            used = self._proofs.get(proof)
            if used is not None and used.expires_at + CLOCK_SKEW > now:
                return fingerprint != "" and used.by == fingerprint and now - used.at <= REPEAT_SECONDS
            self._proofs[proof] = _UsedProof(by=fingerprint, at=now, expires_at=expires_at)
            self._sweep(now)
            return True

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> Tried:
        with self._lock:
            self._check_open()
            tried = self._limits.attempt(limits, now)
            self._sweep(now)
            return tried

    async def touch(self, activities: Sequence[Activity]) -> None:
        with self._lock:
            self._check_open()
            for one in activities:
                known = self._sessions.get((one.subject, one.session))
                started, seen, until = one.at, one.at, one.until
                if known is not None and known.until > one.at:
                    started = known.times.started_at
                    seen, until = max(seen, known.times.last_seen), max(until, known.until)
                times = SessionTimes(started_at=started, last_seen=seen)
                self._sessions[one.subject, one.session] = _Session(times=times, until=until)
                self._sweep(one.at)

    async def note_habits(self, habits: Iterable[Habit]) -> None:
        noted = tuple(habits)
        with self._lock:
            self._check_open()
            self._habits.note(noted)
            for habit in noted[-1:]:
                self._sweep(habit.at)

    async def put_device(self, device: ListedDevice, *, now: float) -> None:
        with self._lock:
            self._check_open()
            self._devices.put(device, now)
            self._sweep(now)

    async def devices(self, subject: Subject | None, *, now: float) -> tuple[ListedDevice, ...]:
        with self._lock:
            self._check_open()
            return self._devices.listed(subject, now)

    async def put_audit_head(self, head: AuditHead, *, now: float) -> None:
        with self._lock:
            self._check_open()
            self._audit_heads.put(head)
            self._sweep(now)

    async def audit_heads(self, *, now: float) -> tuple[AuditHead, ...]:
        with self._lock:
            self._check_open()
            return self._audit_heads.listed(now)

    async def grants(self, selection: Selection, *, now: float) -> tuple[Grant, ...]:
        with self._lock:
            self._check_open()
            return self._grants.selected(selection, now)

    async def revoke(self, selection: Selection, *, now: float) -> int:
        with self._lock:
            self._check_open()
            return self._grants.forget(selection, now)

    async def enroll(self, enrolment: Enrolment, *, now: float) -> Changed:
        with self._lock:
            self._check_open()
            refused = self._refusal(enrolment.subject, enrolment.ground, enrolment.ticket, now)
            if refused is not None:
                return refused
            self._spend(enrolment.ticket)
            for factor in self._factors_of(enrolment.subject):
                if enrolment.drops(factor.kind, factor.confirmed):
                    del self._factors[factor.id]
            self._factors |= {factor.id: factor for factor in enrolment.factors}
            self._sweep(now)
            return Changed.DONE

    async def confirm_factor(
        self,
        subject: Subject,
        advance: Advance,
        *,
        now: float,
        ground: Ground | None = None,
        ticket: SpentTicket | None = None,
    ) -> Changed:
        with self._lock:
            self._check_open()
            refused = self._refusal(subject, ground, ticket, now)
            if refused is not None:
                return refused
            factor = self._factor(subject, advance.factor)
            if factor is None:
                return Changed.FACTOR_GONE
            if advance.mark <= factor.mark:
                return Changed.MARK_USED
            self._factors[factor.id] = replace(factor, mark=advance.mark, confirmed=True)
            self._spend(ticket)
            self._sweep(now)
            return Changed.DONE

    async def factors(self, subject: Subject | None) -> tuple[EnrolledFactor, ...]:
        with self._lock:
            self._check_open()
            found = (factor for factor in self._factors.values() if subject in (None, factor.subject))
            return tuple(sorted(found, key=lambda factor: (factor.created_at, factor.id)))

    async def rename_factor(
        self, subject: Subject, factor: str, name: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        with self._lock:
            self._check_open()
            refused = self._refusal(subject, ground, None, now)
            if refused is not None:
                return refused
            known = self._factor(subject, factor)
            if known is None:
                return Changed.FACTOR_GONE
            self._factors[factor] = replace(known, name=name)
            return Changed.DONE

    async def remove_factor(
        self, subject: Subject, factor: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        with self._lock:
            self._check_open()
            refused = self._refusal(subject, ground, None, now)
            if refused is not None:
                return refused
            known = self._factor(subject, factor)
            if known is None:
                return Changed.FACTOR_GONE
            if known.counts and sum(one.counts for one in self._factors_of(subject)) == 1:
                return Changed.LAST
            del self._factors[factor]
            return Changed.DONE

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit], *, now: float) -> int:
        with self._lock:
            self._check_open()
            gone = self._factors_of(subject)
            for factor in gone:
                del self._factors[factor.id]
            self._resets[subject] = max(now, self._resets.get(subject, now))
            self._grants.forget(Selection(subject=subject), now)
            self._limits.forget(limits)
            self._sweep(now)
            return len(gone)

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        with self._lock:
            self._check_open()
            revoked = self._put_revocation(revocation, now)
            self._sweep(now)
            return revoked

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        with self._lock:
            self._check_open()
            return self._revocations.withdraw(key, now=now)

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        with self._lock:
            self._check_open()
            return self._revocations.listed(subject, now=now)

    async def revocation_changes(self, since: str | None) -> Changes:
        with self._lock:
            self._check_open()
            return self._revocations.changes(since)

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        with self._lock:
            self._check_open()
            if delivery.receipt is not None:
                received = self._revocations.receive(delivery.receipt)
                if received is not Delivered.DONE:
                    return received
            for revocation in delivery.revocations:
                self._put_revocation(revocation, now)
            for subject in delivery.voids:
                self._grants.forget(Selection(subject=subject), now)
            self._revocations.signal(delivery.signals, now=now)
            self._sweep(now)
            return Delivered.DONE

    async def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        with self._lock:
            self._check_open()
            return self._revocations.signals(subject, now=now)

    async def ping(self) -> None:
        with self._lock:
            self._check_open()

    async def close(self) -> None:
        with self._lock:
            self._closed = True
        self._news.close()

    def _put_revocation(self, revocation: Revocation, now: float) -> Revoked:
        kept = self._revocations.put(revocation, now=now)
        gone = 0
        if kept.voids_grants:
            gone = self._grants.forget(Selection(subject=kept.subject, session=kept.session), now)
        return Revoked(revocation=kept, grants=gone)

    def _factor(self, subject: Subject, factor: str) -> EnrolledFactor | None:
        known = self._factors.get(factor)
        return known if known is not None and known.subject == subject else None

    def _factors_of(self, subject: Subject) -> list[EnrolledFactor]:
        return [factor for factor in self._factors.values() if factor.subject == subject]

    def _refusal(
        self, subject: Subject, ground: Ground | None, ticket: SpentTicket | None, now: float
    ) -> Changed | None:
        """What stands against any change with this ticket that rests on this ground."""
        if ticket is not None and ticket.id in self._tickets:
            return Changed.TICKET_USED
        if ground is None:
            return None
        reset_at = self._resets.get(subject)
        if reset_at is not None and ground.laid_at <= reset_at:
            return Changed.GROUND_GONE
        if ground.is_ended_by(subject, self._revocations.listed(subject, now=now), now):
            return Changed.GROUND_GONE
        if not ground.factor:
            return Changed.NOT_FIRST if any(factor.counts for factor in self._factors_of(subject)) else None
        rests_on = self._factor(subject, ground.factor)
        return None if rests_on is not None and rests_on.confirmed else Changed.GROUND_GONE

    def _burn(self, subject: Subject, burn: Burn | None, ticket: SpentTicket | None) -> Redeemed | None:
        """Burn all of it, or say what stands against it."""
        if ticket is not None and ticket.id in self._tickets:
            return Redeemed.TICKET_USED
        if burn is not None:
            factor = self._factor(subject, burn.factor)
            if factor is None or not factor.confirmed:
                return Redeemed.FACTOR_GONE
            match burn:
                case Advance():
                    if burn.mark <= factor.mark:
                        return Redeemed.MARK_USED
                    self._factors[factor.id] = replace(factor, mark=burn.mark)
                case UseUp():
                    del self._factors[factor.id]
                case Presence():
                    pass
                case _:
                    assert_never(burn)
        self._spend(ticket)
        return None

    def _spend(self, ticket: SpentTicket | None) -> None:
        if ticket is not None:
            self._tickets[ticket.id] = ticket.expires_at

    def _sweep(self, now: float) -> None:
        """Forget what no longer changes any answer, every so often; called by whatever writes."""
        if self._swept_at <= now < self._swept_at + SWEEP_SECONDS:  # not when the clock was set back
            return
        self._swept_at = now
        self._grants.sweep(now)
        self._tickets = {id_: end for id_, end in self._tickets.items() if end + CLOCK_SKEW > now}
        self._proofs = {id_: used for id_, used in self._proofs.items() if used.expires_at + CLOCK_SKEW > now}
        self._resets = {subject: at for subject, at in self._resets.items() if at + RESET_SECONDS > now}
        self._limits.sweep(now)
        self._sessions = {key: session for key, session in self._sessions.items() if session.until > now}
        self._habits.sweep(now)
        self._devices.sweep(now)
        self._audit_heads.sweep(now)
        self._revocations.sweep(now - CLOCK_SKEW)
        self._sweep_approving(now)
