"""Factors, tickets, proofs and sessions in the SQLite store: the rows, and the statements that burn and sweep.

The rule: each function belongs into a transaction of its caller, who undoes it all if one of them says no.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import assert_never

from extauthz.store.protocol import (
    CLOCK_SKEW,
    RESET_SECONDS,
    Activity,
    Advance,
    Burn,
    Changed,
    EnrolledFactor,
    Ground,
    Presence,
    Redeemed,
    SpentTicket,
    UseUp,
)
from extauthz.store.sqlite_revocations import revocations_of
from extauthz.values.identity import Subject


def factors_of(connection: sqlite3.Connection, subject: Subject | None) -> tuple[EnrolledFactor, ...]:
    """The factors of a subject, of everybody for `None`; oldest first."""
    rows = connection.execute(
        """SELECT id, subject, kind, created_at, confirmed, name, sealed, public, mark FROM factors
           WHERE ?1 IS NULL OR subject = ?1 ORDER BY created_at, id""",
        (None if subject is None else subject.key,),
    )
    return tuple(
        EnrolledFactor(
            id=id_,
            subject=Subject(*json.loads(key)),
            kind=kind,
            created_at=created_at,
            confirmed=bool(confirmed),
            name=name,
            sealed=sealed,
            public=public,
            mark=mark,
        )
        for id_, key, kind, created_at, confirmed, name, sealed, public, mark in rows
    )


def factor_of(connection: sqlite3.Connection, subject: Subject, factor: str) -> EnrolledFactor | None:
    """The factor of a subject with this id."""
    return next((one for one in factors_of(connection, subject) if one.id == factor), None)


def put_factors(connection: sqlite3.Connection, factors: Iterable[EnrolledFactor]) -> None:
    """Add new factors."""
    connection.executemany(
        """INSERT INTO factors (id, subject, kind, created_at, confirmed, name, sealed, public, mark)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                factor.id,
                factor.subject.key,
                factor.kind,
                factor.created_at,
                int(factor.confirmed),
                factor.name,
                factor.sealed,
                factor.public,
                factor.mark,
            )
            for factor in factors
        ],
    )


def spend(connection: sqlite3.Connection, ticket: SpentTicket | None) -> bool:
    """Burn a ticket; false if it is burned already."""
    if ticket is None:
        return True
    burned = connection.execute("INSERT OR IGNORE INTO tickets VALUES (?, ?)", (ticket.id, ticket.expires_at))
    return burned.rowcount == 1


def begin_change(
    connection: sqlite3.Connection, subject: Subject, ground: Ground | None, ticket: SpentTicket | None, now: float
) -> Changed | None:
    """Burn the ticket of a change of factors that rests on this ground, or say what stands against it."""
    if not spend(connection, ticket):
        return Changed.TICKET_USED
    if ground is None:
        return None
    reset = connection.execute("SELECT at FROM resets WHERE subject = ?", (subject.key,)).fetchone()
    if reset is not None and ground.laid_at <= reset[0]:
        return Changed.GROUND_GONE
    if ground.is_ended_by(subject, revocations_of(connection, subject), now):
        return Changed.GROUND_GONE
    factors = factors_of(connection, subject)
    if not ground.factor:
        return Changed.NOT_FIRST if any(factor.counts for factor in factors) else None
    is_there = any(factor.id == ground.factor and factor.confirmed for factor in factors)
    return None if is_there else Changed.GROUND_GONE


def put_reset(connection: sqlite3.Connection, subject: Subject, now: float) -> None:
    """Remember that the factors of a subject were reset."""
    connection.execute(
        """INSERT INTO resets (subject, at) VALUES (?1, ?2)
           ON CONFLICT (subject) DO UPDATE SET at = max(at, ?2)""",
        (subject.key, now),
    )


def burn(
    connection: sqlite3.Connection, subject: Subject, burn: Burn | None, ticket: SpentTicket | None
) -> Redeemed | None:
    """Burn all of it, or say what stands against it."""
    if not spend(connection, ticket):
        return Redeemed.TICKET_USED
    if burn is None:
        return None
    place = (subject.key, burn.factor)
    row = connection.execute("SELECT confirmed, mark FROM factors WHERE subject = ? AND id = ?", place).fetchone()
    if row is None or not row[0]:
        return Redeemed.FACTOR_GONE
    match burn:
        case Advance():
            if burn.mark <= row[1]:
                return Redeemed.MARK_USED
            connection.execute("UPDATE factors SET mark = ? WHERE subject = ? AND id = ?", (burn.mark, *place))
        case UseUp():
            connection.execute("DELETE FROM factors WHERE subject = ? AND id = ?", place)
        case Presence():
            pass
        case _:
            assert_never(burn)
    return None


def put_activity(connection: sqlite3.Connection, activity: Activity) -> None:
    """Move a session forward; one that has ended begins anew."""
    connection.execute(
        """INSERT INTO sessions (subject, session, started_at, last_seen, until) VALUES (?1, ?2, ?3, ?3, ?4)
           ON CONFLICT (subject, session) DO UPDATE SET
               started_at = iif(until > ?3, started_at, ?3),
               last_seen = iif(until > ?3, max(last_seen, ?3), ?3),
               until = iif(until > ?3, max(until, ?4), ?4)""",
        (activity.subject.key, activity.session, activity.at, activity.until),
    )


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what no longer changes any answer."""
    connection.execute("DELETE FROM tickets WHERE expires_at <= ?", (now - CLOCK_SKEW,))
    connection.execute("DELETE FROM proofs WHERE expires_at <= ?", (now - CLOCK_SKEW,))
    connection.execute("DELETE FROM resets WHERE at <= ?", (now - RESET_SECONDS,))
    connection.execute("DELETE FROM sessions WHERE until <= ?", (now,))
