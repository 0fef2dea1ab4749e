"""Approvals and absences in the SQLite store: the rows, and the log of changes that listeners read.

The rules: each function belongs into a transaction of its caller, or on a connection that reads. Whatever changes an
approval leaves a line in the log, in the same transaction; its numbers only grow, also when lines are gone.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.store.approval_rows import (
    absence_in,
    approval_in,
    has_key_until,
    kept_until,
    mark_of,
    to_text,
)
from extauthz.store.approvals import MOST_ABSENCES, MOST_FINAL, ApprovalPage, ApprovalQuery, News, is_unreviewed
from extauthz.values.approvals import Absence, Approval
from extauthz.values.identity import Subject

SCHEMA: Final = (
    "ALTER TABLE grants ADD COLUMN approval TEXT",
    """CREATE TABLE approvals (
        id TEXT PRIMARY KEY, version INTEGER NOT NULL, key TEXT NOT NULL, alike TEXT NOT NULL,
        has_key_until REAL NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL,
        unreviewed INTEGER NOT NULL, opened_at REAL NOT NULL, expires_at REAL NOT NULL, due_at REAL,
        until REAL NOT NULL, content TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX approvals_with_key ON approvals (key)",
    "CREATE INDEX approvals_alike ON approvals (alike, expires_at)",
    "CREATE INDEX approvals_of ON approvals (subject, state, until)",
    "CREATE INDEX approvals_by_age ON approvals (opened_at, id)",
    "CREATE INDEX approvals_by_state ON approvals (state, opened_at, id)",
    "CREATE INDEX approvals_due ON approvals (due_at) WHERE state = 'pending'",
    "CREATE INDEX approvals_unreviewed ON approvals (opened_at, id) WHERE unreviewed",
    "CREATE INDEX approvals_end ON approvals (until)",
    "CREATE TABLE approval_log (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL) STRICT",
    """CREATE TABLE absences (
        id TEXT PRIMARY KEY, since REAL NOT NULL, until REAL NOT NULL, content TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
REMEMBERED_NEWS: Final = 1000
"""How many changes of approvals are told one by one; a listener that has missed more is told to look at everything."""


def with_key(connection: sqlite3.Connection, new: Approval, *, despite: str, now: float) -> Approval | None:
    """The same one, that which has its key, by itself or by its grant that is not `despite`, or one that denies it."""
    same = found(connection, (new.id,))
    if same:
        return same[new.id]
    row = connection.execute(
        "SELECT id, state, has_key_until, content FROM approvals WHERE key = ? ORDER BY rowid DESC LIMIT 1", (new.key,)
    ).fetchone()
    if row is not None:
        id_, state, until, content = row
        has_it = until > now
        if state == "approved" and id_ != despite:
            good = connection.execute(
                "SELECT 1 FROM grants WHERE id = ? AND subject = ? AND expires_at > ? AND uses IS NOT 0",
                (id_, new.subject.key, now),
            )
            has_it = good.fetchone() is not None
        if has_it:
            return approval_in(content)
    denial = connection.execute(
        "SELECT content FROM approvals WHERE alike = ? AND state <> 'pending' AND has_key_until > ? LIMIT 1",
        (new.alike, now),
    ).fetchone()
    return None if denial is None else approval_in(denial[0])


def open_of(connection: sqlite3.Connection, subject: Subject, now: float) -> int:
    """How many of this subject have a place (`approval_rows.HAS_A_PLACE`) and are not overdue."""
    row = connection.execute(
        "SELECT count(*) FROM approvals WHERE subject = ? AND state IN ('pending', 'cancelled') AND expires_at > ?",
        (subject.key, now),
    )
    return int(row.fetchone()[0])


def open_alike(connection: sqlite3.Connection, alike: str, now: float) -> int:
    """How many of those that are alike have a place and are not overdue."""
    row = connection.execute(
        "SELECT count(*) FROM approvals WHERE alike = ? AND state IN ('pending', 'cancelled') AND expires_at > ?",
        (alike, now),
    )
    return int(row.fetchone()[0])


def version_of(connection: sqlite3.Connection, id_: str) -> int | None:
    """The version that is kept, `None` if none is."""
    row = connection.execute("SELECT version FROM approvals WHERE id = ?", (id_,)).fetchone()
    return None if row is None else int(row[0])


def put(connection: sqlite3.Connection, approval: Approval, keep: float, now: float) -> None:
    """Keep it, in the place of the one with its id."""
    subject = approval.subject.key
    connection.execute(
        """INSERT INTO approvals (id, version, key, alike, has_key_until, rule, subject, state, unreviewed, opened_at,
                                  expires_at, due_at, until, content)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET
               version = excluded.version, has_key_until = excluded.has_key_until, state = excluded.state,
               unreviewed = excluded.unreviewed, expires_at = excluded.expires_at, due_at = excluded.due_at,
               until = excluded.until, content = excluded.content""",
        (
            approval.id,
            approval.version,
            approval.key,
            approval.alike,
            has_key_until(approval),
            approval.rule,
            subject,
            approval.state,
            int(is_unreviewed(approval)),
            approval.opened_at,
            approval.expires_at,
            approval.due_at,
            kept_until(approval, keep),
            to_text(approval),
        ),
    )
    connection.execute("INSERT INTO approval_log (id) VALUES (?)", (approval.id,))
    counted = connection.execute("SELECT count(*) FROM approvals WHERE subject = ? AND state <> 'pending'", (subject,))
    excess = counted.fetchone()[0] - MOST_FINAL
    if excess > 0:
        connection.execute(
            """DELETE FROM approvals WHERE id IN (
                   SELECT id FROM approvals WHERE subject = ? AND state <> 'pending'
                   ORDER BY unreviewed OR has_key_until > ?, until, id LIMIT ?)""",
            (subject, now, excess),
        )


def found(connection: sqlite3.Connection, ids: Iterable[str]) -> Mapping[str, Approval]:
    """As `ApprovalStore.approvals_of`."""
    rows = (connection.execute("SELECT id, content FROM approvals WHERE id = ?", (id_,)).fetchone() for id_ in ids)
    return {row[0]: approval_in(row[1]) for row in rows if row is not None}


def page(connection: sqlite3.Connection, query: ApprovalQuery, most: int, begins: tuple[float, str]) -> ApprovalPage:
    """As `ApprovalStore.approvals`."""
    meant, parameters = _meant(query)
    rows = connection.execute(
        f"""SELECT content FROM approvals WHERE (opened_at, id) < (?, ?) AND {meant}
            ORDER BY opened_at DESC, id DESC LIMIT ?""",  # noqa: S608 - constants
        (*begins, *parameters, most + 1),
    )
    approvals = [approval_in(content) for (content,) in rows]
    return ApprovalPage(
        approvals=tuple(approvals[:most]), next=mark_of(approvals[most - 1]) if len(approvals) > most else ""
    )


def due(connection: sqlite3.Connection, most: int, now: float) -> tuple[Approval, ...]:
    """As `ApprovalStore.due_approvals`."""
    rows = connection.execute(
        "SELECT content FROM approvals WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, id LIMIT ?", (now, most)
    )
    return tuple(approval_in(content) for (content,) in rows)


def mark(connection: sqlite3.Connection) -> int:
    """The number of the last change."""
    row = connection.execute("SELECT max(number) FROM approval_log").fetchone()
    return int(row[0] or 0)


def news(connection: sqlite3.Connection, since: int) -> tuple[int, News | None, bool]:
    """The number of the last change, what has changed since this one, and whether anything is pending."""
    pending = connection.execute("SELECT 1 FROM approvals WHERE state = 'pending' LIMIT 1").fetchone() is not None
    if mark(connection) == since:  # nearly always
        return since, None, pending
    rows = connection.execute(
        "SELECT number, id FROM approval_log WHERE number > ? ORDER BY number DESC LIMIT ?", (since, REMEMBERED_NEWS)
    ).fetchall()
    if not rows or rows[-1][0] != since + 1:  # lines are gone, or the file is an older one
        return mark(connection), News(everything=True), pending
    return rows[0][0], News(ids=frozenset(id_ for _, id_ in rows)), pending


def put_absence(connection: sqlite3.Connection, absence: Absence, now: float) -> bool:
    """As `ApprovalStore.put_absence`."""
    connection.execute("DELETE FROM absences WHERE until <= ? OR id = ?", (now, absence.id))
    if connection.execute("SELECT count(*) FROM absences").fetchone()[0] >= MOST_ABSENCES:
        return False
    connection.execute(
        "INSERT INTO absences (id, since, until, content) VALUES (?, ?, ?, ?)",
        (absence.id, absence.since, absence.until, to_text(absence)),
    )
    return True


def end_absence(connection: sqlite3.Connection, id_: str, now: float) -> bool:
    """As `ApprovalStore.end_absence`."""
    row = connection.execute("DELETE FROM absences WHERE id = ? RETURNING until", (id_,)).fetchone()
    return row is not None and row[0] > now


def absences(connection: sqlite3.Connection, now: float) -> tuple[Absence, ...]:
    """As `ApprovalStore.absences`."""
    rows = connection.execute("SELECT content FROM absences WHERE until > ? ORDER BY since, id", (now,))
    return tuple(absence_in(content) for (content,) in rows)


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what is kept no longer."""
    connection.execute("DELETE FROM approvals WHERE until <= ?", (now,))
    connection.execute("DELETE FROM approval_log WHERE number <= ?", (mark(connection) - REMEMBERED_NEWS,))


def _meant(query: ApprovalQuery) -> tuple[str, tuple[str, ...]]:
    conditions: list[str] = ["TRUE"]
    parameters: list[str] = []
    if query.states is not None:
        conditions.append(f"state IN ({', '.join('?' * len(query.states))})")
        parameters += sorted(query.states)
    if query.rule is not None:
        conditions.append("rule = ?")
        parameters.append(query.rule)
    if query.subject is not None:
        conditions.append("subject = ?")
        parameters.append(query.subject.key)
    if query.unreviewed:
        conditions.append("unreviewed")
    return " AND ".join(conditions), tuple(parameters)
