"""The form of the index beside the audit: a SQLite file that can always be made again from what it is an index of.

The rules: a text that is looked for is there once, as a word with a number, so that ten million decisions stay small;
every filter has an index in which the time comes next, so that a page is read and not looked for, and then what was
decided, so that a plot is counted without the table; and no file is written to or taken away that is not known for an
index.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

from extauthz.errors import ExtauthzError, failure_of

VERSION: Final = 6
"""Raised with every change of the form: an index of another version is made anew."""
WORDED: Final = ("decision", "reason", "rule", "subject", "workload", "host", "path")
"""The columns of decisions that hold numbers of words. Each has an index, which tells whether a word is in use."""
PLAIN: Final = ("method",)
"""Those that hold their texts: nothing is looked for by them."""
APPLICATION: Final = 0x65784169
"""What SQLite's header says whose file this is (SQLite file format, section 1.3.17)."""
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 72
"""Bytes of a file, the last four of which are the number of the application."""
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY_SECONDS: Final = 10.0
_FORM: Final = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    mark BLOB UNIQUE,
    name TEXT NOT NULL,
    position INTEGER NOT NULL
);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    decision INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    rule INTEGER,
    subject INTEGER,
    workload INTEGER,
    host INTEGER,
    method TEXT,
    path INTEGER,
    trace TEXT,
    decision_id TEXT NOT NULL,
    file INTEGER NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    decision_id TEXT,
    challenge TEXT,
    approval TEXT,
    file INTEGER NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL
);
CREATE TABLE counts (
    minute INTEGER NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (minute, kind)
) WITHOUT ROWID;
CREATE INDEX decisions_by_time ON decisions (at, decision);
CREATE INDEX decisions_by_decision ON decisions (decision, at);
CREATE INDEX decisions_by_reason ON decisions (reason, at, decision);
CREATE INDEX decisions_by_rule ON decisions (rule, at, decision) WHERE rule IS NOT NULL;
CREATE INDEX decisions_by_subject ON decisions (subject, at, decision) WHERE subject IS NOT NULL;
CREATE INDEX decisions_by_workload ON decisions (workload, at, decision) WHERE workload IS NOT NULL;
CREATE INDEX decisions_by_host ON decisions (host, at, decision) WHERE host IS NOT NULL;
CREATE INDEX decisions_by_path ON decisions (path, at, decision) WHERE path IS NOT NULL;
CREATE INDEX decisions_by_trace ON decisions (trace, at, decision) WHERE trace IS NOT NULL;
CREATE INDEX decisions_by_id ON decisions (decision_id);
CREATE INDEX decisions_by_file ON decisions (file);
CREATE INDEX events_by_decision ON events (decision_id) WHERE decision_id IS NOT NULL;
CREATE INDEX events_by_challenge ON events (challenge) WHERE challenge IS NOT NULL;
CREATE INDEX events_by_approval ON events (approval) WHERE approval IS NOT NULL;
CREATE INDEX events_by_kind ON events (event, at, decision_id);
CREATE INDEX events_by_file ON events (file);
"""


def open_to_fill(path: Path) -> sqlite3.Connection:
    """The index at `path`, made if there is none, or none of this version. It is for its owner alone.

    Raises:
        ExtauthzError: it can't be written.
    """
    try:
        _make(path)
        if not _is_index(path):
            raise ExtauthzError(
                f"{path}: this is no index of an audit; name another file in `decisions.index`, or take it away"
            )
        try:
            return _opened(path)
        except sqlite3.DatabaseError as error:
            if not (isinstance(error, _Outdated) or is_damage(error)):
                raise
            remove(path)
            _make(path)
            return _opened(path)
    except (sqlite3.Error, OSError) as error:
        reason = failure_of(error) if isinstance(error, OSError) else str(error)
        raise ExtauthzError(f"{path}: can't write the index of the audit: {reason}") from error


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """The index at `path`, for looking alone; `None` if there is none of this version yet.

    Raises:
        sqlite3.Error: it is none, or can't be read.
    """
    if not path.is_file():
        return None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    whose = connection.execute("PRAGMA application_id").fetchone()
    if whose == (APPLICATION,) and connection.execute("PRAGMA user_version").fetchone() == (VERSION,):
        return connection
    connection.close()
    return None


def remove(path: Path) -> None:
    """Take away an index, with what SQLite keeps beside it. Raises `OSError`."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether this says that a file is damaged, and not only in use or on a full disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


class _Outdated(sqlite3.DatabaseError):
    """An index of another version."""


def _is_index(path: Path) -> bool:
    """Whether this is an index by its first bytes, or nothing yet."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    return not header or (header.startswith(_MAGIC) and header[-4:] == APPLICATION.to_bytes(4))


def _make(path: Path) -> None:
    """Have a file there that is for its owner alone."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        if path.stat().st_size == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION}")  # before all else: it says whose the file is
        connection.execute("PRAGMA journal_mode = WAL")
        # What a loss of power takes is read from the audit again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_FORM} PRAGMA user_version = {VERSION}; COMMIT")
        elif version != VERSION:
            raise _Outdated(f"an index of version {version}")  # noqa: TRY301 - the connection is to be closed
    except BaseException:
        connection.close()
        raise
    return connection
