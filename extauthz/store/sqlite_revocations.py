"""Revocations in the SQLite store: the rows, and the log of changes that other processes read.

The rules: whatever changes a row leaves a line in the log, in the same transaction. Each line has a random tag beside
its number, so that the log of a file that was restored or replaced is never taken for the one that was read before.
"""

import json
import sqlite3
from typing import Final

from extauthz.identity.revocations import Kind, Revocation, RevocationKey
from extauthz.store import sqlite_signals
from extauthz.store.revocations import REMEMBERED_CHANGES, Changes, Revoked
from extauthz.store.signals import Delivered, Delivery
from extauthz.values.identity import Subject

_Place = tuple[Kind, str]
_SIGNAL: Final = "signal"
"""What stands in the log for the kind of a revocation where a signal has changed."""

SCHEMA: Final = (
    """CREATE TABLE revocations (
        kind TEXT NOT NULL, about TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL,
        PRIMARY KEY (kind, about)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX revocations_of ON revocations (subject)",
    "CREATE INDEX revocations_end ON revocations (until)",
    """CREATE TABLE revocation_log (
        number INTEGER PRIMARY KEY, tag BLOB NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL
    ) STRICT""",
    # So that there is a mark before there is a change.
    "INSERT INTO revocation_log (tag, kind, about) VALUES (randomblob(8), '', '')",
)


def put_revocation(connection: sqlite3.Connection, revocation: Revocation, *, now: float) -> Revoked:
    """As `RevocationStore.put_revocation`; belongs into a transaction of the caller."""
    place = _place(revocation.key)
    before = _find(connection, place)
    kept = revocation if before is None else revocation.widened(before, now=now)
    connection.execute(
        "INSERT OR REPLACE INTO revocations (kind, about, subject, at, until) VALUES (?, ?, ?, ?, ?)",
        (*place, kept.subject.key, kept.at, kept.until),
    )
    _log(connection, place)
    return Revoked(revocation=kept, grants=_void_grants(connection, kept, now=now))


def deliver(connection: sqlite3.Connection, delivery: Delivery, *, now: float) -> Delivered:
    """As `SignalStore.deliver`; belongs into a transaction of the caller."""
    if delivery.receipt is not None:
        received = sqlite_signals.receive(connection, delivery.receipt)
        if received is not Delivered.DONE:
            return received
    for revocation in delivery.revocations:
        put_revocation(connection, revocation, now=now)
    for subject in delivery.voids:
        connection.execute("DELETE FROM grants WHERE subject = ?", (subject.key,))
    for about in sqlite_signals.put_signals(connection, delivery.signals, now=now):
        _log(connection, (_SIGNAL, about))
    return Delivered.DONE


def withdraw_revocation(connection: sqlite3.Connection, key: RevocationKey, *, now: float) -> bool:
    """As `RevocationStore.withdraw_revocation`; belongs into a transaction of the caller."""
    place = _place(key)
    before = _find(connection, place)
    if before is None:
        return False
    connection.execute("DELETE FROM revocations WHERE kind = ? AND about = ?", place)
    _log(connection, place)
    return before.until > now


def revocations_of(connection: sqlite3.Connection, subject: Subject) -> tuple[Revocation, ...]:
    """Those of one subject, whether they have ended or not; by an index, for whoever leaves a grant."""
    rows = connection.execute(
        "SELECT kind, about, subject, at, until FROM revocations WHERE subject = ?", (subject.key,)
    )
    return tuple(map(_revocation, rows))


def revocations(connection: sqlite3.Connection, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
    """As `RevocationStore.revocations`."""
    rows = connection.execute(
        """SELECT kind, about, subject, at, until FROM revocations WHERE until > ?1 AND (?2 IS NULL OR subject = ?2)
           ORDER BY at, kind, about""",
        (now, None if subject is None else subject.key),
    )
    return tuple(map(_revocation, rows))


def revocation_changes(connection: sqlite3.Connection, since: str | None) -> Changes:
    """As `RevocationStore.revocation_changes`; it sees one state of the file, whatever is written meanwhile."""
    if since is not None and _mark(connection) == since:  # nearly always
        return Changes(mark=since, whole=False)
    connection.execute("BEGIN")
    try:
        mark = _mark(connection)
        known = None if since is None else _known(connection, since)
        if known is None:
            rows = connection.execute("SELECT kind, about, subject, at, until FROM revocations")
            put = tuple(map(_revocation, rows))
            return Changes(mark=mark, whole=True, put=put, signals=sqlite_signals.all_signals(connection))
        log = connection.execute("SELECT DISTINCT kind, about FROM revocation_log WHERE number > ?", (known,))
        changed = log.fetchall()
        signals = [sqlite_signals.find(connection, about) for kind, about in changed if kind == _SIGNAL]
        now_there = {place: _find(connection, place) for place in changed if place[0] != _SIGNAL}
        return Changes(
            mark=mark,
            whole=False,
            put=tuple(found for found in now_there.values() if found is not None),
            withdrawn=tuple(_key(place) for place, found in now_there.items() if found is None),
            signals=tuple(signal for signal in signals if signal is not None),
        )
    finally:
        connection.execute("ROLLBACK")


def sweep_revocations(connection: sqlite3.Connection, ended: float) -> None:
    """Remove what has ended by then, which everybody knows by its own end, and lines of the log that are too many."""
    connection.execute("DELETE FROM revocations WHERE until <= ?", (ended,))
    sqlite_signals.sweep_signals(connection, ended)
    connection.execute(
        "DELETE FROM revocation_log WHERE number < (SELECT max(number) FROM revocation_log) - ?",
        (REMEMBERED_CHANGES,),
    )


def _find(connection: sqlite3.Connection, place: _Place) -> Revocation | None:
    row = connection.execute(
        "SELECT kind, about, subject, at, until FROM revocations WHERE kind = ? AND about = ?", place
    ).fetchone()
    return None if row is None else _revocation(row)


def _log(connection: sqlite3.Connection, place: tuple[str, str]) -> None:
    connection.execute("INSERT INTO revocation_log (tag, kind, about) VALUES (randomblob(8), ?, ?)", place)


def _mark(connection: sqlite3.Connection) -> str:
    newest = connection.execute("SELECT number, tag FROM revocation_log ORDER BY number DESC LIMIT 1")
    number, tag = newest.fetchone()
    return f"{number}-{tag.hex()}"


def _known(connection: sqlite3.Connection, mark: str) -> int | None:
    """The number of the line that was the last one at `mark`, `None` if there is no such line."""
    number, _, tag = mark.partition("-")
    row = connection.execute(
        "SELECT number FROM revocation_log WHERE number = ? AND tag = ?", (int(number), bytes.fromhex(tag))
    ).fetchone()
    return None if row is None else int(row[0])


def _void_grants(connection: sqlite3.Connection, revocation: Revocation, *, now: float) -> int:
    if not revocation.voids_grants:
        return 0
    removed = connection.execute(
        """DELETE FROM grants WHERE subject = ?1 AND (?2 IS NULL OR session = ?2)
           RETURNING expires_at > ?3 AND uses IS NOT 0""",
        (revocation.subject.key, revocation.session, now),
    )
    return sum(good for (good,) in removed.fetchall())


def _place(key: RevocationKey) -> _Place:
    # As JSON: it is ASCII, whatever was in a claim.
    return key.kind, json.dumps([key.issuer, key.name], separators=(",", ":"))


def _key(place: _Place) -> RevocationKey:
    kind, about = place
    issuer, name = json.loads(about)
    return RevocationKey(kind, issuer, name)


def _revocation(row: tuple[Kind, str, str, float, float]) -> Revocation:
    kind, about, subject, at, until = row
    return Revocation.of_key(_key((kind, about)), Subject(*json.loads(subject)), at=at, until=until)
