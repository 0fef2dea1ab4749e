"""The half of the memory store that is about approvals: one step under the lock for each call, from any thread.

The rule: news go out after the change, and only of what was changed.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from threading import Lock

from extauthz.errors import StateUnavailable
from extauthz.store.approval_rows import barred, most_alike
from extauthz.store.approvals import ApprovalPage, ApprovalQuery, News, Opened, Opening, Replaced
from extauthz.store.memory_approvals import MemoryApprovals
from extauthz.store.memory_grants import MemoryGrants
from extauthz.store.memory_letters import MemoryLetters
from extauthz.store.memory_news import MemoryNews
from extauthz.store.memory_revocations import MemoryRevocations
from extauthz.values.approvals import Absence, Approval
from extauthz.values.grants import Grant
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState


class MemoryApproving(ABC):
    """Implements `store.approvals.ApprovalStore` and `store.letters.LetterStore`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._closed = False
        self._grants = MemoryGrants()
        self._revocations = MemoryRevocations()
        self._approvals = MemoryApprovals()
        self._letters = MemoryLetters()
        self._news = MemoryNews()

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
        with self._lock:
            self._check_open()
            good = self._grants.good(new.subject, now) - {despite}
            other = (
                self._approvals.found(new.id)
                or self._approvals.with_key(new.key, good=good, now=now)
                or self._approvals.denial(new.alike, now)
            )
            if other is not None:
                return Opening(how=Opened.JOINED, approval=other)
            if new.state == "pending" and (
                self._approvals.open_of(new.subject, now) >= most_open
                or self._approvals.open_alike(new.alike, now) >= most_alike(new)
            ):
                return Opening(how=Opened.FULL)
            refused = self._barred(new, grants, now)
            if refused is not None:
                return Opening(how=Opened(refused))
            self._write(new, grants, letters, keep, now)
            return Opening(how=Opened.OPENED, approval=new)

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
        with self._lock:
            self._check_open()
            known = self._approvals.found(new.id)
            if known is None:
                return Replaced.GONE
            if known.version != version:
                return Replaced.CONFLICT
            refused = self._barred(new, grants, now)
            if refused is not None:
                return Replaced(refused)
            self._grants.take_back(new.subject, forget)
            self._write(new, grants, letters, keep, now)
            return Replaced.DONE

    async def approval(self, id_: str) -> Approval | None:
        with self._lock:
            self._check_open()
            return self._approvals.found(id_)

    async def approvals_of(self, ids: Sequence[str]) -> Mapping[str, Approval]:
        with self._lock:
            self._check_open()
            found = (self._approvals.found(id_) for id_ in ids)
            return {approval.id: approval for approval in found if approval is not None}

    async def approvals(self, query: ApprovalQuery, *, most: int, before: str = "") -> ApprovalPage:
        with self._lock:
            self._check_open()
            return self._approvals.page(query, most, before)

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        with self._lock:
            self._check_open()
            return self._approvals.due(most, now)

    async def approval_news(self) -> AsyncIterator[News]:
        self._check_open()
        async for news in self._news.listen():
            yield news
        self._check_open()

    async def put_absence(self, absence: Absence, *, now: float) -> bool:
        with self._lock:
            self._check_open()
            return self._approvals.put_absence(absence, now)

    async def end_absence(self, id_: str, *, now: float) -> bool:
        with self._lock:
            self._check_open()
            return self._approvals.end_absence(id_, now)

    async def absences(self, *, now: float) -> tuple[Absence, ...]:
        with self._lock:
            self._check_open()
            return self._approvals.absences(now)

    async def put_letters(self, sink: str, letters: Sequence[Letter], *, most: int, now: float) -> int:
        with self._lock:
            self._check_open()
            self._sweep(now)
            return self._letters.put_some(sink, letters, most, now)

    async def claim_letters(self, sink: str, *, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        with self._lock:
            self._check_open()
            return self._letters.claim(sink, most, lease, now)

    async def letter_done(self, id_: str, attempt: int, *, now: float) -> bool:  # noqa: ARG002 - by whomever, whenever
        with self._lock:
            self._check_open()
            return self._letters.done(id_)

    async def letter_later(
        self,
        id_: str,
        attempt: int,
        *,
        due_at: float,
        error: str,
        now: float,  # noqa: ARG002 - others keep it for so long
    ) -> bool:
        with self._lock:
            self._check_open()
            return self._letters.later(id_, attempt, due_at=due_at, error=error)

    async def letter_dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        with self._lock:
            self._check_open()
            return self._letters.dead(id_, attempt, error=error, now=now)

    async def letters(
        self, *, dead: bool | None = None, sink: str | None = None, most: int, after: str = ""
    ) -> tuple[LetterState, ...]:
        with self._lock:
            self._check_open()
            return self._letters.listed(dead, sink, most, after)

    async def replay_letters(self, ids: Sequence[str] | None = None, sink: str | None = None, *, now: float) -> int:
        with self._lock:
            self._check_open()
            return self._letters.replay(ids, sink, now)

    async def letter_counts(self, *, now: float) -> Mapping[str, LetterCounts]:  # noqa: ARG002 - swept by who writes
        with self._lock:
            self._check_open()
            return self._letters.counts()

    @abstractmethod
    def _sweep(self, now: float) -> None:
        """Forget what no longer changes any answer, every so often; called by whatever writes."""

    def _sweep_approving(self, now: float) -> None:
        self._approvals.sweep(now)
        self._letters.sweep(now)

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnavailable("store: memory: it is closed")

    def _barred(self, new: Approval, grants: Sequence[Grant], now: float) -> str | None:
        return barred(new, tuple(grants), self._revocations.listed(new.subject, now=now), now)

    def _write(
        self, new: Approval, grants: Sequence[Grant], letters: Sequence[Letter], keep: float, now: float
    ) -> None:
        self._grants.put(new.subject, grants, now)
        self._letters.put(letters, now)
        self._approvals.put(new, keep, now)
        self._sweep(now)
        self._news.tell(new.id)
