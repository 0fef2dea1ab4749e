"""Keeps the index of the audit: takes the lines that are new, and lets go of those whose file is gone.

The rules: what is taken of a file and how far it was read are one transaction, so that a crash neither loses nor
doubles a line, nor do two that fill at once; and a file is known by its first line, whatever it is called.
"""

import sqlite3
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, Self, assert_never

from extauthz.errors import ExtauthzError, failure_of
from extauthz.history import index_form
from extauthz.history.audit_files import written_by
from extauthz.history.index_form import PLAIN, WORDED
from extauthz.history.index_rows import DecisionRow, EventRow, decision_row, event_row
from extauthz.history.reading import parse
from extauthz.record.audit_line import DecisionLine
from extauthz.record.file_lines import LONGEST_LINE, TOO_LONG, lines_in
from extauthz.record.life_lines import LifeLine

BATCH: Final = 2_000
"""Lines of one transaction."""
FORGOTTEN: Final = 2_000
"""Rows that are let go of in one transaction, with the words that no other row has."""
MINUTE: Final = 60 * 1_000_000_000
"""Decisions and events are counted by the minute, in nanoseconds."""
MOST_WORDS: Final = 50_000
"""Words whose numbers are kept in memory."""
MARK_BYTES: Final = 16
"""Of the SHA-256 of its first line, by which a file is known."""
_MARKS: Final = "SELECT mark FROM files WHERE mark IS NOT NULL"
_DECISION: Final = ("at", *WORDED, *PLAIN, "trace", "decision_id", "file", "start", "size")
_EVENT: Final = ("at", "event", "decision_id", "challenge", "approval", "file", "start", "size")


def _put(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - columns and tables are put in, values are bound


_PUT_DECISION: Final = _put("decisions", _DECISION)
_PUT_EVENT: Final = _put("events", _EVENT)
_GIVEN: Final = tuple(column for column in WORDED if column != "decision")
"""Whose words come from policies and callers; what can be decided is always the same."""
_TAKE_DECISIONS: Final = f"""
DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE file = ? LIMIT ?)
RETURNING at, (SELECT word FROM words WHERE words.id = decision), {", ".join(_GIVEN)}
"""  # noqa: S608 - columns and tables are put in, values are bound
_IN_USE: Final = " OR ".join(
    f"EXISTS (SELECT 1 FROM decisions WHERE {column} = words.id)"  # noqa: S608 - columns and tables are put in, values are bound
    for column in WORDED
)
TAKE_WORD: Final = f"DELETE FROM words WHERE id = ? AND NOT ({_IN_USE})"  # noqa: S608 - columns and tables are put in, values are bound
"""Lets go of a word that no decision has."""
_TAKE_EVENTS: Final = """
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE file = ? LIMIT ?) RETURNING at, event
"""
_COUNT: Final = """
INSERT INTO counts (minute, kind, number) VALUES (?, ?, ?)
ON CONFLICT (minute, kind) DO UPDATE SET number = number + excluded.number
"""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was looked at last: what tells that nothing has changed since, and what it is known by."""

    state: tuple[int, int, int, int]
    mark: bytes
    done: bool


class Indexer:
    """Fills the index at `index` with the audit that is written to `audit`. To be closed, as a context manager does."""

    def __init__(self, audit: Path, index: Path) -> None:
        """Raises `ExtauthzError` if the index can't be written."""
        self._audit = audit
        self._index = index
        self._connection = index_form.open_to_fill(index)
        self._words: dict[str, int] = {}
        self._written: int | None = None
        self._seen: dict[Path, _Seen] = {}
        self._missed: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def step(self) -> bool:
        """Take some lines, or let go of some; whether there may be more to do at once.

        Raises:
            ExtauthzError: the audit can't be read, or the index not written.
        """
        try:
            if not self._index.exists():  # somebody wants it made anew
                self._connection.close()
                self._connection = index_form.open_to_fill(self._index)
                self._words.clear()
                self._seen.clear()
            more = [self._read(path) for path in self._paths()]
            return any(more) or self._forget()
        except OSError as error:
            raise ExtauthzError(f"{self._audit}: can't read the audit: {failure_of(error)}") from error
        except sqlite3.Error as error:
            if index_form.is_damage(error):
                index_form.remove(self._index)  # the next step makes it anew
                return True
            raise ExtauthzError(f"{self._index}: can't write the index of the audit: {error}") from error

    def _paths(self) -> list[Path]:
        """The files that there are; what is known of others goes."""
        paths = written_by(self._audit) if has_any(self._audit) else []
        self._seen = {path: seen for path in paths if (seen := self._seen.get(path)) is not None}
        return paths

    def _read(self, path: Path) -> bool:
        """Take what is new in a file; whether there may be more."""
        try:
            status = path.stat()
        except FileNotFoundError:  # moved just now: under its new name it is found the next time
            return False
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return False
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        seen = self._seen.get(path)
        if seen is not None and seen.done and seen.state == state:
            return False
        with path.open("rb") as file:
            first = file.readline(LONGEST_LINE)
            if not first.endswith(b"\n"):
                return False
            mark = sha256(first).digest()[:MARK_BYTES]
            more = self._take(file, mark, path.name)
        self._seen[path] = _Seen(state, mark, not more)
        return more

    def _take(self, file: BinaryIO, mark: bytes, name: str) -> bool:
        """Take lines of a file from where it was read to; whether there may be more."""
        with self._transaction():
            number, position = self._file(mark, name)
            decisions: list[tuple[object, ...]] = []
            events: list[tuple[object, ...]] = []
            counted: Counter[tuple[int, str]] = Counter()
            file.seek(position)
            taken = 0
            for raw in islice(lines_in(file), BATCH):
                if not raw.endswith(b"\n"):
                    break
                taken += 1
                place = (number, position, len(raw) - 1)
                position = position + len(raw) if raw != TOO_LONG + b"\n" else file.tell()
                row = _row(raw)
                match row:
                    case DecisionRow():
                        decisions.append((row.at, *self._texts(row), row.trace, row.decision_id, *place))
                        counted[row.at // MINUTE, row.decision] += 1
                    case EventRow():
                        found = (row.at, row.event, row.decision_id, row.challenge, row.approval)
                        events.append((*found, *place))
                        counted[row.at // MINUTE, row.event] += 1
                    case None:
                        pass
                    case _:
                        assert_never(row)
            self._connection.executemany(_PUT_DECISION, decisions)
            self._connection.executemany(_PUT_EVENT, events)
            self._count(counted)
            self._connection.execute("UPDATE files SET position = ?, name = ? WHERE id = ?", (position, name, number))
        return taken == BATCH

    def _forget(self) -> bool:
        """Let go of some rows of a file that is gone; whether there may be more."""
        present = {seen.mark for seen in self._seen.values()}
        gone = {mark for (mark,) in self._connection.execute(_MARKS) if mark not in present}
        # One that is missed once may have been looked for between its two names.
        for mark in gone & self._missed:
            self._connection.execute("UPDATE files SET mark = NULL WHERE mark = ?", (mark,))
        self._missed = gone
        found = self._connection.execute("SELECT id FROM files WHERE mark IS NULL").fetchone()
        return found is not None and self._let_go(*found)

    def _let_go(self, number: int) -> bool:
        """Let go of some rows of the file with this number, and of the file with the last of them."""
        with self._transaction():
            run = self._connection.execute
            decisions = run(_TAKE_DECISIONS, (number, FORGOTTEN)).fetchall()
            events = run(_TAKE_EVENTS, (number, FORGOTTEN)).fetchall()
            counted = Counter(_minutes([(at, kind) for at, kind, *_ in decisions], events))
            self._count(Counter({key: -times for key, times in counted.items()}))
            words = {word for _, _, *given in decisions for word in given if word is not None}
            self._connection.executemany(TAKE_WORD, [(word,) for word in words])
            self._words.clear()
            run("DELETE FROM counts WHERE number <= 0")
            if not decisions and not events:
                run("DELETE FROM files WHERE id = ?", (number,))
        return True

    def _file(self, mark: bytes, name: str) -> tuple[int, int]:
        """The number of the file with this first line, and how far it was read."""
        found = self._connection.execute("SELECT id, position FROM files WHERE mark = ?", (mark,)).fetchone()
        if found is not None:
            number, position = found
            return int(number), int(position)
        made = self._connection.execute("INSERT INTO files (mark, name, position) VALUES (?, ?, 0)", (mark, name))
        assert made.lastrowid is not None  # noqa: S101 - a row was put in
        return made.lastrowid, 0

    def _texts(self, row: DecisionRow) -> Iterator[int | str | None]:
        """The values of `WORDED`, then of `PLAIN`."""
        for column in WORDED:
            word: str | None = getattr(row, column)
            yield None if word is None else self._word(word)
        for column in PLAIN:
            text: str | None = getattr(row, column)
            yield None if text is None else _speakable(text)

    def _word(self, word: str) -> int:
        """The number of a word; a new one gets one."""
        known = self._words.get(word)
        if known is None:
            text = _speakable(word)
            self._connection.execute("INSERT OR IGNORE INTO words (word) VALUES (?)", (text,))
            known = int(self._connection.execute("SELECT id FROM words WHERE word = ?", (text,)).fetchone()[0])
            if len(self._words) >= MOST_WORDS:
                self._words.clear()
            self._words[word] = known
        return known

    def _count(self, counted: Mapping[tuple[int, str], int]) -> None:
        rows = [(minute, kind, number) for (minute, kind), number in counted.items()]
        self._connection.executemany(_COUNT, rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            written = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if written != self._written:  # by another that fills it, which may have let go of words
                self._words.clear()
                self._written = written
            yield
        except BaseException:
            self._words.clear()  # numbers that nobody has now
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def has_any(audit: Path) -> bool:
    """Whether anything was ever written to this audit."""
    return audit.exists() or any(audit.parent.glob(f"{audit.stem}-*{audit.suffix}"))


def _row(raw: bytes) -> DecisionRow | EventRow | None:
    """What is kept of a line; `None` of what is no record."""
    line = parse(raw)
    match line:
        case DecisionLine():
            return decision_row(line)
        case LifeLine():
            return event_row(line)
        case str():
            return None
        case _:
            assert_never(line)


def _speakable(text: str) -> str:
    """The text, without what UTF-8 can't hold."""
    return text.encode("utf-8", "replace").decode()


def _minutes(decisions: Iterable[tuple[int, str]], events: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for at, kind in chain(decisions, events):
        yield at // MINUTE, kind
