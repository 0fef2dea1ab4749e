"""News of approvals: from the one place where the store tells that something has changed to everybody here who waits.

The rule: news say that something may have changed, never what; who hears them looks. So a message too many is harmless,
and one that is lost costs time only: nobody waits without an end.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import structlog

from extauthz.errors import StateUnavailable
from extauthz.store.approvals import ApprovalStore, News

LATELY: Final = 4096
"""Approvals of which is remembered that there was news, for who has looked just before and waits just after."""
BATCH: Final = 256
"""Approvals that are looked up at a time when any of them may have changed."""
MOST_TOLD: Final = 1024
"""Ids that are kept for a listener who is slow; with more of them, everything may have changed."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Listener:
    """Hears of all that changes; what it has not asked for yet is told in one."""

    _ids: set[str] = field(default_factory=set)
    _everything: bool = False
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> News:
        """What has changed since the last time, as soon as there is something."""
        await self._told.wait()
        self._told.clear()
        news = News(ids=frozenset(self._ids), everything=self._everything)
        self._ids, self._everything = set(), False
        return news

    def tell(self, news: News) -> None:
        """There is news."""
        self._ids |= news.ids
        if news.everything or len(self._ids) > MOST_TOLD:
            self._ids, self._everything = set(), True
        self._told.set()


class ApprovalNews:
    """Takes the news of `store` and tells them on. Belongs to one event loop."""

    def __init__(self, store: ApprovalStore) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[bool]]] = {}
        self._lately: dict[str, int] = {}
        self._number = 0
        self._listeners: dict[int, Listener] = {}
        self._over = False

    @property
    def mark(self) -> int:
        """The moment; taken before an approval is looked at, `hear` then knows of all that came after."""
        return self._number

    async def follow(self) -> None:
        """Tell on what the store tells, until that is closed."""
        try:
            async for news in self._store.approval_news():
                if news.everything:
                    await self._catch_up()
                self.tell(news)
        except StateUnavailable:  # it is closed
            self.tell(News(ids=frozenset(self._waiting), everything=True))

    def tell(self, news: News) -> None:
        """Wake who waits for one of these, and tell those who listen to all."""
        for id_ in news.ids:
            self._number += 1
            self._lately.pop(id_, None)
            self._lately[id_] = self._number
            for waiter in self._waiting.get(id_, ()):
                if not waiter.done():
                    waiter.set_result(True)
        while len(self._lately) > LATELY:
            del self._lately[next(iter(self._lately))]
        for listener in self._listeners.values():
            listener.tell(news)

    async def hear(self, ids: Sequence[str], *, since: int, seconds: float) -> bool:
        """Wait until there is news of one of these approvals since that `mark`; false if there is none in time, or if
        nobody is to wait any more."""
        if any(self._lately.get(id_, -1) > since for id_ in ids):
            return True
        if self._over:  # it was told while whoever asks looked at something
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        for id_ in ids:
            self._waiting.setdefault(id_, []).append(waiter)
        timer = loop.call_later(max(seconds, 0.0), _end, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            for id_ in ids:
                self._forget(id_, waiter)

    @property
    def is_over(self) -> bool:
        """Whether nobody is to wait any more, since the server stops."""
        return self._over

    def let_go(self) -> None:
        """Let everybody go who waits or listens, as if their time were over."""
        self._over = True
        for listener in self._listeners.values():
            listener.tell(News())
        for waiters in self._waiting.values():
            for waiter in waiters:
                _end(waiter)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Somebody who hears of all that changes meanwhile."""
        listener = Listener()
        self._listeners[id(listener)] = listener
        try:
            yield listener
        finally:
            del self._listeners[id(listener)]

    async def _catch_up(self) -> None:
        """Wake who waits for what was answered while nobody heard of it, and nobody else: it may be thousands."""
        ids = iter(tuple(self._waiting))
        while some := tuple(islice(ids, BATCH)):
            try:
                found = await self._store.approvals_of(some)
            except StateUnavailable as error:  # whoever waits looks by itself when its time is over
                _log.warning("approvals-not-caught-up", error=str(error))
                return
            over = [id_ for id_ in some if id_ not in found or found[id_].state != "pending"]
            self.tell(News(ids=frozenset(over), everything=False))

    def _forget(self, id_: str, waiter: asyncio.Future[bool]) -> None:
        waiters = self._waiting[id_]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[id_]


def _end(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
