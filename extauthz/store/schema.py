"""The tables of the SQLite store, as the steps that lead to them.

The rule: a step that was released never changes; a new version adds one. `user_version` counts the steps taken.
"""

import sqlite3
from typing import Final

from extauthz.errors import ConfigurationError
from extauthz.store import (
    sqlite_approvals,
    sqlite_audit_heads,
    sqlite_devices,
    sqlite_habits,
    sqlite_letters,
    sqlite_revocations,
    sqlite_signals,
)

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE grants (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, session TEXT NOT NULL, holder TEXT NOT NULL,
            binding TEXT NOT NULL, factor TEXT NOT NULL, issued_at REAL NOT NULL, expires_at REAL NOT NULL,
            uses INTEGER CHECK (uses >= 0)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX grants_of ON grants (subject, session)",
        "CREATE INDEX grants_end ON grants (expires_at)",
        """CREATE TABLE spent (
            grant_id TEXT NOT NULL, fingerprint TEXT NOT NULL, spent_at REAL NOT NULL,
            PRIMARY KEY (grant_id, fingerprint)
        ) STRICT, WITHOUT ROWID""",
        "CREATE TABLE tickets (id TEXT PRIMARY KEY, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE totp (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, sealed TEXT NOT NULL, created_at REAL NOT NULL,
            confirmed INTEGER NOT NULL, last_step INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX totp_of ON totp (subject)",
        """CREATE TABLE tallies (
            key TEXT PRIMARY KEY, tries INTEGER NOT NULL, locked_until REAL NOT NULL, forgotten_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE proofs (
            id TEXT PRIMARY KEY, used_by TEXT NOT NULL, used_at REAL NOT NULL, expires_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX proofs_end ON proofs (expires_at)",
    ),
    sqlite_revocations.SCHEMA,
    (
        "ALTER TABLE grants ADD COLUMN rule TEXT NOT NULL DEFAULT ''",
        # `action:RULE`, `scope:HASH:RULE` and `request:HASH:RULE` name it; a hash has no colon.
        "UPDATE grants SET rule = substr(binding, 8) WHERE binding LIKE 'action:%'",
        """UPDATE grants SET rule = substr(binding, instr(binding, ':') + 45)
           WHERE binding LIKE 'scope:%' OR binding LIKE 'request:%'""",
        """CREATE TABLE factors (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, kind TEXT NOT NULL, created_at REAL NOT NULL,
            confirmed INTEGER NOT NULL, name TEXT NOT NULL, sealed TEXT NOT NULL, public TEXT NOT NULL,
            mark INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX factors_of ON factors (subject)",
        """INSERT INTO factors (id, subject, kind, created_at, confirmed, name, sealed, public, mark)
           SELECT id, subject, 'totp', created_at, confirmed, '', sealed, '', last_step FROM totp""",
        "DROP TABLE totp",
        """CREATE TABLE sessions (
            subject TEXT NOT NULL, session TEXT NOT NULL, started_at REAL NOT NULL, last_seen REAL NOT NULL,
            until REAL NOT NULL, PRIMARY KEY (subject, session)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX sessions_end ON sessions (until)",
    ),
    (
        # What tells this file, and its copies, from all others.
        "CREATE TABLE origin (tag BLOB NOT NULL) STRICT",
        "INSERT INTO origin (tag) VALUES (randomblob(16))",
    ),
    ("CREATE TABLE resets (subject TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID",),
    (
        # Limiters forget steadily, a subject's one try in a day: an upgrade buys nobody more of them.
        "UPDATE tallies SET forgotten_at = locked_until + min(tries, 17) * 86400.0 WHERE key LIKE 'subject:%'",
        "ALTER TABLE tallies DROP COLUMN tries",
        "ALTER TABLE tallies RENAME COLUMN forgotten_at TO empty_at",
        """CREATE TABLE known_holders (
            key TEXT NOT NULL, holder TEXT NOT NULL, locked_until REAL NOT NULL, empty_at REAL NOT NULL,
            until REAL NOT NULL, PRIMARY KEY (key, holder)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX known_holders_end ON known_holders (until)",
    ),
    sqlite_signals.SCHEMA,
    sqlite_habits.SCHEMA,
    sqlite_devices.SCHEMA,
    (*sqlite_approvals.SCHEMA, *sqlite_letters.SCHEMA),
    sqlite_audit_heads.SCHEMA,
    sqlite_letters.BOUND,
)


def origin(connection: sqlite3.Connection) -> bytes:
    """What tells the file behind this connection, and its copies, from all others."""
    return bytes(connection.execute("SELECT tag FROM origin").fetchone()[0])


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Take the steps that this file has not taken yet, all or none; other processes wait for it.

    Raises:
        ConfigurationError: a newer version of this program made the file.
        sqlite3.Error: it can't be done.
    """
    if not _missing(connection, place):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have taken them while this one waited.
        for step in _missing(connection, place):
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _missing(connection: sqlite3.Connection, place: str) -> tuple[tuple[str, ...], ...]:
    taken = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if taken > len(STEPS):
        raise ConfigurationError(
            f"{place}: a newer version made this file (schema {taken}, known are {len(STEPS)}); upgrade extauthz"
        )
    return STEPS[taken:]
