"""Looks decisions up in the index of the audit, and reads their lines.

The rules: what takes longer than a moment is given up; and a line is shown only if it is the one that the index means.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from heapq import heappush, heapreplace
from itertools import count
from pathlib import Path
from stat import S_ISREG
from typing import Final

from extauthz.errors import ExtauthzError
from extauthz.history.audit_files import written_by
from extauthz.history.index_form import open_to_read
from extauthz.history.index_questions import (
    BY,
    FUNNEL,
    KINDS,
    SELECTED,
    SHOWN,
    Numbers,
    Pattern,
    Wanted,
    counting,
    counting_events,
    leaving,
    listing,
    on_path,
    paths,
    used,
)
from extauthz.history.indexing import MARK_BYTES, MINUTE, has_any
from extauthz.history.reading import parse
from extauthz.record.audit_line import DecisionLine
from extauthz.record.file_lines import LONGEST_LINE
from extauthz.record.life_lines import LifeLine

LONGEST: Final = 2.0
"""Seconds after which a look-up is given up."""
REMADE: Final = 1.0
"""Seconds for which an index that can't be opened is taken for one that is made anew."""
_PAUSE: Final = 0.02
MOST_EVENTS: Final = 200
"""Events that are read of one decision."""
Row = tuple[int, int, str, *tuple[str | None, ...]]
"""When, the number of the row, the id of the decision, and the words of `SHOWN`."""
_STEPS: Final = 10_000
"""Instructions of SQLite between two looks at the time."""
_WALKED: Final = 25
"""Looks at the time within which those that are wanted must be found by walking past others."""
_FEW: Final = 100_000
"""Paths that are rather looked up one by one than looked for in all decisions."""


class TooMuch(ExtauthzError):
    """What was asked for takes too long; it has to be asked for less."""


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
        with self._opened() as look:
            if look is None:
                return []
            numbers = look.numbers(wanted)
            if numbers is None:
                return []
            rows = look.walked(wanted, numbers, most)
            return [_found(row) for row in (look.by_path(wanted, numbers, most) if rows is None else rows)]

    def decision(self, decision_id: str) -> DecisionLine | None:
        """The record of a decision: of several with its id the last, which is what was answered; `None` if it is not
        known, or its file is gone. Raises as `listed`."""
        with self._opened() as look:
            if look is None:
                return None
            found = look.run(_ONE, (decision_id,)).fetchone()
        line = None if found is None else self._line(Line(*found))
        return line if isinstance(line, DecisionLine) and line.decision_id == decision_id else None

    def events(self, line: DecisionLine) -> list[LifeLine]:
        """What happened because of a decision, in its order. Raises as `listed`."""
        with self._opened() as look:
            if look is None:
                return []
            places = {Line(*row): None for row in look.run(_OF_DECISION, (line.decision_id, MOST_EVENTS))}
            known = look.run(_CHALLENGES, (line.decision_id, MOST_EVENTS)).fetchall()
            for challenge in dict.fromkeys([line.challenge, *(one for (one,) in known)]):
                places |= {Line(*row): None for row in look.run(_OF_CHALLENGE, (challenge, MOST_EVENTS))}
            for approval in line.approvals:
                places |= {Line(*row): None for row in look.run(_OF_APPROVAL, (approval, MOST_EVENTS))}
        read = (self._line(place) for place in list(places)[:MOST_EVENTS])
        return sorted((one for one in read if isinstance(one, LifeLine)), key=lambda one: one.time)

    def began(self, name: str) -> str | None:
        """The id of the decision that has begun the challenge or the approval with this id; `None` if none is known.
        Raises as `listed`."""
        with self._opened() as look:
            found = None if look is None else look.run(_BEGAN, (name, name)).fetchone()
            return None if found is None else str(found[0])

    def words(self, column: str, *, most: int) -> list[str]:
        """What decisions have there, in the order of the alphabet; of more than `most` some. Raises as `listed`."""
        with self._opened() as look:
            return [] if look is None else sorted(word for (word,) in look.run(used(column), {"most": most}))

    def unread(self) -> tuple[int, int]:
        """How many bytes of the audit are not in the index yet, and how many it has. Raises as `listed`."""
        with self._opened() as look:
            files = [] if look is None else look.run(_FILES).fetchall()
        by_mark = {mark: position for mark, _, position in files}
        by_name = {name: position for _, name, position in files}
        left = whole = 0
        for path in written_by(self._audit) if has_any(self._audit) else []:
            with suppress(OSError):  # gone meanwhile
                status = path.stat()
                if not S_ISREG(status.st_mode):
                    continue
                position = by_name.get(path.name, -1)
                if not 0 <= position <= status.st_size:  # moved just now
                    position = by_mark.get(_mark_of(path), 0)
                left += max(0, status.st_size - position)
                whole += status.st_size
        return left, whole

    def counts(self, wanted: Wanted, since: int, until: int, width: int) -> Mapping[tuple[int, str], int]:
        """How many decisions that are wanted there were of each kind, and how many events of challenges that they have
        begun, by the interval of `width` minutes, counted from `since`; both in nanoseconds since the epoch, and whole
        minutes. The times that are wanted don't count. Raises as `listed`."""
        with self._opened() as look:
            if look is None:
                return {}
            if wanted.path is None and wanted.equal.keys() <= {"decision"}:
                first = since // MINUTE
                rows = look.run(_COUNTS, (first, width, first, until // MINUTE))
                kind = wanted.equal.get("decision")
                kinds = [one for one in KINDS if not (wanted.blocked and one == "allow")]
                # The events of challenges are those of decisions that are challenges.
                left = (*kinds, *FUNNEL) if kind is None else (kind, *FUNNEL) if kind == "challenge" else (kind,)
                return {(int(at), str(what)): int(number) for at, what, number in rows if what in left}
            spanned = replace(wanted, since=since, until=until, before=None)
            return look.counted(spanned, width * MINUTE)

    @contextmanager
    def _opened(self) -> Iterator["_Look | None"]:
        """The index, for as long as a look-up may take."""
        until = self._clock() + LONGEST
        try:
            connection = self._connection()
            if connection is None:
                yield None
                return
            with closing(connection):
                yield _Look(connection, lambda: self._clock() >= until)
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TooMuch("the look-up takes too long; ask for less time, or for more of the request") from None
            raise ExtauthzError(f"{self._index}: can't read the index of the audit: {error}") from error

    def _connection(self) -> sqlite3.Connection | None:
        """As `open_to_read`. An index that is made anew in this moment, as after an upgrade, is waited for."""
        until = self._clock() + REMADE
        while True:
            try:
                return open_to_read(self._index)
            except sqlite3.Error:
                if self._clock() >= until:
                    raise
                time.sleep(_PAUSE)

    def _line(self, place: Line) -> DecisionLine | LifeLine | None:
        """The record at a place; `None` if its file is gone."""
        named = self._audit.with_name(place.name)
        others = written_by(self._audit) if has_any(self._audit) else []
        for path in (named, *(one for one in others if one != named)):
            try:
                with path.open("rb") as file:
                    if sha256(file.readline(LONGEST_LINE)).digest()[:MARK_BYTES] != place.mark:
                        continue
                    file.seek(place.start)
                    line = parse(file.read(place.size))
                    return None if isinstance(line, str) else line
            except OSError:
                continue  # gone meanwhile, or moved: another name may have it
        return None


class _Look:
    """One look into an open index; `is_over` tells that its time is."""

    def __init__(self, connection: sqlite3.Connection, is_over: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_over = is_over
        self.run = connection.execute
        self.run("BEGIN")  # what is let go of meanwhile is there until the look ends, and no number changes its meaning
        connection.set_progress_handler(is_over, _STEPS)

    def numbers(self, wanted: Wanted) -> Numbers | None:
        """The numbers of the words that are wanted, that which leaves the least first; `None` if one is known of no
        decision."""
        numbers: dict[str, object] = {}
        for column in (one for one in BY if one in wanted.equal):
            value = wanted.equal[column]
            number = value if column == "trace" else self._number(value)
            if number is None:
                return None
            numbers[column] = number
        if len(numbers) < 2:
            return numbers
        left = {column: self.run(*leaving(column, number, wanted)).fetchone() for column, number in numbers.items()}
        return {column: numbers[column] for column in sorted(numbers, key=left.__getitem__)}

    def walked(self, wanted: Wanted, numbers: Numbers, most: int) -> list[Row] | None:
        """The newest that are wanted, found by walking; `None` if they are not near enough for that."""
        sql, values = listing(wanted, numbers)
        if wanted.path is None:
            return self.run(sql, {**values, "most": most}).fetchall()
        self._know(wanted.path)
        looks = count()
        self._connection.set_progress_handler(lambda: self._is_over() or next(looks) >= _WALKED, _STEPS)
        try:
            return self.run(sql, {**values, "most": most}).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT or self._is_over():
                raise
            return None
        finally:
            self._connection.set_progress_handler(self._is_over, _STEPS)

    def by_path(self, wanted: Wanted, numbers: Numbers, most: int) -> list[Row]:
        """The newest that are wanted, of each path that is like that. Raises `TooMuch`."""
        assert wanted.path is not None  # noqa: S101 - else they are found by walking
        like, values = paths(wanted.path)
        ids = self.run(like, values).fetchall()
        sql, values = on_path(wanted, numbers)
        newest: list[tuple[int, int]] = []  # a heap, the oldest on top
        for (path,) in ids:
            if self._is_over():
                raise TooMuch("so many paths are like that that the look-up takes too long; ask for less")
            floor = newest[0][0] if len(newest) == most else 0
            for place in self.run(sql, {**values, "path": path, "floor": floor, "most": most}):
                if len(newest) < most:
                    heappush(newest, place)
                elif place > newest[0]:
                    heapreplace(newest, place)
        return [self.run(_BY_ID, (number,)).fetchone() for _, number in sorted(newest, reverse=True)]

    def counted(self, wanted: Wanted, width: int) -> Mapping[tuple[int, str], int]:
        """The numbers of a plot of what is wanted, in intervals of `width` nanoseconds."""
        numbers = self.numbers(wanted)
        if numbers is None:
            return {}
        by_path = False
        if wanted.path is not None:
            self._know(wanted.path)
            like, values = paths(wanted.path)
            by_path = len(self.run(f"{like} LIMIT {_FEW + 1}", values).fetchall()) <= _FEW
        sql, values = counting(wanted, numbers, by_path=by_path)
        kinds = {self._number(kind): kind for kind in KINDS}
        decisions = self.run(sql, {**values, "width": width}).fetchall()
        sql, values = counting_events(wanted, numbers)
        events = self.run(sql, {**values, "width": width}).fetchall()
        found = {(int(at), kinds[number]): int(many) for at, number, many in decisions}
        return found | {(int(at), str(kind)): int(many) for at, kind, many in events}

    def _number(self, word: str) -> int | None:
        found = self.run("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
        return None if found is None else int(found[0])

    def _know(self, pattern: Pattern) -> None:
        self._connection.create_function("fits", 1, pattern.fits, deterministic=True)


_FILES: Final = "SELECT mark, name, position FROM files WHERE mark IS NOT NULL"
_PLACE: Final = "files.mark, files.name, start, size"
_ONE: Final = f"""
SELECT {_PLACE} FROM decisions JOIN files ON files.id = file WHERE decision_id = ? ORDER BY decisions.id DESC LIMIT 1
"""  # noqa: S608 - columns and tables are put in, values are bound
_OF: Final = f"SELECT {_PLACE} FROM events JOIN files ON files.id = file WHERE"  # noqa: S608 - columns and tables are put in, values are bound
_OF_DECISION: Final = f"{_OF} decision_id = ? LIMIT ?"
_OF_CHALLENGE: Final = f"{_OF} challenge = ? LIMIT ?"
_OF_APPROVAL: Final = f"{_OF} approval = ? LIMIT ?"
_CHALLENGES: Final = "SELECT DISTINCT challenge FROM events WHERE decision_id = ? AND challenge IS NOT NULL LIMIT ?"
_BEGAN: Final = """
SELECT decision_id FROM events WHERE (challenge = ? OR approval = ?) AND decision_id IS NOT NULL ORDER BY id LIMIT 1
"""
_BY_ID: Final = f"{SELECTED} WHERE id = ?"
_COUNTS: Final = """
SELECT (minute - ?) / ?, kind, sum(number) FROM counts WHERE minute >= ? AND minute < ? GROUP BY 1, 2
"""


def _mark_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return sha256(file.readline(LONGEST_LINE)).digest()[:MARK_BYTES]


def _found(row: Row) -> Found:
    at, number, decision_id, *words = row
    named = dict(zip(SHOWN, (word or "" for word in words), strict=True))
    return Found(place=(at, number), decision_id=decision_id, **named)
