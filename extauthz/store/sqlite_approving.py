"""The half of the SQLite store that is about approvals: one transaction for each call that changes something."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from extauthz.errors import StateUnavailable
from extauthz.store import sqlite_approvals, sqlite_grants, sqlite_letters, sqlite_revocations
from extauthz.store.approval_rows import barred, from_mark, most_alike
from extauthz.store.approvals import ApprovalPage, ApprovalQuery, News, Opened, Opening, Replaced
from extauthz.store.sqlite_file import SqliteFile
from extauthz.store.sqlite_news import SqliteNews
from extauthz.values.approvals import Absence, Approval
from extauthz.values.grants import Grant
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState


class SqliteApproving(ABC):
    """Implements `store.approvals.ApprovalStore` and `store.letters.LetterStore`.

    What nobody waits for goes through `aside`.
    """

    def __init__(self, path: Path, writes: SqliteFile, reads: SqliteFile, aside: SqliteFile) -> None:
        self._path = path
        self._writes = writes
        self._reads = reads
        self._aside = aside
        self._news = SqliteNews(path)

    async def open_approval(
        self,
        new: Approval,
        *,
        grants: Sequence[Grant] = (),
        letters: Sequence[Letter] = (),
        keep: float,
        most_open: int,
        despite: str = "",
        now: float,
    ) -> Opening:
        def work(connection: sqlite3.Connection) -> Opening:
            self._sweep(connection, now)
            other = sqlite_approvals.with_key(connection, new, despite=despite, now=now)
            if other is not None:
                return Opening(how=Opened.JOINED, approval=other)
            if new.state == "pending" and (
                sqlite_approvals.open_of(connection, new.subject, now) >= most_open
                or sqlite_approvals.open_alike(connection, new.alike, now) >= most_alike(new)
            ):
                return Opening(how=Opened.FULL)
            refused = _barred(connection, new, grants, now)
            if refused is not None:
                return Opening(how=Opened(refused))
            _write(connection, new, grants, letters, keep, now)
            return Opening(how=Opened.OPENED, approval=new)

        opening = await self._writes.write(work, keep=lambda opening: opening.how is Opened.OPENED)
        self._news.hurry()
        return opening

    async def replace_approval(
        self,
        new: Approval,
        *,
        version: int,
        grants: Sequence[Grant] = (),
        forget: Sequence[str] = (),
        letters: Sequence[Letter] = (),
        keep: float,
        now: float,
    ) -> Replaced:
        def work(connection: sqlite3.Connection) -> Replaced:
            self._sweep(connection, now)
            known = sqlite_approvals.version_of(connection, new.id)
            if known != version:
                return Replaced.GONE if known is None else Replaced.CONFLICT
            refused = _barred(connection, new, grants, now)
            if refused is not None:
                return Replaced(refused)
            sqlite_grants.take_back(connection, new.subject, forget)
            _write(connection, new, grants, letters, keep, now)
            return Replaced.DONE

        replaced = await self._writes.write(work, keep=lambda replaced: replaced is Replaced.DONE)
        self._news.hurry()
        return replaced

    async def approval(self, id_: str) -> Approval | None:
        return (await self.approvals_of((id_,))).get(id_)

    async def approvals_of(self, ids: Sequence[str]) -> Mapping[str, Approval]:
        return await self._reads.read(lambda connection: sqlite_approvals.found(connection, ids))

    async def approvals(self, query: ApprovalQuery, *, most: int, before: str = "") -> ApprovalPage:
        begins = from_mark(before)
        return await self._reads.read(lambda connection: sqlite_approvals.page(connection, query, most, begins))

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        return await self._reads.read(lambda connection: sqlite_approvals.due(connection, most, now))

    async def approval_news(self) -> AsyncIterator[News]:
        async for news in self._news.listen():
            yield news
        raise StateUnavailable(f"store: {self._path}: it is closed")

    async def put_absence(self, absence: Absence, *, now: float) -> bool:
        return await self._writes.write(lambda connection: sqlite_approvals.put_absence(connection, absence, now))

    async def end_absence(self, id_: str, *, now: float) -> bool:
        return await self._writes.write(lambda connection: sqlite_approvals.end_absence(connection, id_, now))

    async def absences(self, *, now: float) -> tuple[Absence, ...]:
        return await self._reads.read(lambda connection: sqlite_approvals.absences(connection, now))

    async def put_letters(self, sink: str, letters: Sequence[Letter], *, most: int, now: float) -> int:
        def work(connection: sqlite3.Connection) -> int:
            self._sweep(connection, now)
            return sqlite_letters.put_some(connection, sink, letters, most, now)

        return await self._aside.write(work)

    async def claim_letters(self, sink: str, *, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        if not await self._reads.read(lambda connection: sqlite_letters.is_due(connection, sink, now)):
            return ()
        return await self._aside.write(lambda connection: sqlite_letters.claim(connection, sink, most, lease, now))

    async def letter_done(self, id_: str, attempt: int, *, now: float) -> bool:  # noqa: ARG002 - by whomever, whenever
        return await self._aside.write(lambda connection: sqlite_letters.done(connection, id_))

    async def letter_later(self, id_: str, attempt: int, *, due_at: float, error: str, now: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            self._sweep(connection, now)
            return sqlite_letters.later(connection, id_, attempt, due_at, error)

        return await self._aside.write(work)

    async def letter_dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        return await self._aside.write(lambda connection: sqlite_letters.dead(connection, id_, attempt, error, now))

    async def letters(
        self, *, dead: bool | None = None, sink: str | None = None, most: int, after: str = ""
    ) -> tuple[LetterState, ...]:
        return await self._reads.read(lambda connection: sqlite_letters.listed(connection, dead, sink, most, after))

    async def replay_letters(self, ids: Sequence[str] | None = None, sink: str | None = None, *, now: float) -> int:
        return await self._writes.write(lambda connection: sqlite_letters.replay(connection, ids, sink, now))

    async def letter_counts(self, *, now: float) -> Mapping[str, LetterCounts]:  # noqa: ARG002 - swept by who writes
        return await self._reads.read(sqlite_letters.counts)

    @abstractmethod
    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove what no longer changes any answer, every so often, inside of a write that happens anyway."""

    def _sweep_approving(self, connection: sqlite3.Connection, now: float) -> None:
        sqlite_approvals.sweep(connection, now)
        sqlite_letters.sweep(connection, now)


def _barred(connection: sqlite3.Connection, new: Approval, grants: Sequence[Grant], now: float) -> str | None:
    return barred(new, tuple(grants), sqlite_revocations.revocations_of(connection, new.subject), now)


def _write(
    connection: sqlite3.Connection,
    new: Approval,
    grants: Sequence[Grant],
    letters: Sequence[Letter],
    keep: float,
    now: float,
) -> None:
    sqlite_grants.put(connection, new.subject, grants, now)
    sqlite_letters.put(connection, letters, now)
    sqlite_approvals.put(connection, new, keep, now)
