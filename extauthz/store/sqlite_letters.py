"""Letters in the SQLite store. The rule: each function belongs into a transaction of its caller."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from extauthz.store.letters import DEAD_SECONDS, WAITING_SECONDS
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState

SCHEMA: Final = (
    """CREATE TABLE letters (
        id TEXT PRIMARY KEY, sink TEXT NOT NULL, address TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL,
        approval TEXT NOT NULL, at REAL NOT NULL, content BLOB NOT NULL,
        attempts INTEGER NOT NULL, due_at REAL NOT NULL, error TEXT NOT NULL, dead_at REAL
    ) STRICT""",
    "CREATE INDEX letters_due ON letters (sink, due_at) WHERE dead_at IS NULL",
    "CREATE INDEX letters_dead ON letters (dead_at) WHERE dead_at IS NOT NULL",
    "CREATE INDEX letters_waiting ON letters (due_at) WHERE dead_at IS NULL",
)
BOUND: Final = ("CREATE INDEX letters_dead_of ON letters (sink, dead_at) WHERE dead_at IS NOT NULL",)
"""By what the dead ones of a sink are counted."""
_LETTER: Final = "id, sink, address, event, kind, approval, at, content"


def put(connection: sqlite3.Connection, letters: Iterable[Letter], now: float) -> None:
    """Keep new ones."""
    connection.executemany(
        f"INSERT OR IGNORE INTO letters ({_LETTER}, attempts, due_at, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, '')",  # noqa: S608 - a constant
        [(one.id, one.sink, one.to, one.event, one.kind, one.approval, one.at, one.content, now) for one in letters],
    )


def put_some(connection: sqlite3.Connection, sink: str, letters: Sequence[Letter], most: int, now: float) -> int:
    """As `LetterStore.put_letters`."""
    connection.execute(
        """DELETE FROM letters WHERE id IN (
               SELECT id FROM letters WHERE sink = ? AND dead_at IS NOT NULL
               ORDER BY dead_at DESC LIMIT -1 OFFSET ?)""",
        (sink, most),
    )
    waiting = connection.execute("SELECT count(*) FROM letters WHERE sink = ? AND dead_at IS NULL", (sink,))
    kept = letters[: max(0, most - int(waiting.fetchone()[0]))]
    put(connection, kept, now)
    return len(kept)


def is_due(connection: sqlite3.Connection, sink: str, now: float) -> bool:
    """Whether there is anything to claim: who asks so reads, and keeps nobody from writing."""
    due = connection.execute(
        "SELECT 1 FROM letters WHERE sink = ? AND dead_at IS NULL AND due_at <= ? LIMIT 1", (sink, now)
    )
    return due.fetchone() is not None


def claim(connection: sqlite3.Connection, sink: str, most: int, lease: float, now: float) -> tuple[Claim, ...]:
    """As `LetterStore.claim_letters`."""
    due = connection.execute(
        f"""SELECT {_LETTER}, attempts FROM letters WHERE sink = ? AND dead_at IS NULL AND due_at <= ?
            ORDER BY due_at, id LIMIT ?""",  # noqa: S608 - a constant
        (sink, now, most),
    ).fetchall()
    connection.executemany(
        "UPDATE letters SET attempts = attempts + 1, due_at = ? WHERE id = ?", [(now + lease, row[0]) for row in due]
    )
    return tuple(Claim(letter=_letter(row), attempt=row[-1] + 1) for row in due)


def done(connection: sqlite3.Connection, id_: str) -> bool:
    """As `LetterStore.letter_done`."""
    return connection.execute("DELETE FROM letters WHERE id = ?", (id_,)).rowcount == 1


def later(connection: sqlite3.Connection, id_: str, attempt: int, due_at: float, error: str) -> bool:
    """As `LetterStore.letter_later`."""
    changed = connection.execute(
        "UPDATE letters SET due_at = ?, error = ? WHERE id = ? AND attempts = ? AND dead_at IS NULL",
        (due_at, error, id_, attempt),
    )
    return changed.rowcount == 1


def dead(connection: sqlite3.Connection, id_: str, attempt: int, error: str, now: float) -> bool:
    """As `LetterStore.letter_dead`."""
    changed = connection.execute(
        "UPDATE letters SET dead_at = ?, error = ? WHERE id = ? AND attempts = ? AND dead_at IS NULL",
        (now, error, id_, attempt),
    )
    return changed.rowcount == 1


def listed(
    connection: sqlite3.Connection, is_dead: bool | None, sink: str | None, most: int, after: str
) -> tuple[LetterState, ...]:
    """As `LetterStore.letters`."""
    rows = connection.execute(
        f"""SELECT {_LETTER}, attempts, due_at, error, dead_at FROM letters
            WHERE id > ?1 AND (?2 IS NULL OR sink = ?2) AND (?3 IS NULL OR (dead_at IS NOT NULL) = ?3)
            ORDER BY id LIMIT ?4""",  # noqa: S608 - a constant
        (after, sink, is_dead, most),
    )
    return tuple(
        LetterState(letter=_letter(row), attempts=row[8], due_at=row[9], error=row[10], dead_at=row[11]) for row in rows
    )


def replay(connection: sqlite3.Connection, ids: Sequence[str] | None, sink: str | None, now: float) -> int:
    """As `LetterStore.replay_letters`."""
    statement = """UPDATE letters SET attempts = 0, due_at = ?1, dead_at = NULL
                   WHERE dead_at IS NOT NULL AND (?2 IS NULL OR sink = ?2)"""
    if ids is None:
        return connection.execute(statement, (now, sink)).rowcount
    return sum(connection.execute(f"{statement} AND id = ?3", (now, sink, id_)).rowcount for id_ in set(ids))


def counts(connection: sqlite3.Connection) -> Mapping[str, LetterCounts]:
    """As `LetterStore.letter_counts`."""
    rows = connection.execute(
        """SELECT sink, sum(dead_at IS NULL), sum(dead_at IS NOT NULL), min(iif(dead_at IS NULL, at, NULL))
           FROM letters GROUP BY sink"""
    )
    return {sink: LetterCounts(waiting=waiting, dead=dead, oldest_at=oldest) for sink, waiting, dead, oldest in rows}


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what is kept no longer."""
    connection.execute("DELETE FROM letters WHERE dead_at <= ?", (now - DEAD_SECONDS,))
    connection.execute("DELETE FROM letters WHERE dead_at IS NULL AND due_at <= ?", (now - WAITING_SECONDS,))


def _letter(row: Sequence[Any]) -> Letter:
    id_, sink, to, event, kind, approval, at, content = row[:8]
    return Letter(id=id_, sink=sink, to=to, event=event, kind=kind, approval=approval, at=at, content=content)
