"""Approvals as they change, for whoever watches them over an API.

The rules: who listens first and then looks misses nothing; the last state of an approval is always told, those in
between perhaps not; and a watch is over when its token is. How many there are is bounded, in all and for one person.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approval_viewing import Seen
from extauthz.check.approver_identity import LoggedIn
from extauthz.store.approvals import News
from extauthz.web.approval_door import LARGEST_PAGE, Door, Wanted
from extauthz.web.approval_refusals import Declined
from extauthz.web.streams import Place, Places

MOST: Final = 500
MOST_OF_ONE: Final = 16
MOST_FIRST: Final = 1000
"""Approvals that are told at the beginning, the newest."""
BEAT: Final = 15.0
"""Seconds after which a watch without news says that it is still there, and its token is looked at again."""

_Mark = tuple[int, str]
"""By which two looks at an approval differ: its version, and its state, which may be due and not written yet."""


class Watches:
    """The watches of one process. Belongs to one event loop."""

    def __init__(self, door: Door, news: ApprovalNews) -> None:
        self._door = door
        self._news = news
        self._places: Places[str] = Places()

    def admit(self, by: LoggedIn) -> Place:
        """A place for one more watch; whoever takes it leaves it when the watch is over, or never begins.

        Raises:
            Declined: there are too many.
        """
        place = self._places.take(by.approver.person, most=MOST, most_of_one=MOST_OF_ONE)
        if place is None:
            raise Declined("too-many-streams", retry_after=BEAT)
        return place

    async def watch(self, by: LoggedIn, wanted: Wanted) -> AsyncIterator[Seen | None]:
        """What is wanted as it is now, the oldest first, and then whatever of it has changed, also what is wanted no
        more since; `None` for nothing new. Ends by raising what ends it: as `Door.enter`, and `StateUnavailable`.
        """
        told: dict[str, _Mark] = {}
        with self._news.listening() as listener:
            for seen in await self._first(by, wanted):
                told[seen.approval.id] = _mark(seen)
                yield seen
            while not self._news.is_over:
                yield None
                news = News()
                try:
                    async with asyncio.timeout(BEAT):
                        news = await listener.next()
                except TimeoutError:
                    pass
                self._door.tokens.check(by)
                async for seen in self._changed(by, wanted, told, news):
                    yield seen

    async def _first(self, by: LoggedIn, wanted: Wanted) -> list[Seen]:
        found: list[Seen] = []
        before = ""
        while len(found) < MOST_FIRST:
            page = await self._door.listed(by, wanted, most=LARGEST_PAGE, before=before)
            found += page.seen
            before = page.next
            if not before:
                break
        return found[::-1]

    async def _changed(self, by: LoggedIn, wanted: Wanted, told: dict[str, _Mark], news: News) -> AsyncIterator[Seen]:
        """What the news are about, if it is wanted or was; `told` is what is known of it already."""
        ids = dict.fromkeys(sorted(news.ids))
        if news.everything:
            ids |= dict.fromkeys([*told, *(seen.approval.id for seen in await self._first(by, wanted))])
        for id_ in ids:
            try:
                seen = await self._door.shown(by, id_)
            except Declined:  # it is gone, or does not concern them any more
                told.pop(id_, None)
                continue
            mark, is_wanted = _mark(seen), wanted.includes(seen)
            if told.get(id_) != mark and (is_wanted or id_ in told):
                yield seen
            if is_wanted:
                told[id_] = mark
            else:
                told.pop(id_, None)


def _mark(seen: Seen) -> _Mark:
    return seen.approval.version, seen.approval.state
