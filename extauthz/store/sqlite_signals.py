"""Signals in the SQLite store: the rows, and the tokens that were received.

The rule: each function belongs into a transaction of its caller.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from extauthz.identity.signals.facts import Signal, key_text, signal_key, signal_of
from extauthz.store.signals import Delivered, Receipt, known_as
from extauthz.values.identity import Subject

SCHEMA: Final = (
    """CREATE TABLE signals (
        about TEXT PRIMARY KEY, subject TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX signals_of ON signals (subject)",
    "CREATE INDEX signals_end ON signals (until)",
    "CREATE TABLE receipts (id TEXT PRIMARY KEY, digest TEXT NOT NULL, until REAL NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX receipts_end ON receipts (until)",
)
_COLUMNS: Final = "about, content, at, until"


def receive(connection: sqlite3.Connection, receipt: Receipt) -> Delivered:
    """Remember that a token was received; done, unless it was known."""
    known = connection.execute("SELECT digest FROM receipts WHERE id = ?", (receipt.id,)).fetchone()
    refused = known_as(receipt, None if known is None else known[0])
    if refused is not None:
        return refused
    connection.execute("INSERT INTO receipts VALUES (?, ?, ?)", (receipt.id, receipt.digest, receipt.until))
    return Delivered.DONE


def put_signals(connection: sqlite3.Connection, signals: Iterable[Signal], *, now: float) -> tuple[str, ...]:
    """Let these hold from now on, each that is newer than what is in force; the keys of those that were."""
    changed: list[str] = []
    for signal in signals:
        about = key_text(signal.key)
        before = find(connection, about)
        if before is not None and before.until > now and not signal.follows(before):
            continue
        # A device is no subject, whatever its id.
        subject = signal.subject.key if signal.key.about == "subject" else ""
        connection.execute(
            "INSERT OR REPLACE INTO signals (about, subject, content, at, until) VALUES (?, ?, ?, ?, ?)",
            (about, subject, signal.content, signal.at, signal.until),
        )
        changed.append(about)
    return tuple(changed)


def signals(connection: sqlite3.Connection, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
    """As `SignalStore.signals`."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM signals WHERE until > ?1 AND (?2 IS NULL OR subject = ?2)
            ORDER BY at, about""",  # noqa: S608 - a constant
        (now, None if subject is None else subject.key),
    )
    return tuple(map(_signal, rows))


def all_signals(connection: sqlite3.Connection) -> tuple[Signal, ...]:
    """All that are there, whether they have ended or not."""
    return tuple(map(_signal, connection.execute(f"SELECT {_COLUMNS} FROM signals")))  # noqa: S608 - a constant


def find(connection: sqlite3.Connection, about: str) -> Signal | None:
    """The signal with the key that is written so."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM signals WHERE about = ?", (about,)).fetchone()  # noqa: S608 - a constant
    return None if row is None else _signal(row)


def sweep_signals(connection: sqlite3.Connection, ended: float) -> None:
    """Remove what has ended by then."""
    connection.execute("DELETE FROM signals WHERE until <= ?", (ended,))
    connection.execute("DELETE FROM receipts WHERE until <= ?", (ended,))


def _signal(row: tuple[str, str, float, float]) -> Signal:
    about, content, at, until = row
    key = signal_key(about)
    assert key is not None  # noqa: S101 - nothing else is in this table
    return signal_of(key, content, at=at, until=until)
