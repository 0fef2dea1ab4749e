"""The half of the Redis store that is about approvals: what is one step is one script in the slot of their subject."""

from collections.abc import AsyncIterator, Mapping, Sequence

from extauthz.errors import StateUnavailable
from extauthz.store.approvals import ApprovalPage, ApprovalQuery, News, Opening, Replaced
from extauthz.store.redis_approvals import RedisApprovals, Writing
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_letters import RedisLetters
from extauthz.store.redis_news import RedisNews
from extauthz.values.approvals import Absence, Approval
from extauthz.values.grants import Grant
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState


class RedisApproving:
    """Implements `store.approvals.ApprovalStore` and `store.letters.LetterStore`."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._letters = RedisLetters(calls, prefix)
        self._approvals = RedisApprovals(calls, prefix, self._letters)
        self._news = RedisNews(calls, self._approvals.channel)

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
        writing = Writing(approval=new, grants=grants, letters=letters, keep=keep, now=now)
        return await self._approvals.open(writing, most_open=most_open, despite=despite)

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
        writing = Writing(approval=new, grants=grants, forget=forget, letters=letters, keep=keep, now=now)
        return await self._approvals.replace(writing, version=version)

    async def approval(self, id_: str) -> Approval | None:
        return (await self._approvals.found((id_,))).get(id_)

    async def approvals_of(self, ids: Sequence[str]) -> Mapping[str, Approval]:
        return await self._approvals.found(ids)

    async def approvals(self, query: ApprovalQuery, *, most: int, before: str = "") -> ApprovalPage:
        return await self._approvals.page(query, most, before)

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        return await self._approvals.due(most, now)

    async def approval_news(self) -> AsyncIterator[News]:
        async for news in self._news.listen():
            yield news
        raise StateUnavailable("store: redis: it is closed")

    async def put_absence(self, absence: Absence, *, now: float) -> bool:
        return await self._approvals.put_absence(absence, now)

    async def end_absence(self, id_: str, *, now: float) -> bool:
        return await self._approvals.end_absence(id_, now)

    async def absences(self, *, now: float) -> tuple[Absence, ...]:
        return await self._approvals.absences(now)

    async def put_letters(self, sink: str, letters: Sequence[Letter], *, most: int, now: float) -> int:
        return await self._letters.put(sink, letters, most, now)

    async def claim_letters(self, sink: str, *, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        return await self._letters.claim(sink, most, lease, now)

    async def letter_done(self, id_: str, attempt: int, *, now: float) -> bool:  # noqa: ARG002 - by whomever, whenever
        return await self._letters.done(id_)

    async def letter_later(
        self,
        id_: str,
        attempt: int,
        *,
        due_at: float,
        error: str,
        now: float,  # noqa: ARG002 - it has none to keep
    ) -> bool:
        return await self._letters.later(id_, attempt, due_at=due_at, error=error)

    async def letter_dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        return await self._letters.dead(id_, attempt, error=error, now=now)

    async def letters(
        self, *, dead: bool | None = None, sink: str | None = None, most: int, after: str = ""
    ) -> tuple[LetterState, ...]:
        return await self._letters.listed(dead, sink, most, after)

    async def replay_letters(self, ids: Sequence[str] | None = None, sink: str | None = None, *, now: float) -> int:
        return await self._letters.replay(ids, sink, now)

    async def letter_counts(self, *, now: float) -> Mapping[str, LetterCounts]:  # noqa: ARG002 - swept by who claims
        return await self._letters.counts()
