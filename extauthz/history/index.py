"""Looks decisions up in the index of the audit, and reads their lines.

The rules: what is asked is walked along an index of it and of the time, never through the whole table; what takes
longer than a moment is given up; and a line is shown only if it is the one that the index means.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from extauthz.errors import ExtauthzError
from extauthz.history.audit_files import written_by
from extauthz.history.index_form import open_to_read
from extauthz.history.indexing import MARK_BYTES, MINUTE, has_any
from extauthz.history.reading import parse
from extauthz.record.audit_line import DecisionLine
from extauthz.record.life_lines import LifeLine

LONGEST: Final = 2.0
"""Seconds after which a look-up is given up."""
MOST_EVENTS: Final = 200
"""Events that are read of one decision."""
_STEPS: Final = 10_000
"""Instructions of SQLite between two looks at the time."""
_BY: Final = {
    "trace": "decisions_by_trace",
    "subject": "decisions_by_subject",
    "path": "decisions_by_path",
    "workload": "decisions_by_workload",
    "rule": "decisions_by_rule",
    "host": "decisions_by_host",
    "decision": "decisions_by_decision",
}
"""By filter the index that is walked; of several that are asked for the first one: it leaves the least."""
_SHOWN: Final = ("decision", "reason", "rule", "subject", "workload", "host", "method", "path")


class TooMuch(ExtauthzError):
    """What was asked for takes too long; it has to be asked for less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which decisions are looked for. `equal` are values by the names of `_BY`; `since` and `until` are nanoseconds
    since the epoch, the first within, the second not; `before` is the `place` of a decision: only older ones."""

    equal: Mapping[str, str] = field(default_factory=dict)
    since: int | None = None
    until: int | None = None
    before: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One decision as the index knows it, with what can be `None` as `""`. `place` is where it is in the list."""

    place: tuple[int, int]
    decision_id: str
    decision: str
    reason: str
    rule: str
    subject: str
    workload: str
    host: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Line:
    """Where a line is: the first line of its file, as its mark, its first byte and its length without the end."""

    mark: bytes
    name: str
    start: int
    size: int


class Index:
    """The index at `index` of the audit that is written to `audit`. Every call opens it anew, and blocks."""

    def __init__(self, audit: Path, index: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._index = index
        self._clock = clock

    def listed(self, wanted: Wanted, *, most: int) -> list[Found]:
        """The newest decisions that are `wanted`.

        Raises:
            TooMuch: it took too long.
            ExtauthzError: the index can't be read.
        """
        with self._opened() as connection:
            if connection is None:
                return []
            equal = dict(wanted.equal)
            numbers: dict[str, object] = {}
            for column, value in equal.items():
                number = value if column == "trace" else _number(connection, value)
                if number is None:
                    return []
                numbers[column] = number
            sql, values = statement(wanted, numbers)
            return [_found(row) for row in connection.execute(sql, {**values, "most": most})]

    def decision(self, decision_id: str) -> DecisionLine | None:
        """The record of a decision: of several with its id the last, which is what was answered; `None` if it is not
        known, or its file is gone. Raises as `listed`."""
        with self._opened() as connection:
            if connection is None:
                return None
            found = connection.execute(_ONE, (decision_id,)).fetchone()
        line = None if found is None else self._line(Line(*found))
        return line if isinstance(line, DecisionLine) and line.decision_id == decision_id else None

    def events(self, line: DecisionLine) -> list[LifeLine]:
        """What happened because of a decision, in its order. Raises as `listed`."""
        with self._opened() as connection:
            if connection is None:
                return []
            places = {Line(*row): None for row in connection.execute(_OF_DECISION, (line.decision_id, MOST_EVENTS))}
            known = connection.execute(_CHALLENGES, (line.decision_id, MOST_EVENTS)).fetchall()
            for (challenge,) in known:
                places |= {Line(*row): None for row in connection.execute(_OF_CHALLENGE, (challenge, MOST_EVENTS))}
            for approval in line.approvals:
                places |= {Line(*row): None for row in connection.execute(_OF_APPROVAL, (approval, MOST_EVENTS))}
        read = (self._line(place) for place in list(places)[:MOST_EVENTS])
        return sorted((one for one in read if isinstance(one, LifeLine)), key=lambda one: one.time)

    def counts(self, since: int, until: int, width: int) -> Mapping[tuple[int, str], int]:
        """How many decisions and events of each kind there were, by the interval of `width` minutes, counted from
        `since`; both in nanoseconds since the epoch. Raises as `listed`."""
        first = since // MINUTE
        with self._opened() as connection:
            if connection is None:
                return {}
            rows = connection.execute(_COUNTS, (first, width, first, until // MINUTE))
            return {(int(at), str(kind)): int(number) for at, kind, number in rows}

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The index, for as long as a look-up may take."""
        until = self._clock() + LONGEST
        try:
            connection = open_to_read(self._index)
            if connection is None:
                yield None
                return
            with closing(connection):
                connection.set_progress_handler(lambda: self._clock() >= until, _STEPS)
                yield connection
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TooMuch("the look-up takes too long; ask for less time, or for more of the request") from None
            raise ExtauthzError(f"{self._index}: can't read the index of the audit: {error}") from error

    def _line(self, place: Line) -> DecisionLine | LifeLine | None:
        """The record at a place; `None` if its file is gone."""
        named = self._audit.with_name(place.name)
        others = written_by(self._audit) if has_any(self._audit) else []
        for path in (named, *(one for one in others if one != named)):
            try:
                with path.open("rb") as file:
                    if sha256(file.readline()).digest()[:MARK_BYTES] != place.mark:
                        continue
                    file.seek(place.start)
                    line = parse(file.read(place.size))
                    return None if isinstance(line, str) else line
            except OSError:
                continue  # gone meanwhile, or moved: another name may have it
        return None


def statement(wanted: Wanted, numbers: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """The statement that lists what is `wanted`, and its values but `most`; `numbers` are those of the words in it."""
    walked = next((index for column, index in _BY.items() if column in numbers), "decisions_by_time")
    terms = [f"{column} = :{column}" for column in numbers]
    values: dict[str, object] = dict(numbers)
    if wanted.since is not None:
        terms.append("at >= :since")
        values["since"] = wanted.since
    if wanted.until is not None:
        terms.append("at < :until")
        values["until"] = wanted.until
    if wanted.before is not None:
        terms.append("at <= :at AND (at < :at OR id < :id)")
        values["at"], values["id"] = wanted.before
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    words = ", ".join(f"(SELECT word FROM words WHERE words.id = {column})" for column in _SHOWN)  # noqa: S608 - ours
    sql = (
        f"SELECT at, id, decision_id, {words} FROM decisions INDEXED BY {walked} "  # noqa: S608 - all of it is ours
        f"{where} ORDER BY at DESC, id DESC LIMIT :most"
    )
    return sql, values


_PLACE: Final = "files.mark, files.name, start, size"
_ONE: Final = f"""
SELECT {_PLACE} FROM decisions JOIN files ON files.id = file WHERE decision_id = ? ORDER BY decisions.id DESC LIMIT 1
"""  # noqa: S608 - ours
_OF: Final = f"SELECT {_PLACE} FROM events JOIN files ON files.id = file WHERE"  # noqa: S608 - ours
_OF_DECISION: Final = f"{_OF} decision_id = ? LIMIT ?"
_OF_CHALLENGE: Final = f"{_OF} challenge = ? LIMIT ?"
_OF_APPROVAL: Final = f"{_OF} approval = ? LIMIT ?"
_CHALLENGES: Final = "SELECT DISTINCT challenge FROM events WHERE decision_id = ? AND challenge IS NOT NULL LIMIT ?"
_COUNTS: Final = """
SELECT (minute - ?) / ?, kind, sum(number) FROM counts WHERE minute >= ? AND minute < ? GROUP BY 1, 2
"""


def _number(connection: sqlite3.Connection, word: str) -> int | None:
    found = connection.execute("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
    return None if found is None else int(found[0])


def _found(row: tuple[int, int, str, *tuple[str | None, ...]]) -> Found:
    at, number, decision_id, *words = row
    named = dict(zip(_SHOWN, (word or "" for word in words), strict=True))
    return Found(place=(at, number), decision_id=decision_id, **named)
