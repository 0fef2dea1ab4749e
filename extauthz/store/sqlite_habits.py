"""What is usual, in the SQLite store: counters, and what each subject is used to do.

The rule: each function belongs into a transaction of its caller, or on a connection that reads.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from extauthz.risk.sketch import Sketch
from extauthz.risk.sliding import NEVER, counted, from_text, kept_for, to_text
from extauthz.store.habits import (
    BASELINE_SECONDS,
    MOST_BASELINES,
    MOST_RAISED,
    MOST_SEEN,
    PLACE_SECONDS,
    RAISED_SECONDS,
    SEEN_SECONDS,
    Habit,
    Left,
    about,
    by_subject,
    place_of,
    quantiles_of,
    window_of,
)
from extauthz.store.key_digest import digest
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

SCHEMA: Final = (
    "CREATE TABLE rates (id TEXT PRIMARY KEY, counts TEXT NOT NULL, until REAL NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX rates_end ON rates (until)",
    """CREATE TABLE seen (
        subject TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (subject, id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX seen_end ON seen (at)",
    """CREATE TABLE baselines (
        subject TEXT NOT NULL, id TEXT NOT NULL, sketch TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (subject, id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX baselines_end ON baselines (at)",
    """CREATE TABLE places (
        subject TEXT PRIMARY KEY, latitude REAL NOT NULL, longitude REAL NOT NULL, accuracy_km REAL NOT NULL,
        at REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX places_end ON places (at)",
    """CREATE TABLE raised (
        subject TEXT NOT NULL, model TEXT NOT NULL, signal TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (subject, model, signal)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX raised_end ON raised (at)",
)


def count(connection: sqlite3.Connection, rates: Sequence[Question], now: float) -> dict[Question, object]:
    """How often each of these came in its window, this request included."""
    answers: dict[Question, object] = {}
    for rate in rates:
        id_, window = place_of(rate), window_of(rate)
        row = connection.execute("SELECT counts FROM rates WHERE id = ?", (id_,)).fetchone()
        counts, answers[rate] = counted(NEVER if row is None else from_text(row[0]), window, now=now)
        connection.execute(
            """INSERT INTO rates (id, counts, until) VALUES (?1, ?2, ?3)
               ON CONFLICT (id) DO UPDATE SET counts = ?2, until = max(until, ?3)""",
            (id_, to_text(counts), now + kept_for(window)),
        )
    return answers


def answers(
    connection: sqlite3.Connection, subject: Subject, questions: Sequence[Question], now: float
) -> dict[Question, object]:
    """As `Found.answers`, but for what is counted."""
    found: dict[Question, object] = {}
    for asked in about(questions, "seen"):
        row = connection.execute(
            "SELECT 1 FROM seen WHERE subject = ? AND id = ? AND at > ?",
            (subject.key, digest(str(asked.args[0])), now - SEEN_SECONDS),
        ).fetchone()
        found[asked] = row is not None
    for asked in about(questions, "baseline"):
        found[asked] = quantiles_of(_sketch(connection, subject, place_of(asked)), now)
    for asked in about(questions, "place"):
        row = connection.execute(
            "SELECT latitude, longitude, accuracy_km, at FROM places WHERE subject = ? AND at > ?",
            (subject.key, now - PLACE_SECONDS),
        ).fetchone()
        found[asked] = (
            None if row is None else LastPlace(latitude=row[0], longitude=row[1], accuracy_km=row[2], at=row[3])
        )
    for asked in about(questions, "raised"):
        rows = connection.execute(
            "SELECT signal, at FROM raised WHERE subject = ? AND model = ? AND at > ?",
            (subject.key, asked.args[0], now - RAISED_SECONDS),
        )
        found[asked] = dict(rows.fetchall())
    return found


def note(connection: sqlite3.Connection, habits: Iterable[Habit]) -> None:
    """As `Store.note_habits`."""
    for subject, left in by_subject(habits):
        _note(connection, subject, left)


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what changes no answer any more."""
    connection.execute("DELETE FROM rates WHERE until <= ?", (now,))
    connection.execute("DELETE FROM seen WHERE at <= ?", (now - SEEN_SECONDS,))
    connection.execute("DELETE FROM baselines WHERE at <= ?", (now - BASELINE_SECONDS,))
    connection.execute("DELETE FROM places WHERE at <= ?", (now - PLACE_SECONDS,))
    connection.execute("DELETE FROM raised WHERE at <= ?", (now - RAISED_SECONDS,))


def _sketch(connection: sqlite3.Connection, subject: Subject, id_: str) -> Sketch | None:
    row = connection.execute("SELECT sketch FROM baselines WHERE subject = ? AND id = ?", (subject.key, id_)).fetchone()
    return None if row is None else Sketch.from_text(row[0])


def _note(connection: sqlite3.Connection, subject: Subject, left: Left) -> None:
    connection.executemany(
        """INSERT INTO seen (subject, id, at) VALUES (?1, ?2, ?3)
           ON CONFLICT (subject, id) DO UPDATE SET at = max(at, ?3)""",
        [(subject.key, id_, at) for id_, at in left.seen.items()],
    )
    connection.executemany(
        """INSERT INTO raised (subject, model, signal, at) VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT (subject, model, signal) DO UPDATE SET at = max(at, ?4)""",
        [(subject.key, model, signal, at) for (model, signal), at in left.raised.items()],
    )
    for id_ in left.numbers:
        sketch = left.added(id_, _sketch(connection, subject, id_))
        connection.execute(
            "INSERT OR REPLACE INTO baselines (subject, id, sketch, at) VALUES (?, ?, ?, ?)",
            (subject.key, id_, sketch.to_text(), sketch.at),
        )
    if left.place is not None:
        place = left.place
        connection.execute(
            """INSERT INTO places (subject, latitude, longitude, accuracy_km, at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (subject) DO UPDATE SET latitude = ?2, longitude = ?3, accuracy_km = ?4, at = ?5
               WHERE at <= ?5""",
            (subject.key, place.latitude, place.longitude, place.accuracy_km, place.at),
        )
    _drop_oldest(connection, subject)


def _drop_oldest(connection: sqlite3.Connection, subject: Subject) -> None:
    connection.execute(
        """DELETE FROM seen WHERE subject = ?1 AND id NOT IN (
               SELECT id FROM seen WHERE subject = ?1 ORDER BY at DESC, id DESC LIMIT ?2)""",
        (subject.key, MOST_SEEN),
    )
    connection.execute(
        """DELETE FROM baselines WHERE subject = ?1 AND id NOT IN (
               SELECT id FROM baselines WHERE subject = ?1 ORDER BY at DESC, id DESC LIMIT ?2)""",
        (subject.key, MOST_BASELINES),
    )
    connection.execute(
        """DELETE FROM raised WHERE subject = ?1 AND (model, signal) NOT IN (
               SELECT model, signal FROM raised WHERE subject = ?1
               ORDER BY at DESC, model DESC, signal DESC LIMIT ?2)""",
        (subject.key, MOST_RAISED),
    )
