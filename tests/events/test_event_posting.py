"""Letters on their way into the store: bounded here and there, none lost while there is room, and all accounted for."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from events.event_parts import AT
from patience import GENEROUS
from store.parts import letter

from extauthz.check import event_posting
from extauthz.check.event_posting import AT_ONCE, MOST_HERE, MOST_KEPT, Posting, PostingCounts
from extauthz.errors import StateUnavailable
from extauthz.store.memory import MemoryStore
from extauthz.values.letters import Letter

NOW = AT / 1e9


class Away(MemoryStore):
    """A store that is out of reach, or slow, for as long as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.is_broken = False
        self.sizes: list[int] = []

    async def put_letters(self, sink: str, letters: Sequence[Letter], *, most: int, now: float) -> int:
        if self.is_away:
            raise StateUnavailable("store: out of reach")
        if self.is_broken:
            raise ValueError("a store that does not keep its promise")
        self.sizes.append(len(letters))
        return await super().put_letters(sink, letters, most=most, now=now)

    async def ids(self, sink: str = "siem") -> list[str]:
        return [one.letter.id for one in await self.letters(sink=sink, most=100_000)]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long in tests."""
    for name, seconds in (("PACE", 0.01), ("_AGAIN", 0.01), ("CLOSING", 0.2)):
        monkeypatch.setattr(event_posting, name, seconds)


def letters(count: int, sink: str = "siem", *, first: int = 0) -> list[Letter]:
    return [letter(f"{sink}-{number:05}", sink=sink, approval="") for number in range(first, first + count)]


def posting(store: MemoryStore, *sinks: str) -> Posting:
    return Posting(store, sinks or ("siem",), clock=lambda: NOW)


async def until(posted: Posting, put: int, sink: str = "siem") -> None:
    async with asyncio.timeout(GENEROUS):
        while posted.counts[sink].put < put:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


async def followed(posted: Posting, work: Coroutine[Any, Any, None]) -> None:
    following = asyncio.create_task(posted.follow())
    try:
        await work
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def test_letters_are_put_in_their_order_in_bounded_steps() -> None:
    async def run() -> None:
        store = Away()
        posted = posting(store, "siem", "chat")
        posted.take(letters(250))
        posted.take(letters(3, "chat"))
        await followed(posted, until(posted, 250))
        await posted.finish()
        assert await store.ids() == [one.id for one in letters(250)]
        assert len(await store.ids("chat")) == 3
        assert max(store.sizes) == AT_ONCE
        assert posted.counts["siem"] == PostingCounts(put=250, dropped=0, waiting=0)

    asyncio.run(run())


def test_letters_wait_for_a_store_that_is_away_and_each_is_there_once() -> None:
    async def run() -> None:
        store = Away()
        posted = posting(store)

        async def work() -> None:
            store.is_away = True
            posted.take(letters(150))
            await asyncio.sleep(0.05)
            assert posted.counts["siem"] == PostingCounts(put=0, dropped=0, waiting=150)
            store.is_away = False
            await until(posted, 150)

        await followed(posted, work())
        assert await store.ids() == [one.id for one in letters(150)]

    asyncio.run(run())


def test_what_has_no_room_here_is_dropped_and_counted() -> None:
    async def run() -> None:
        store = Away()
        store.is_away = True
        posted = posting(store, "siem", "chat")
        posted.take(letters(MOST_HERE + 5))
        posted.take(letters(1, "chat"))
        assert posted.counts["siem"] == PostingCounts(put=0, dropped=5, waiting=MOST_HERE)
        assert posted.counts["chat"] == PostingCounts(put=0, dropped=0, waiting=1)
        store.is_away = False
        await posted.finish()
        assert await store.ids() == [one.id for one in letters(MOST_HERE)]

    asyncio.run(run())


def test_what_has_no_room_in_the_store_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_KEPT > MOST_HERE
    monkeypatch.setattr(event_posting, "MOST_KEPT", 120)

    async def run() -> None:
        store = Away()
        posted = posting(store)
        posted.take(letters(300))
        await posted.finish()
        assert posted.counts["siem"] == PostingCounts(put=120, dropped=180, waiting=0)
        assert await store.ids() == [one.id for one in letters(120)]
        for id_ in (await store.ids())[:20]:
            await store.letter_done(id_, 0, now=NOW)
        posted.take(letters(30, first=300))
        await posted.finish()
        assert posted.counts["siem"] == PostingCounts(put=140, dropped=190, waiting=0)

    asyncio.run(run())


def test_at_the_end_a_store_that_stays_away_costs_a_bounded_time_and_what_is_left_is_counted() -> None:
    async def run() -> None:
        store = Away()
        store.is_away = True
        posted = posting(store)
        posted.take(letters(7))
        async with asyncio.timeout(GENEROUS):
            await posted.finish()
        assert posted.counts["siem"] == PostingCounts(put=0, dropped=7, waiting=0)

    asyncio.run(run())


def test_letters_that_no_store_can_keep_do_not_hold_up_the_next_ones() -> None:
    async def run() -> None:
        store = Away()
        store.is_broken = True
        posted = posting(store)
        posted.take(letters(3))

        async def work() -> None:
            async with asyncio.timeout(GENEROUS):
                while not posted.counts["siem"].dropped:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.005)
            store.is_broken = False
            posted.take(letters(2, first=3))
            await until(posted, 2)

        await followed(posted, work())
        assert posted.counts["siem"] == PostingCounts(put=2, dropped=3, waiting=0)

    asyncio.run(run())


def test_letters_of_another_thread_are_put_or_counted_each_of_them() -> None:
    async def run() -> None:
        store = Away()
        posted = posting(store)
        all_of_them = letters(5_000)

        def hand_over() -> None:
            for start in range(0, len(all_of_them), 7):
                posted.take(all_of_them[start : start + 7])

        thread = threading.Thread(target=hand_over)

        async def work() -> None:
            thread.start()
            await asyncio.to_thread(thread.join)

        await followed(posted, work())
        await posted.finish()
        counts = posted.counts["siem"]
        assert counts.put + counts.dropped == len(all_of_them)
        assert counts.put == len(await store.ids())

    asyncio.run(run())
