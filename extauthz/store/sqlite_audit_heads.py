"""Ends of audit chains in the SQLite store.

The rule: each function belongs into a transaction of its caller, or on a connection that reads.
"""

import sqlite3
from typing import Final

from extauthz.store.audit_heads import AuditHead

SCHEMA: Final = (
    """CREATE TABLE audit_heads (
        writer TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL,
        file TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX audit_heads_end ON audit_heads (until)",
)


def put_audit_head(connection: sqlite3.Connection, head: AuditHead) -> None:
    """As `Store.put_audit_head`."""
    connection.execute(
        """INSERT INTO audit_heads (writer, seq, hash, at, until, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
           ON CONFLICT (writer) DO UPDATE SET seq = ?2, hash = ?3, at = ?4, until = ?5, file = ?6 WHERE seq < ?2""",
        (head.writer, head.seq, head.hash, head.at, head.until, head.file),
    )


def audit_heads(connection: sqlite3.Connection, *, now: float) -> tuple[AuditHead, ...]:
    """As `Store.audit_heads`."""
    rows = connection.execute(
        "SELECT writer, seq, hash, at, until, file FROM audit_heads WHERE until > ? ORDER BY at, writer", (now,)
    )
    return tuple(
        AuditHead(writer=writer, seq=seq, hash=hash_, at=at, until=until, file=file)
        for writer, seq, hash_, at, until, file in rows
    )


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what is of no interest any more."""
    connection.execute("DELETE FROM audit_heads WHERE until <= ?", (now,))
