"""Calls that are held open for an approval: how many may be, for how long, and what is kept of one that is.

The rules: a call that is held keeps its own bytes, and nothing of what was made of them but which proof of possession
it has used up, for it is decided anew when its wait is over, whyever that is; nobody's calls take the places of
everybody else's; and whoever finds no place is answered at once, and asks again.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from extauthz.check.approval_news import ApprovalNews
from extauthz.check.case import Asked
from extauthz.check.holding_config import HoldingSettings
from extauthz.errors import StateUnavailable
from extauthz.store.approvals import ApprovalStore
from extauthz.values.identity import Subject

MARGIN: Final = 0.3
"""Seconds of the caller's deadline that are left when a hold ends: the call is decided once more, and answered."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A Check that waits: as it came, whose it is, and for which of its approvals news count that came after the
    mark `since`. `until` is on the monotonic clock, and `began_ns` in nanoseconds since the epoch."""

    asked: Asked
    subject: Subject
    approvals: tuple[str, ...]
    since: int
    until: float
    began_ns: int = 0


class HoldCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls are `held` now, and since the start: how many were `woken` by news, how many waited until their
    time was `over`, and how many were `refused` a place."""

    held: int
    woken: int
    over: int
    refused: int


class Holding:
    """The places of one worker. Belongs to one event loop; `clock` is the monotonic one."""

    def __init__(
        self,
        store: ApprovalStore,
        news: ApprovalNews,
        settings: HoldingSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.news = news
        self._store = store
        self._most = settings.at_once
        self._most_of_one = settings.per_subject
        self._clock = clock
        self._held: Counter[Subject] = Counter()
        self._all = 0
        self._woken = self._over = self._refused = 0

    @property
    def counts(self) -> HoldCounts:
        """How it stands now."""
        return HoldCounts(held=self._all, woken=self._woken, over=self._over, refused=self._refused)

    def no_more_than(self, most: int) -> None:
        """Hold no more calls than a transport can."""
        self._most = min(self._most, most)

    def until(self, *, hold: float, remaining: float | None, no_later: float | None) -> float:
        """When the wait of a call must be over, on the monotonic clock: after `hold` seconds, or so long before its
        caller's deadline in `remaining` seconds that it can still be answered, or when an earlier wait would have been.
        """
        seconds = hold if remaining is None else min(hold, remaining - MARGIN)
        until = self._clock() + seconds
        return until if no_later is None else min(until, no_later)

    def has_room(self, subject: Subject, *, until: float) -> bool:
        """Whether a call of this subject may be held until then; one that is refused is counted."""
        if until <= self._clock():
            return False
        if self._fits(subject):
            return True
        self._refused += 1
        return False

    async def wait(self, held: Held) -> None:
        """Return as soon as an approval that the call waits for is answered, or its time is over."""
        if not self._fits(held.subject):  # somebody was quicker
            self._refused += 1
            return
        self._held[held.subject] += 1
        self._all += 1
        since = held.since
        try:
            while True:
                if not await self.news.hear(held.approvals, since=since, seconds=held.until - self._clock()):
                    self._over += 1
                    return
                since = self.news.mark
                if await self._is_answered(held):
                    self._woken += 1
                    return
        finally:
            self._all -= 1
            self._held[held.subject] -= 1
            if not self._held[held.subject]:
                del self._held[held.subject]

    def close(self) -> None:
        """Hold nothing any more: whoever waits is answered now."""
        self._most = 0
        self.news.let_go()

    async def _is_answered(self, held: Held) -> bool:
        """Whether one of its approvals is. News that it was opened, or of a vote that is not the last, wake nobody."""
        try:
            found = await self._store.approvals_of(held.approvals)
        except StateUnavailable:  # whoever decides anew says so
            return True
        return any(id_ not in found or found[id_].state != "pending" for id_ in held.approvals)

    def _fits(self, subject: Subject) -> bool:
        """Whether there is a place. Who has some already gets another only while more are free than they have, so that
        the last ones are for those who have none."""
        own, free = self._held.get(subject, 0), self._most - self._all
        return free > own and own < self._most_of_one
