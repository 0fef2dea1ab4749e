"""Approvals beside a real Redis: what stops halfway, what is cut off, what keys live for, and what may be refused."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from redises import RedisProcess
from stepup.proofs import ALICE, NOW, SESSION
from store.conftest import empty_store
from store.hearing import heard
from store.one_loop import run
from store.opening import KEEP, absence, after, approved, opening, replaced
from store.opening import opened as open_all
from store.parts import approval, given, letter

from extauthz.errors import StateUnavailable
from extauthz.store import redis_news
from extauthz.store.approvals import ApprovalQuery, News, Opened, Replaced
from extauthz.store.protocol import CLOCK_SKEW, Selection, Store
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_letters import RedisLetters
from extauthz.store.redis_route import Command
from extauthz.store.redis_scripts import Run
from extauthz.store.redis_server import Reply
from extauthz.values.letters import LetterCounts

Open = Callable[[str], Store]
LATER = NOW + 2 * CLOCK_SKEW + 1
"""When nobody can be in the middle of anything that began at NOW."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may break; it keeps every write on disk."""
    with RedisProcess(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start() as running:
        yield running


@pytest.fixture(params=["redis", "cluster"])
def address(request: pytest.FixtureRequest) -> str:
    return empty_store(request)


class Cut:
    """Lets so many calls to a Redis through, and no more: as if the process had been killed there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self._run = RedisCalls.run

        async def cut_off(calls: RedisCalls, *asked: Run | Command) -> list[Reply]:
            if self.left == 0:
                raise StateUnavailable("killed")
            self.left -= 1
            return await self._run(calls, *asked)

        monkeypatch.setattr(RedisCalls, "run", cut_off)

    def heal(self) -> None:
        """Let everything through."""
        self.left = -1


def told(store: Store, now: float) -> list[str]:
    claims = run(store.claim_letters("hook", most=50, lease=30, now=now))
    for claim in claims:
        assert run(store.letter_done(claim.letter.id, claim.attempt, now=now))
    return sorted(claim.letter.id for claim in claims)


def due(store: Store, now: float) -> list[str]:
    return [one.id for one in run(store.due_approvals(most=50, now=now))]


def waiting(store: Store) -> list[str]:
    """The letters that are there, and counted to be."""
    there = run(store.letters(dead=False, most=50))
    counts = run(store.letter_counts(now=NOW)).get("hook", LetterCounts(waiting=0, dead=0))
    assert counts.waiting == len(there)
    assert counts.oldest_at == min((one.letter.at for one in there), default=None)
    return [one.letter.id for one in there]


def lists(store: Store) -> dict[str, list[str]]:
    """What is on the lists of all subjects, whatever it is."""

    async def read() -> dict[str, list[str]]:
        calls = store._approvals._calls  # type: ignore[attr-defined]
        found = {}
        for name in store._approvals._lists:  # type: ignore[attr-defined]
            verb = ("HKEYS", name) if name.endswith(":places") else ("ZRANGE", name, 0, -1)
            (reply,) = await calls.exchange(Command(key=name, words=verb))
            found[name.rpartition(":")[2]] = sorted(member.decode() for member in reply)
        return found

    return run(read())


@pytest.mark.parametrize("calls", range(4))
def test_an_opening_that_stops_anywhere_is_done_or_not_and_leaves_nothing_over(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        opening(store, approval(), letters=(letter(),))
    cut.heal()
    other = opened(address)
    is_there = run(other.approval("a1")) is not None
    assert is_there == (calls == 3)
    assert waiting(other) == (["l1"] if is_there else []), "what was only announced is not counted"
    assert told(other, NOW) == (["l1"] if is_there else [])
    assert due(other, NOW + 900) == (["a1"] if is_there else [])
    assert told(other, LATER + 30) == []
    if not is_there:
        assert all(not left for left in lists(other).values()), "nothing is looked for any more"
    assert opening(other, approval(), letters=(letter(),)).how is (Opened.JOINED if is_there else Opened.OPENED)


@pytest.mark.parametrize("calls", range(3))
def test_a_change_that_stops_anywhere_is_done_or_not_with_all_that_goes_with_it(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    open_all(store, approval())
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        replaced(store, approved(approval()), given(), letters=(letter(),))
    cut.heal()
    other = opened(address)
    is_done = calls == 2
    there = run(other.approval("a1"))
    assert there == (approved(approval()) if is_done else approval())
    assert bool(run(other.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == is_done
    assert waiting(other) == (["l1"] if is_done else [])
    assert told(other, NOW + 1) == (["l1"] if is_done else [])
    pending = run(other.approvals(ApprovalQuery(states=frozenset({"pending"})), most=9)).approvals
    assert [one.id for one in pending] == ([] if is_done else ["a1"])
    assert due(other, NOW + 1000) == due(other, NOW + 1006) == ([] if is_done else ["a1"])
    if not is_done:
        assert replaced(other, approved(approval()), given(), letters=(letter(),)) is Replaced.DONE
        assert told(other, NOW + 9) == ["l1"]


def test_what_the_dead_have_listed_keeps_the_clerk_from_nothing(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Cut(monkeypatch, 2)
    for number in range(5):
        cut.left = 2
        with pytest.raises(StateUnavailable):
            opening(store, approval(f"dead{number}", due_at=NOW + 1))
    cut.heal()
    other = opened(address)
    open_all(other, approval("a1", due_at=NOW + 5))
    assert [one.id for one in run(other.due_approvals(most=2, now=LATER))] == ["a1"]


def test_letters_that_nobody_has_written_are_not_counted_while_they_are_looked_for(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening(store, approval(), letters=(letter("l1", at=NOW + 1),))
    cut = Cut(monkeypatch, 2)
    with pytest.raises(StateUnavailable):
        opening(store, approval("a2"), letters=(letter("l2"), letter("l3")))
    cut.heal()
    assert replaced(store, after(after(approval())), letters=(letter("l4"),)) is Replaced.CONFLICT
    other = opened(address)
    assert waiting(other) == ["l1"]
    assert told(other, NOW) == ["l1"]
    assert waiting(other) == []
    assert told(other, LATER) == []
    assert run(other.letter_counts(now=LATER))["hook"] == LetterCounts(waiting=0, dead=0)


@pytest.mark.parametrize("calls", range(2, 5))
def test_a_claim_that_stops_anywhere_leaves_the_letter_due_at_the_latest_when_it_ends(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    opening(store, approval(), letters=(letter(),))
    run(store.claim_letters("another", most=1, lease=30, now=NOW))  # sweeps
    cut = Cut(monkeypatch, calls - 2)
    with suppress(StateUnavailable):
        run(store.claim_letters("hook", most=9, lease=30, now=NOW))
    cut.heal()
    other = opened(address)
    assert waiting(other) == ["l1"]
    assert told(other, NOW + 29) == (["l1"] if calls < 4 else [])
    assert told(other, NOW + 30) == ([] if calls < 4 else ["l1"])


@pytest.mark.parametrize("what", ["done", "later", "dead", "again"])
@pytest.mark.parametrize("calls", range(3))
def test_what_is_said_of_a_letter_and_stops_anywhere_loses_none(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, what: str, calls: int
) -> None:
    opening(store, approval(), letters=(letter(),))
    run(store.claim_letters("hook", most=9, lease=30, now=NOW))
    if what == "again":
        assert run(store.letter_dead("l1", 1, error="", now=NOW))
    acts: dict[str, Callable[[], Any]] = {
        "done": lambda: store.letter_done("l1", 1, now=NOW),
        "later": lambda: store.letter_later("l1", 1, due_at=NOW + 60, error="", now=NOW),
        "dead": lambda: store.letter_dead("l1", 1, error="", now=NOW),
        "again": lambda: store.replay_letters(now=NOW),
    }
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        run(acts[what]())
    cut.heal()
    other = opened(address)
    left = {one.letter.id: one.dead_at is not None for one in run(other.letters(most=9))}
    assert left == ({} if what == "done" and calls > 0 else {"l1": left.get("l1")})
    assert told(other, NOW + 60) == [id_ for id_, is_dead in left.items() if not is_dead]
    is_dead = any(left.values())
    counts = run(other.letter_counts(now=NOW))["hook"]
    assert (counts.waiting, counts.dead) == (0, is_dead)
    assert run(other.replay_letters(now=NOW + 60)) == is_dead
    assert told(other, NOW + 60) == (["l1"] if is_dead else [])
    assert run(other.letters(most=9)) == ()


def test_a_clock_that_is_behind_makes_nobody_forget_what_is_being_written(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, now = opened(address), NOW + CLOCK_SKEW
    announced = RedisLetters.announced
    looked: list[int] = []

    def meanwhile(letters: RedisLetters, *of: Any) -> list[Run]:
        looked.append(1)
        return announced(letters, *of)

    monkeypatch.setattr(RedisLetters, "announced", meanwhile)
    run_script = RedisCalls.run

    async def between(calls: RedisCalls, *asked: Run | Command) -> list[Reply]:
        done = await run_script(calls, *asked)
        if len(looked) == 1:
            looked.append(2)
            assert await ahead.claim_letters("hook", most=9, lease=30, now=now) == ()
            assert await ahead.due_approvals(most=9, now=now) == ()
        return done

    monkeypatch.setattr(RedisCalls, "run", between)
    opening(store, approval(due_at=NOW + 1), letters=(letter(),))
    assert looked == [1, 2]
    assert told(ahead, now + 10) == ["l1"]
    assert due(ahead, now + 10) == ["a1"]


def test_asking_again_for_what_is_pending_is_one_round_trip(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    open_all(store, approval())
    cut = Cut(monkeypatch, 1)
    assert opening(store, approval("a2", key=approval().key)).how is Opened.JOINED
    assert cut.left == 0


async def everything(news: AsyncIterator[News]) -> None:
    """Until the news are that everything may have changed."""
    async with asyncio.timeout(20):
        while not (await anext(news)).everything:
            pass


def test_who_was_cut_off_listens_again_and_is_told_to_look_at_everything(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]
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
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]
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
        async with aclosing(other.approval_news()) as news:  # type: ignore[type-var]
            await everything(news)
            await one.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await other.open_approval(approval("b1"), keep=KEEP, most_open=9, now=NOW)
            assert await anext(news) == News(ids=frozenset({"b1"}))
        assert await other.approval("a1") is None
        assert len((await one.approvals(ApprovalQuery(), most=9)).approvals) == 1

    run(work())


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
        store.due_approvals(most=9, now=LATER),
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
