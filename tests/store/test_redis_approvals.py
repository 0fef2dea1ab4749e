"""Approvals beside a real Redis: who listens and is cut off, what keys live for, pages, and rows nobody wrote."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from redises import RedisProcess
from stepup.proofs import ALICE, NOW
from store.hearing import heard
from store.one_loop import run
from store.opening import KEEP, absence, after, approved, opening, replaced, told
from store.opening import opened as open_all
from store.parts import approval, given, letter

from extauthz.errors import StateUnavailable
from extauthz.store import redis_news
from extauthz.store.approvals import ApprovalQuery, News, Opened, Replaced
from extauthz.store.protocol import Selection, Store

Open = Callable[[str], Store]


async def everything(news: AsyncIterator[News]) -> None:
    """Until the news are that everything may have changed."""
    async with asyncio.timeout(20):
        while not (await anext(news)).everything:
            pass


def test_who_was_cut_off_listens_again_and_is_told_to_look_at_everything(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await everything(news)
            with own.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
            await everything(news)
            await asyncio.to_thread(own.stop, how=signal.SIGKILL)
            await asyncio.to_thread(own.start)
            await everything(news)
            await store.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await heard(news, "a1")

    run(work())


def test_a_redis_that_hangs_is_noticed_by_who_listens(
    own: RedisProcess, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_news, "SILENT_SECONDS", 0.1)
    store = opened(own.url)

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await everything(news)
            listening = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.5)
            assert not listening.done(), "silence alone is none"
            own.pause()
            await asyncio.sleep(0.5)
            own.resume()
            assert (await asyncio.wait_for(listening, 20)).everything

    run(work())


def test_who_may_not_publish_writes_all_the_same(own: RedisProcess, opened: Open) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "resetchannels")
    store = opened(own.url.replace("redis+unix://", "redis+unix://narrow:pw@"))
    assert opening(store, approval(), letters=(letter(),)).how is Opened.OPENED
    assert replaced(store, after(approval())) is Replaced.DONE
    assert told(store, NOW) == ["l1"]


def test_everything_about_approvals_ends_by_itself(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    opening(store, approval(), letters=(letter("l1"), letter("l2")))
    replaced(store, approved(approval()), given(), letters=(letter("l3"),))
    run(store.claim_letters("hook", most=2, lease=30, now=NOW))
    run(store.letter_dead("l1", 1, error="", now=NOW))
    run(store.put_absence(absence("x"), now=NOW))
    with own.client() as client:
        kept = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert all(ttl > 0 for ttl in kept.values()), kept
    assert len(kept) > 10


def test_prefixes_keep_approvals_and_their_news_apart(own: RedisProcess, opened: Open) -> None:
    one, other = opened(own.url), opened(f"{own.url}?prefix=test")

    async def work() -> None:
        async with aclosing(other.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await everything(news)
            await one.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await other.open_approval(approval("b1"), keep=KEEP, most_open=9, now=NOW)
            assert await anext(news) == News(ids=frozenset({"b1"}))
        assert await other.approval("a1") is None
        assert len((await one.approvals(ApprovalQuery(), most=9)).approvals) == 1

    run(work())


@pytest.mark.parametrize("address", ["redis", "cluster"], indirect=True)
def test_a_page_on_which_little_is_meant_may_be_short_and_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extauthz.store.redis_approvals._AT_ONCE", 2)
    monkeypatch.setattr("extauthz.store.redis_approvals._MOST_LOOKS", 3)
    rare = frozenset({4, 17})
    open_all(store, *(approval(f"a{number:02}", rule="rare" if number in rare else "p/r") for number in range(20)))
    found: list[str] = []
    pages, before = 0, ""
    while pages == 0 or before:
        page = run(store.approvals(ApprovalQuery(rule="rare"), most=5, before=before))
        found += [one.id for one in page.approvals]
        pages, before = pages + 1, page.next
    assert found == ["a17", "a04"]
    assert pages > 1


GARBAGE = ("", "x", "1 pending", "1 pending 9e999 k {", "1 pending 9e999 k {}", "\\xff", "nan nan nan nan nan")


def everything_that_is_asked(store: Store) -> list[Any]:
    return [
        store.approval("a1"),
        store.approvals(ApprovalQuery(), most=9),
        store.due_approvals(most=9, now=NOW + 1000),
        store.open_approval(approval("a2", key=approval().key), keep=KEEP, most_open=9, now=NOW),
        store.replace_approval(after(approval()), version=1, keep=KEEP, now=NOW),
        store.absences(now=NOW),
        store.put_absence(absence("x"), now=NOW),
        store.end_absence("x", now=NOW),
        store.claim_letters("hook", most=9, lease=30, now=NOW + 60),
        store.letters(most=9),
        store.letter_later("l1", 1, due_at=NOW, error="", now=NOW),
        store.letter_done("l1", 1, now=NOW),
        store.replay_letters(now=NOW),
        store.letter_counts(now=NOW),
    ]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_nobody_of_us_has_written_is_an_outage_and_no_worse(own: RedisProcess, opened: Open, garbage: str) -> None:
    store = opened(own.url)
    opening(store, approval(), letters=(letter(),))
    run(store.put_absence(absence("x"), now=NOW))
    with own.client() as client:
        hashes = [key for key in client.scan_iter() if client.type(key) == b"hash"]
        kept = {key: client.hgetall(key) for key in hashes}
        refused = 0
        for key in hashes:
            client.hset(key, mapping=dict.fromkeys(kept[key], garbage))
            for asking in everything_that_is_asked(store):
                try:
                    run(asking)
                except StateUnavailable:
                    refused += 1
            client.delete(key)
            client.hset(key, mapping=kept[key])
    assert refused


def test_a_grant_of_an_older_version_is_read(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    opening(store, approval(state="approved", due_at=None), grants=(given(),))
    with own.client() as client:
        (key,) = client.keys("*:grants")
        assert client.hget(key, "text:a1").count(b",") == 8, "without an approval it is written as ever"
    assert run(store.grants(Selection(subject=ALICE), now=NOW)) == (given(),)
