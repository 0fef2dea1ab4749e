"""A store in one SQLite file, shared by all processes of one machine."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from extauthz.errors import ExtauthzError
from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.stepup.lockout import Limit
from extauthz.store import (
    sqlite_audit_heads,
    sqlite_devices,
    sqlite_grants,
    sqlite_habits,
    sqlite_limits,
    sqlite_revocations,
    sqlite_signals,
)
from extauthz.store.audit_heads import AuditHead
from extauthz.store.devices import ListedDevice
from extauthz.store.habits import Habit, about
from extauthz.store.protocol import (
    CLOCK_SKEW,
    SWEEP_SECONDS,
    Activity,
    Advance,
    Changed,
    Consumed,
    EnrolledFactor,
    Enrolment,
    Found,
    Ground,
    Redeemed,
    Redemption,
    Selection,
    SpentTicket,
    Tried,
)
from extauthz.store.revocations import Changes, Revoked
from extauthz.store.signals import Delivered, Delivery
from extauthz.store.sqlite_approving import SqliteApproving
from extauthz.store.sqlite_file import SqliteFile
from extauthz.store.sqlite_rows import (
    begin_change,
    burn,
    factor_of,
    factors_of,
    put_activity,
    put_factors,
    put_reset,
    sweep,
)
from extauthz.values.facts import Question
from extauthz.values.grants import Grant, SessionTimes
from extauthz.values.identity import Subject


class SqliteStore(SqliteApproving):
    """`sqlite:///path`. Implements `store.protocol.Store`.

    Opens the file at once, and makes it if it is not there.

    Raises:
        ConfigurationError: a newer version of this program made the file.
        StateUnavailable: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        # A connection and a thread for each kind of call: a look-up that counts nothing waits for no writer, of this
        # process or another one, nor does who is asked for a proof wait for what nobody waits for.
        writes, reads, aside, self._counts = _opened(path, 4)
        super().__init__(path, writes, reads, aside)
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
        rates = about(questions, "rate")
        if subject is None and not rates:
            return Found()
        if subject is None:
            return Found(answers=await self._count(rates, now))
        found = self._look_up(subject, session, fingerprint, now, questions)
        if not rates:
            return await found
        known, counts = await asyncio.gather(found, self._count(rates, now))
        return replace(known, answers={**known.answers, **counts})

    async def _count(self, rates: Sequence[Question], now: float) -> dict[Question, object]:
        def work(connection: sqlite3.Connection) -> dict[Question, object]:
            return sqlite_habits.count(connection, rates, now)

        return await self._counts.write(work)

    async def _look_up(
        self, subject: Subject, session: str | None, fingerprint: str, now: float, questions: Sequence[Question]
    ) -> Found:
        def work(connection: sqlite3.Connection) -> Found:
            answers = sqlite_habits.answers(connection, subject, questions, now)
            if session is None:
                return Found(answers=answers)
            grants = sqlite_grants.found(connection, subject, session, fingerprint, now)
            times = connection.execute(
                "SELECT started_at, last_seen FROM sessions WHERE subject = ? AND session = ? AND until > ?",
                (subject.key, session, now),
            ).fetchone()
            return Found(
                grants=grants,
                session=None if times is None else SessionTimes(started_at=times[0], last_seen=times[1]),
                answers=answers,
            )

        return await self._reads.read(work)

    async def consume(self, subject: Subject, grants: Sequence[str], *, fingerprint: str, now: float) -> Consumed:
        def work(connection: sqlite3.Connection) -> Consumed:
            self._sweep(connection, now)
            return sqlite_grants.use(connection, subject, grants, fingerprint, now)

        return await self._writes.write(work, keep=bool)

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        def work(connection: sqlite3.Connection) -> Redeemed:
            self._sweep(connection, now)
            revoked = sqlite_revocations.revocations_of(connection, redemption.subject)
            barred = redemption.barred_by(revoked, now)
            refused = barred or burn(connection, redemption.subject, redemption.burn, redemption.ticket)
            if refused is not None:
                return refused
            sqlite_grants.put(connection, redemption.subject, redemption.grants, now)
            sqlite_limits.give_back(connection, redemption.limits, redemption.known_to, now)
            return Redeemed.DONE

        return await self._writes.write(work, keep=lambda redeemed: redeemed is Redeemed.DONE)

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            self._sweep(connection, now)
            connection.execute("DELETE FROM proofs WHERE id = ? AND expires_at <= ?", (proof, now - CLOCK_SKEW))
            first = connection.execute(
                "INSERT OR IGNORE INTO proofs VALUES (?, ?, ?, ?)", (proof, fingerprint, now, expires_at)
            )
            if first.rowcount == 1:
                return True
            again = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM proofs WHERE id = ? AND used_by = ? AND used_by <> '' AND used_at >= ?)",
                (proof, fingerprint, now - REPEAT_SECONDS),
            )
            return bool(again.fetchone()[0])

        return await self._writes.write(work)

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> Tried:
        def work(connection: sqlite3.Connection) -> Tried:
            self._sweep(connection, now)
            return sqlite_limits.attempt(connection, limits, now)

        return await self._writes.write(work, keep=lambda tried: tried.wait == 0)

    async def touch(self, activities: Sequence[Activity]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for activity in activities:
                self._sweep(connection, activity.at)
                put_activity(connection, activity)

        await self._aside.write(work)

    async def note_habits(self, habits: Iterable[Habit]) -> None:
        noted = tuple(habits)

        def work(connection: sqlite3.Connection) -> None:
            for habit in noted[-1:]:
                self._sweep(connection, habit.at)
            sqlite_habits.note(connection, noted)

        await self._aside.write(work)

    async def put_device(self, device: ListedDevice, *, now: float) -> None:
        await self._writes.write(lambda connection: sqlite_devices.put_device(connection, device, now=now))

    async def devices(self, subject: Subject | None, *, now: float) -> tuple[ListedDevice, ...]:
        return await self._reads.read(lambda connection: sqlite_devices.devices(connection, subject, now=now))

    async def put_audit_head(self, head: AuditHead, *, now: float) -> None:
        def work(connection: sqlite3.Connection) -> None:
            sqlite_audit_heads.put_audit_head(connection, head)
            self._sweep(connection, now)

        await self._aside.write(work)

    async def audit_heads(self, *, now: float) -> tuple[AuditHead, ...]:
        return await self._reads.read(lambda connection: sqlite_audit_heads.audit_heads(connection, now=now))

    async def grants(self, selection: Selection, *, now: float) -> tuple[Grant, ...]:
        return await self._reads.read(lambda connection: sqlite_grants.selected(connection, selection, now))

    async def revoke(self, selection: Selection, *, now: float) -> int:
        return await self._writes.write(lambda connection: sqlite_grants.forget(connection, selection, now))

    async def enroll(self, enrolment: Enrolment, *, now: float) -> Changed:
        def work(connection: sqlite3.Connection) -> Changed:
            self._sweep(connection, now)
            refused = begin_change(connection, enrolment.subject, enrolment.ground, enrolment.ticket, now)
            if refused is not None:
                return refused
            had = factors_of(connection, enrolment.subject)
            gone = [factor.id for factor in had if enrolment.drops(factor.kind, factor.confirmed)]
            connection.executemany("DELETE FROM factors WHERE id = ?", [(id_,) for id_ in gone])
            put_factors(connection, enrolment.factors)
            return Changed.DONE

        return await self._writes.write(work, keep=_is_done)

    async def confirm_factor(
        self,
        subject: Subject,
        advance: Advance,
        *,
        now: float,
        ground: Ground | None = None,
        ticket: SpentTicket | None = None,
    ) -> Changed:
        def work(connection: sqlite3.Connection) -> Changed:
            self._sweep(connection, now)
            refused = begin_change(connection, subject, ground, ticket, now)
            if refused is not None:
                return refused
            factor = factor_of(connection, subject, advance.factor)
            if factor is None:
                return Changed.FACTOR_GONE
            if advance.mark <= factor.mark:
                return Changed.MARK_USED
            connection.execute("UPDATE factors SET confirmed = 1, mark = ? WHERE id = ?", (advance.mark, factor.id))
            return Changed.DONE

        return await self._writes.write(work, keep=_is_done)

    async def factors(self, subject: Subject | None) -> tuple[EnrolledFactor, ...]:
        return await self._reads.read(lambda connection: factors_of(connection, subject))

    async def rename_factor(
        self, subject: Subject, factor: str, name: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        def work(connection: sqlite3.Connection) -> Changed:
            refused = begin_change(connection, subject, ground, None, now)
            if refused is not None:
                return refused
            renamed = connection.execute(
                "UPDATE factors SET name = ? WHERE subject = ? AND id = ?", (name, subject.key, factor)
            )
            return Changed.DONE if renamed.rowcount == 1 else Changed.FACTOR_GONE

        return await self._writes.write(work, keep=_is_done)

    async def remove_factor(
        self, subject: Subject, factor: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        def work(connection: sqlite3.Connection) -> Changed:
            refused = begin_change(connection, subject, ground, None, now)
            if refused is not None:
                return refused
            known = factor_of(connection, subject, factor)
            if known is None:
                return Changed.FACTOR_GONE
            if known.counts and sum(one.counts for one in factors_of(connection, subject)) == 1:
                return Changed.LAST
            connection.execute("DELETE FROM factors WHERE id = ?", (factor,))
            return Changed.DONE

        return await self._writes.write(work, keep=_is_done)

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit], *, now: float) -> int:
        def work(connection: sqlite3.Connection) -> int:
            self._sweep(connection, now)
            put_reset(connection, subject, now)
            removed = connection.execute("DELETE FROM factors WHERE subject = ?", (subject.key,)).rowcount
            sqlite_grants.forget_of(connection, subject)
            sqlite_limits.forget(connection, limits)
            return removed

        return await self._writes.write(work)

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        def work(connection: sqlite3.Connection) -> Revoked:
            self._sweep(connection, now)
            return sqlite_revocations.put_revocation(connection, revocation, now=now)

        return await self._writes.write(work)

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        return await self._writes.write(
            lambda connection: sqlite_revocations.withdraw_revocation(connection, key, now=now)
        )

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        return await self._reads.read(lambda connection: sqlite_revocations.revocations(connection, subject, now=now))

    async def revocation_changes(self, since: str | None) -> Changes:
        return await self._reads.read(lambda connection: sqlite_revocations.revocation_changes(connection, since))

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        def work(connection: sqlite3.Connection) -> Delivered:
            self._sweep(connection, now)
            return sqlite_revocations.deliver(connection, delivery, now=now)

        return await self._writes.write(work)

    async def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        return await self._reads.read(lambda connection: sqlite_signals.signals(connection, subject, now=now))

    async def ping(self) -> None:
        # A ticket that nobody has, each time another one: SQLite writes nothing that is there already.
        await self._writes.check(
            lambda connection: connection.execute("INSERT OR REPLACE INTO tickets VALUES ('', abs(random() / 1e12))")
        )

    async def close(self) -> None:
        for one in (self._writes, self._reads, self._aside, self._counts):
            await one.close()
        self._news.close()

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove what no longer changes any answer, every so often, inside of a write that happens anyway."""
        if not self._swept_at <= now < self._swept_at + SWEEP_SECONDS:  # also when the clock was set back
            self._swept_at = now
            sweep(connection, now)
            sqlite_grants.sweep(connection, now)
            sqlite_limits.sweep(connection, now)
            sqlite_habits.sweep(connection, now)
            sqlite_devices.sweep(connection, now)
            sqlite_audit_heads.sweep(connection, now)
            sqlite_revocations.sweep_revocations(connection, now - CLOCK_SKEW)
            self._sweep_approving(connection, now)


def _is_done(changed: Changed) -> bool:
    return changed is Changed.DONE


def _opened(path: Path, times: int) -> list[SqliteFile]:
    """The file, opened so many times, the last time for what need not be durable; not at all if one of them fails."""
    first = SqliteFile(path, durable=times > 1)
    try:
        return [first, *(_opened(path, times - 1) if times > 1 else ())]
    except ExtauthzError:
        first.let_go()
        raise
