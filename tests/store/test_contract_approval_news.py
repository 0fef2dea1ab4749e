"""Who listens to a store: what they hear of approvals, from every store."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest
from stepup.proofs import NOW
from store.hearing import heard, listening
from store.one_loop import run
from store.opening import KEEP, after
from store.parts import approval

from extauthz.errors import StateUnavailable
from extauthz.store.approvals import News
from extauthz.store.protocol import Store


def test_who_listens_hears_of_every_change(store: Store) -> None:
    async def work() -> None:
        async with aclosing(listening(store)) as first, aclosing(listening(store)) as second:  # type: ignore[type-var]  # it is a generator, and so can be closed
            for news in (first, second):
                assert await anext(news) == News(everything=True)
            await store.open_approval(approval(), keep=KEEP, most_open=50, now=NOW)
            for news in (first, second):
                assert await anext(news) == News(ids=frozenset({"a1"}))
            await store.replace_approval(after(approval()), version=1, keep=KEEP, now=NOW)
            await store.open_approval(approval("a2"), keep=KEEP, most_open=50, now=NOW)
            for news in (first, second):
                await heard(news, "a1", "a2")

    run(work())


def test_what_is_written_through_one_store_is_heard_through_another(
    store: Store, address: str, opened: Callable[[str], Store]
) -> None:
    other = store if address == "memory:" else opened(address)

    async def work() -> None:
        async with aclosing(listening(other)) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await anext(news)
            for number in range(5):
                await store.open_approval(approval(f"a{number}"), keep=KEEP, most_open=50, now=NOW)
                await heard(news, f"a{number}")

    run(work())


def test_who_missed_much_is_told_to_look_at_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.store.memory_news.MOST_NEWS", 3)
    monkeypatch.setattr("extauthz.store.sqlite_approvals.REMEMBERED_NEWS", 3)

    async def work() -> None:
        async with aclosing(listening(store)) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await anext(news)
            for number in range(8):
                await store.open_approval(approval(f"a{number}"), keep=KEEP, most_open=50, now=NOW)
            await heard(news, *(f"a{number}" for number in range(8)))

    run(work())


def test_what_changes_nothing_is_no_news(store: Store) -> None:
    async def work() -> None:
        await store.open_approval(approval(), keep=KEEP, most_open=1, now=NOW)
        async with aclosing(listening(store)) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await anext(news)
            await store.open_approval(approval("a2", key=approval().key), keep=KEEP, most_open=1, now=NOW)
            await store.open_approval(approval("a3"), keep=KEEP, most_open=1, now=NOW)
            await store.replace_approval(after(approval("a4")), version=1, keep=KEEP, now=NOW)
            await store.replace_approval(approval("a1", version=3), version=2, keep=KEEP, now=NOW)
            await store.replace_approval(after(approval()), version=1, keep=KEEP, now=NOW)
            assert await anext(news) == News(ids=frozenset({"a1"}))

    run(work())


def test_who_listens_hears_that_the_store_was_closed(store: Store) -> None:
    async def work() -> None:
        news = listening(store)
        await anext(news)
        closing = asyncio.ensure_future(store.close())
        with pytest.raises(StateUnavailable):
            await asyncio.wait_for(heard(news, "what never comes"), 20)
        await closing

    run(work())
