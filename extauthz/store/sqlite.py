"""A store in one SQLite file, shared by all processes of one machine.

The rules: every write is one `BEGIN IMMEDIATE` transaction, on disk before it is reported (`synchronous=FULL`). The
connection belongs to one thread of its own, so that callers await it. A file that vanished is an outage, never a
reason to begin an empty one: that would make burned codes good again.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from extauthz.errors import ExtauthzError, StateUnavailable
from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.stepup.lockout import FRESH, Limit, Tally, count, give_back
from extauthz.store import sqlite_revocations
from extauthz.store.protocol import (
    CLOCK_SKEW,
    SWEEP_SECONDS,
    Redeemed,
    Redemption,
    TotpFactor,
    TotpStep,
)
from extauthz.store.revocations import Changes, Revoked
from extauthz.store.schema import migrate
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

BUSY_SECONDS: Final = 2.0
"""How long another process's transaction is waited for."""

_T = TypeVar("_T")
_Work = Callable[[sqlite3.Connection], _T]


class SqliteStore:
    """`sqlite:///path`. Implements `store.protocol.Store`.

    Opens the file at once, and makes it if it is not there.

    Raises:
        ConfigurationError: a newer version of this program made the file.
        StateUnavailable: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._sweep_at = 0.0
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="extauthz-store")
        try:
            self._executor.submit(self._guarded, lambda: self._open(create=True)).result()
        except ExtauthzError:
            self._executor.shutdown(wait=False)
            raise

    async def grants(self, subject: Subject, session: str, *, fingerprint: str, now: float) -> tuple[Grant, ...]:
        def work(connection: sqlite3.Connection) -> tuple[Grant, ...]:
            rows = connection.execute(
                """SELECT id, session, holder, binding, factor, issued_at, expires_at,
                          CASE uses WHEN 0 THEN 1 ELSE uses END
                   FROM grants WHERE subject = ?1 AND session = ?2 AND expires_at > ?3 AND (
                       uses IS NULL OR uses > 0 OR EXISTS (
                           SELECT 1 FROM spent WHERE grant_id = id AND fingerprint = ?4 AND spent_at >= ?5))
                   ORDER BY issued_at, id""",
                (subject.key, session, now, fingerprint, now - REPEAT_SECONDS),
            )
            return tuple(
                Grant(
                    id=id_,
                    subject=subject,
                    session=of_session,
                    holder=holder,
                    binding=binding,
                    factor=factor,
                    issued_at=issued_at,
                    expires_at=expires_at,
                    uses=uses,
                )
                for id_, of_session, holder, binding, factor, issued_at, expires_at, uses in rows
            )

        return await self._read(work)

    async def consume(self, grants: Sequence[str], *, fingerprint: str, now: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            self._sweep(connection, now)
            for id_ in dict.fromkeys(grants):
                row = connection.execute(
                    """SELECT uses, EXISTS (
                           SELECT 1 FROM spent WHERE grant_id = id AND fingerprint = ?2 AND spent_at >= ?3)
                       FROM grants WHERE id = ?1 AND expires_at > ?4""",
                    (id_, fingerprint, now - REPEAT_SECONDS, now),
                ).fetchone()
                if row is None:
                    return False
                uses, repeated = row
                if uses is None or repeated:
                    continue
                if uses == 0:
                    return False
                connection.execute("UPDATE grants SET uses = uses - 1 WHERE id = ?", (id_,))
                if fingerprint:
                    connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", (id_, fingerprint, now))
            return True

        return await self._write(work, keep=bool)

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        def work(connection: sqlite3.Connection) -> Redeemed:
            self._sweep(connection, now)
            refused = _burn(connection, redemption)
            if refused is not None:
                return refused
            connection.executemany(
                "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        grant.id,
                        grant.subject.key,
                        grant.session,
                        grant.holder,
                        grant.binding,
                        grant.factor,
                        grant.issued_at,
                        grant.expires_at,
                        grant.uses,
                    )
                    for grant in redemption.grants
                ],
            )
            for limit in redemption.limits:
                _put_tally(connection, limit, give_back(_tally(connection, limit), limit, now))
            return Redeemed.DONE

        return await self._write(work, keep=lambda redeemed: redeemed is Redeemed.DONE)

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            self._sweep(connection, now)
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

        return await self._write(work)

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> float:
        def work(connection: sqlite3.Connection) -> float:
            self._sweep(connection, now)
            tallies = [(limit, _tally(connection, limit)) for limit in limits]
            locked_until = max((tally.locked_until for _, tally in tallies), default=now)
            if locked_until > now:
                return locked_until - now
            for limit, tally in tallies:
                _put_tally(connection, limit, count(tally, limit, now))
            return 0.0

        return await self._write(work, keep=lambda wait: wait == 0)

    async def add_factor(self, factor: TotpFactor) -> None:
        row = (
            factor.id,
            factor.subject.key,
            factor.sealed,
            factor.created_at,
            int(factor.confirmed),
            factor.last_step,
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO totp VALUES (?, ?, ?, ?, ?, ?)", row)

        await self._write(work)

    async def confirm_factor(self, step: TotpStep) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE totp SET confirmed = 1, last_step = ?1 WHERE id = ?2 AND last_step < ?1",
                (step.step, step.factor),
            )
            return changed.rowcount == 1

        return await self._write(work)

    async def factors(self, subject: Subject | None) -> tuple[TotpFactor, ...]:
        def work(connection: sqlite3.Connection) -> tuple[TotpFactor, ...]:
            rows = connection.execute(
                """SELECT id, subject, sealed, created_at, confirmed, last_step FROM totp
                   WHERE ?1 IS NULL OR subject = ?1 ORDER BY created_at, id""",
                (None if subject is None else subject.key,),
            )
            return tuple(
                TotpFactor(
                    id=id_,
                    subject=Subject(*json.loads(key)),
                    sealed=sealed,
                    created_at=created_at,
                    confirmed=bool(confirmed),
                    last_step=last_step,
                )
                for id_, key, sealed, created_at, confirmed, last_step in rows
            )

        return await self._read(work)

    async def remove_factor(self, factor: str) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM totp WHERE id = ?", (factor,)).rowcount == 1

        return await self._write(work)

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit]) -> int:
        def work(connection: sqlite3.Connection) -> int:
            removed = connection.execute("DELETE FROM totp WHERE subject = ?", (subject.key,)).rowcount
            connection.execute("DELETE FROM grants WHERE subject = ?", (subject.key,))
            connection.executemany("DELETE FROM tallies WHERE key = ?", [(limit.key,) for limit in limits])
            return removed

        return await self._write(work)

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        def work(connection: sqlite3.Connection) -> Revoked:
            self._sweep(connection, now)
            return sqlite_revocations.put_revocation(connection, revocation, now=now)

        return await self._write(work)

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        return await self._write(lambda connection: sqlite_revocations.withdraw_revocation(connection, key, now=now))

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        return await self._read(lambda connection: sqlite_revocations.revocations(connection, subject, now=now))

    async def revocation_changes(self, since: str | None) -> Changes:
        return await self._read(lambda connection: sqlite_revocations.revocation_changes(connection, since))

    async def ping(self) -> None:
        await self._write(lambda connection: connection.execute("DELETE FROM tickets WHERE expires_at < 0"))

    async def close(self) -> None:
        try:
            closing = self._executor.submit(self._close)
        except RuntimeError:
            return  # closed already
        self._executor.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    async def _read(self, work: _Work[_T]) -> _T:
        return await self._run(lambda: work(self._connected()))

    async def _write(self, work: _Work[_T], *, keep: Callable[[_T], bool] = lambda _: True) -> _T:
        """One transaction, committed if `keep` says so of its result, else undone."""

        def transaction() -> _T:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT" if keep(result) else "ROLLBACK")
            except BaseException:
                # A full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return await self._run(transaction)

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            running: Future[_T] = self._executor.submit(self._guarded, work)
        except RuntimeError as error:
            raise StateUnavailable(f"store: {self._path}: it is closed") from error
        return await asyncio.wrap_future(running)

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            raise StateUnavailable(f"store: {self._path}: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection is not None and self._identity() != self._file:
            self._close()
        return self._connection if self._connection is not None else self._open(create=False)

    def _identity(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _open(self, *, create: bool) -> sqlite3.Connection:
        if create:
            self._path.touch(mode=0o600)  # SQLite gives its journals the mode of the file
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, self._identity()
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove what no longer changes any answer, every so often, inside of a write that happens anyway."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECONDS
        connection.execute("DELETE FROM grants WHERE expires_at <= ?", (now,))
        connection.execute("DELETE FROM spent WHERE spent_at < ?", (now - REPEAT_SECONDS,))
        connection.execute("DELETE FROM tickets WHERE expires_at + ? <= ?", (CLOCK_SKEW, now))
        connection.execute("DELETE FROM proofs WHERE expires_at <= ?", (now - CLOCK_SKEW,))
        connection.execute("DELETE FROM tallies WHERE forgotten_at <= ?", (now,))
        sqlite_revocations.sweep_revocations(connection, now - CLOCK_SKEW)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. SQLite's own wait for locks does not cover this one statement."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _burn(connection: sqlite3.Connection, redemption: Redemption) -> Redeemed | None:
    """Burn ticket and step; what stands against it otherwise."""
    ticket, step = redemption.ticket, redemption.step
    if ticket is not None:
        burned = connection.execute("INSERT OR IGNORE INTO tickets VALUES (?, ?)", (ticket.id, ticket.expires_at))
        if burned.rowcount == 0:
            return Redeemed.TICKET_USED
    factor = connection.execute("SELECT confirmed, last_step FROM totp WHERE id = ?", (step.factor,)).fetchone()
    if factor is None or not factor[0]:
        return Redeemed.FACTOR_GONE
    if step.step <= factor[1]:
        return Redeemed.STEP_USED
    connection.execute("UPDATE totp SET last_step = ? WHERE id = ?", (step.step, step.factor))
    return None


def _tally(connection: sqlite3.Connection, limit: Limit) -> Tally:
    row = connection.execute(
        "SELECT tries, locked_until, forgotten_at FROM tallies WHERE key = ?", (limit.key,)
    ).fetchone()
    return FRESH if row is None else Tally(tries=row[0], locked_until=row[1], forgotten_at=row[2])


def _put_tally(connection: sqlite3.Connection, limit: Limit, tally: Tally) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?)",
        (limit.key, tally.tries, tally.locked_until, tally.forgotten_at),
    )
