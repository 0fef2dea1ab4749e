"""From the store to whoever is told: nothing is lost, nobody waits for anybody else, and who is down is left alone."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from patience import GENEROUS
from prometheus_client.parser import text_string_to_metric_families
from publishing import Page, Site, publishing
from telling.hostile import hangs, hostile
from telling.telling_parts import NOW, PAGES, SECRET, a_hook, an_approval, letters_of

from extauthz.approval.telling.attempts import Delivered, Outcome, Patience
from extauthz.approval.telling.message import approval_message
from extauthz.approval.telling.signing import signing_key
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.deliveries import AT_ONCE, MARGIN, Addressee, Deliveries
from extauthz.errors import StateUnavailable
from extauthz.lookup.telling.secrets import WebhookSecrets
from extauthz.lookup.telling.webhooks import Webhook
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store
from extauthz.store.sqlite import SqliteStore
from extauthz.values.letters import Letter
from extauthz.web.metrics import Metrics

SECONDS = 20.0
"""What an attempt may take: a server of a test takes few connections at once, and lets the others try again."""


@pytest.fixture
def site() -> Iterator[Site]:
    with publishing() as running:
        running.pages["/in"] = Page(status=204)
        yield running


class Clock:
    """Seconds since the epoch, which go on when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def hook_at(url: str, *, attempts: int = 50, max_age: float = 3600.0) -> Addressee:
    settings = a_hook(url=url, addresses=["127.0.0.1"], timeout=f"{SECONDS:g}s")
    secrets = WebhookSecrets(url=url, keys=(signing_key(SECRET),))
    sender = Webhook(settings, secrets=lambda: secrets, base=Path(), wording=partial(approval_message, pages=PAGES))
    return Addressee(sender=sender, seconds=SECONDS, patience=Patience(attempts=attempts, max_age=max_age))


async def open_with_letters(store: Store, sinks: Sequence[str], *, number: int = 1) -> tuple[Letter, ...]:
    approval = an_approval(id=f"apv-{number}", key=f"key-{number}", binding=f"binding-{number}")
    letters = letters_of(approval, webhooks=[a_hook(name=sink) for sink in sinks])
    await store.open_approval(approval, letters=letters, keep=60, most_open=1000, now=NOW)
    return letters


async def until(what: Callable[[], bool]) -> None:
    while not what():  # noqa: ASYNC110 - servers in threads tell of nothing by an event
        await asyncio.sleep(0.01)


async def settled(store: Store) -> None:
    """Until there is no letter that waits."""
    while await store.letters(dead=False, most=1):  # noqa: ASYNC110 - stores tell of letters by no event
        await asyncio.sleep(0.01)


async def telling(
    store: Store,
    addressees: dict[str, Addressee],
    clock: Clock,
    what: Callable[[Deliveries], Coroutine[Any, Any, None]],
) -> Deliveries:
    """Do something while letters are delivered."""
    deliveries = Deliveries(store, addressees, clock=clock, chance=lambda: 0.0)
    news = ApprovalNews(store)
    running = [asyncio.create_task(one) for one in (what(deliveries), news.follow(), deliveries.follow(news))]
    ended, others = await asyncio.wait(running, timeout=GENEROUS, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert ended == {running[0]}
    await running[0]
    return deliveries


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "letters.db")


def run(store: Store, what: Coroutine[Any, Any, Any]) -> None:
    async def and_close() -> None:
        try:
            await what
        finally:
            await store.close()

    asyncio.run(and_close())


def events_at(site: Site) -> list[str]:
    return [one.headers["webhook-id"] for one in site.asked]


def test_what_happens_is_told_and_forgotten(store: Store, site: Site) -> None:
    async def tell(_: Deliveries) -> None:
        await open_with_letters(store, ["audit"], number=2)
        await settled(store)

    async def scene() -> None:
        (first,) = await open_with_letters(store, ["audit"])
        deliveries = await telling(store, {"audit": hook_at(f"{site.url}/in")}, Clock(), tell)
        assert sorted(events_at(site)) == [first.event, "apv-2-1-0"]
        assert deliveries.standings["audit"].delivered == 2
        assert await store.letters(most=10) == ()

    run(store, scene())


def test_a_letter_waits_for_a_receiver_that_is_down_and_comes_with_the_same_id(store: Store, site: Site) -> None:
    clock = Clock()

    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: deliveries.standings["audit"].failed == 1)
        (state,) = await store.letters(most=1)
        assert (state.attempts, state.due_at, state.error) == (1, NOW + 5, "answered with 500")
        site.pages["/in"] = Page(status=204)
        deliveries.hurry()
        await asyncio.sleep(0.2)
        assert len(site.asked) == 1  # it is not due
        clock.now += 5
        deliveries.hurry()
        await settled(store)

    async def scene() -> None:
        site.pages["/in"] = Page(status=500)
        await open_with_letters(store, ["audit"])
        await telling(store, {"audit": hook_at(f"{site.url}/in")}, clock, tell)
        once, again = site.asked
        assert once.headers["webhook-id"] == again.headers["webhook-id"]
        assert once.body == again.body
        assert int(again.headers["webhook-timestamp"]) == int(once.headers["webhook-timestamp"]) + 5
        assert once.headers["webhook-signature"] != again.headers["webhook-signature"]

    run(store, scene())


def test_a_receiver_that_hangs_holds_up_nobody_else(store: Store, site: Site) -> None:
    async def tell(_: Deliveries) -> None:
        await until(lambda: len(site.asked) == 20)

    async def scene() -> None:
        with hostile(hangs) as receiver:
            for number in range(20):
                await open_with_letters(store, ["audit", "slow"], number=number)
            addressees = {"slow": hook_at(f"http://127.0.0.1:{receiver.port}/in"), "audit": hook_at(f"{site.url}/in")}
            await telling(store, addressees, Clock(), tell)
            assert 1 <= receiver.connections <= AT_ONCE
            assert len(await store.letters(sink="slow", dead=False, most=100)) == 20

    run(store, scene())


def test_a_receiver_that_is_down_is_asked_by_few_letters_and_gets_all_of_them_in_the_end(
    store: Store, site: Site
) -> None:
    clock = Clock()

    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: len(site.asked) >= AT_ONCE)
        for _ in range(3):
            deliveries.hurry()
            await asyncio.sleep(0.1)
        assert len(site.asked) <= AT_ONCE + 3
        site.pages["/in"] = Page(status=200)
        clock.now += 3600
        deliveries.hurry()
        await settled(store)

    async def scene() -> None:
        site.pages["/in"] = Page(status=503)
        for number in range(30):
            await open_with_letters(store, ["audit"], number=number)
        await telling(store, {"audit": hook_at(f"{site.url}/in", max_age=7200)}, clock, tell)
        taken = [one.headers["webhook-id"] for one in site.asked if one.status == 200]
        assert sorted(taken) == sorted(f"apv-{number}-1-0" for number in range(30))

    run(store, scene())


def test_a_letter_that_nobody_takes_is_kept_and_can_be_sent_again(store: Store, site: Site) -> None:
    clock = Clock()

    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: deliveries.standings["audit"].failed == 1)
        clock.now += 60
        await until(lambda: deliveries.standings["audit"].given_up == 1)
        (state,) = await store.letters(dead=True, most=10)
        assert (state.attempts, state.error, state.dead_at) == (2, "answered with 404", NOW + 60)
        site.pages["/in"] = Page(status=204)
        assert await store.replay_letters(now=clock.now) == 1
        await until(lambda: deliveries.standings["audit"].delivered == 1)

    async def scene() -> None:
        site.pages["/in"] = Page(status=404)
        await open_with_letters(store, ["audit"])
        await telling(store, {"audit": hook_at(f"{site.url}/in", attempts=2)}, clock, tell)
        assert await store.letters(most=10) == ()
        assert len(set(events_at(site))) == 1

    run(store, scene())


def test_a_letter_that_has_become_too_old_is_given_up(store: Store, site: Site) -> None:
    clock = Clock()
    clock.now += 3600

    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: deliveries.standings["audit"].given_up == 1)

    async def scene() -> None:
        site.pages["/in"] = Page(status=404)
        await open_with_letters(store, ["audit"])
        await telling(store, {"audit": hook_at(f"{site.url}/in", max_age=60)}, clock, tell)
        assert len(await store.letters(dead=True, most=10)) == 1

    run(store, scene())


def test_who_wants_no_more_is_sent_no_more_until_the_server_is_told_to_look_again(store: Store, site: Site) -> None:
    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: deliveries.standings["audit"].given_up == 1)
        assert deliveries.standings["audit"].is_gone
        await open_with_letters(store, ["audit"], number=2)
        await until(lambda: deliveries.standings["audit"].given_up == 2)
        assert len(site.asked) == 1
        assert all("wants no more" in state.error for state in await store.letters(dead=True, most=10))
        site.pages["/in"] = Page(status=204)
        deliveries.hurry()
        assert await store.replay_letters(now=NOW) == 2
        await until(lambda: deliveries.standings["audit"].delivered == 2)
        assert not deliveries.standings["audit"].is_gone

    async def scene() -> None:
        site.pages["/in"] = Page(status=410)
        await open_with_letters(store, ["audit"])
        await telling(store, {"audit": hook_at(f"{site.url}/in")}, Clock(), tell)

    run(store, scene())


def test_what_somebody_had_who_died_is_told_by_the_next_one(store: Store, site: Site) -> None:
    clock = Clock()

    async def tell(_: Deliveries) -> None:
        await asyncio.sleep(0.2)
        assert site.asked == []
        clock.now += SECONDS + MARGIN
        await settled(store)

    async def scene() -> None:
        (letter,) = await open_with_letters(store, ["audit"])
        (claim,) = await store.claim_letters("audit", most=8, lease=SECONDS + MARGIN, now=NOW)
        assert claim.letter == letter  # and nobody hears of it again
        await telling(store, {"audit": hook_at(f"{site.url}/in")}, clock, tell)
        assert events_at(site) == [letter.event]

    run(store, scene())


def test_two_servers_share_the_letters(store: Store, site: Site) -> None:
    async def nothing(_: Deliveries) -> None:
        await settled(store)

    async def scene() -> None:
        for number in range(16):
            await open_with_letters(store, ["audit"], number=number)
        both = [telling(store, {"audit": hook_at(f"{site.url}/in")}, Clock(), nothing) for _ in range(2)]
        one, other = await asyncio.gather(*both)
        assert sorted(events_at(site)) == sorted(f"apv-{number}-1-0" for number in range(16))
        assert one.standings["audit"].delivered + other.standings["audit"].delivered == 16

    run(store, scene())


class Faltering(MemoryStore):
    """Out of reach now and then when it is told how letters went."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = 1

    async def letter_done(self, id_: str, attempt: int, *, now: float) -> bool:
        if self.failing:
            self.failing -= 1
            raise StateUnavailable("the store is out of reach")
        return await super().letter_done(id_, attempt, now=now)


def test_a_store_that_is_out_of_reach_for_a_moment_is_told_later_and_nothing_is_sent_twice(site: Site) -> None:
    store = Faltering()

    async def tell(_: Deliveries) -> None:
        await settled(store)

    async def scene() -> None:
        (letter,) = await open_with_letters(store, ["audit"])
        await telling(store, {"audit": hook_at(f"{site.url}/in")}, Clock(), tell)
        assert events_at(site) == [letter.event]

    run(store, scene())


class Broken:
    """Has an error of its own, once."""

    def __init__(self) -> None:
        self.tries = 0

    async def send(self, letter: Letter, *, now: float) -> Outcome:
        del letter, now
        self.tries += 1
        if self.tries == 1:
            raise RuntimeError("a bug")
        return Delivered()


def test_an_error_of_our_own_loses_nothing(store: Store) -> None:
    clock, broken = Clock(), Broken()

    async def tell(deliveries: Deliveries) -> None:
        await until(lambda: deliveries.standings["audit"].failed == 1)
        (state,) = await store.letters(most=1)
        assert "an error of this server: RuntimeError" in state.error
        clock.now += 60
        await settled(store)

    async def scene() -> None:
        await open_with_letters(store, ["audit"])
        addressee = Addressee(sender=broken, seconds=1, patience=Patience(attempts=5, max_age=3600))
        await telling(store, {"audit": addressee}, clock, tell)

    run(store, scene())


def test_metrics_tell_what_waits_and_for_how_long(store: Store, site: Site) -> None:
    metrics = Metrics()
    found: dict[str, float] = {}

    async def tell(deliveries: Deliveries) -> None:
        metrics.follow_deliveries(lambda: deliveries.standings)
        await until(lambda: deliveries.standings["slow"].counts is not None)
        await until(lambda: deliveries.standings["audit"].delivered == 1)
        text, _ = metrics.families().exposition("text/plain")
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                if sample.name.startswith("extauthz_deliveries"):
                    labels = [sample.labels["sink"], *filter(None, [sample.labels.get("result")])]
                    found[" ".join([sample.name.removeprefix("extauthz_deliveries"), *labels])] = sample.value

    async def scene() -> None:
        with hostile(hangs) as receiver:
            await open_with_letters(store, ["audit", "slow"])
            addressees = {"slow": hook_at(f"http://127.0.0.1:{receiver.port}/in"), "audit": hook_at(f"{site.url}/in")}
            await telling(store, addressees, Clock(), tell)
        assert found["_total audit delivered"] == 1
        assert found["_waiting slow"] == 1
        assert found["_oldest_timestamp_seconds slow"] == NOW
        assert found["_dead slow"] == 0
        assert found["_unwanted slow"] == 0

    run(store, scene())
