"""Limiters in the SQLite store: what they hold, and the holders that they know.

The rule: each function belongs into a transaction of its caller.
"""

import sqlite3
from collections.abc import Sequence

from extauthz.stepup import lockout
from extauthz.stepup.lockout import FRESH, KNOWN_SECONDS, MOST_KNOWN, Limit, Tally
from extauthz.store.protocol import Tried


def attempt(connection: sqlite3.Connection, limits: Sequence[Limit], now: float) -> Tried:
    """As `Store.attempt`."""
    for limit in limits:
        tally = _own_of(connection, limit, now)
        if tally is not None:
            if tally.locked_until > now:
                return Tried(wait=tally.locked_until - now)
            after = lockout.count(tally, limit, now)
            connection.execute(
                "UPDATE known_holders SET locked_until = ?, empty_at = ? WHERE key = ? AND holder = ?",
                (after.locked_until, after.empty_at, limit.key, limit.holder),
            )
            return Tried(locks=after.locks(now))
    tallies = [(limit, _tally_of(connection, limit)) for limit in limits]
    locked_until = max((tally.locked_until for _, tally in tallies), default=now)
    if locked_until > now:
        return Tried(wait=locked_until - now)
    locks = 0.0
    for limit, tally in tallies:
        after = lockout.count(tally, limit, now)
        _put(connection, limit, after)
        locks = max(locks, after.locks(now))
    return Tried(counted=tuple(limits), locks=locks)


def give_back(connection: sqlite3.Connection, limits: Sequence[Limit], known_to: Limit | None, now: float) -> None:
    """Give back a try that was right, and know its holder from now on."""
    for limit in limits:
        _put(connection, limit, lockout.give_back(_tally_of(connection, limit), limit, now))
    if known_to is not None:
        own, tally = _own_of(connection, known_to, now), FRESH
        if own is not None and not known_to.forgives:
            tally = own if limits else lockout.give_back(own, known_to, now)
        connection.execute(
            "INSERT OR REPLACE INTO known_holders (key, holder, locked_until, empty_at, until) VALUES (?, ?, ?, ?, ?)",
            (known_to.key, known_to.holder, tally.locked_until, tally.empty_at, now + KNOWN_SECONDS),
        )
        connection.execute(
            """DELETE FROM known_holders WHERE key = ?1 AND holder NOT IN (
                   SELECT holder FROM known_holders WHERE key = ?1 ORDER BY until DESC LIMIT ?2)""",
            (known_to.key, MOST_KNOWN),
        )


def forget(connection: sqlite3.Connection, limits: Sequence[Limit]) -> None:
    """Forget what these hold and know."""
    keys = [(limit.key,) for limit in limits]
    connection.executemany("DELETE FROM tallies WHERE key = ?", keys)
    connection.executemany("DELETE FROM known_holders WHERE key = ?", keys)


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what changes no answer any more."""
    connection.execute("DELETE FROM tallies WHERE empty_at <= ?1 AND locked_until <= ?1", (now,))
    connection.execute("DELETE FROM known_holders WHERE until <= ?", (now,))


def _own_of(connection: sqlite3.Connection, limit: Limit, now: float) -> Tally | None:
    """The tally of the limit's holder, `None` if it is not known."""
    row = connection.execute(
        "SELECT locked_until, empty_at FROM known_holders WHERE key = ? AND holder = ? AND until > ?",
        (limit.key, limit.holder, now),
    ).fetchone()
    return None if row is None else Tally(locked_until=row[0], empty_at=row[1])


def _tally_of(connection: sqlite3.Connection, limit: Limit) -> Tally:
    row = connection.execute("SELECT locked_until, empty_at FROM tallies WHERE key = ?", (limit.key,)).fetchone()
    return FRESH if row is None else Tally(locked_until=row[0], empty_at=row[1])


def _put(connection: sqlite3.Connection, limit: Limit, tally: Tally) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO tallies (key, locked_until, empty_at) VALUES (?, ?, ?)",
        (limit.key, tally.locked_until, tally.empty_at),
    )
