"""A server that is asked all the time while its Redis ends and hangs, and what it says before, meanwhile and after."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

import pytest
from app.callers import Browser, Gateway, new_request
from app.replicas import SharedRedis, Site, running_site
from checking import told
from redises import RedisProcess

OUTAGE = 1.0
RECOVERY = 2.0
"""Seconds that the server may take until it decides again."""
AFTERWARDS = 1.0
DENIED, DECIDED = ("state-unavailable", 503), ("proof-required", 302)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Reason and HTTP status, and when the request was sent and answered."""

    said: tuple[str, int]
    sent: float
    came: float


@dataclass(kw_only=True)
class Load:
    """Callers of whom each asks again as soon as it is answered."""

    gateway: Gateway
    address: str
    open: list[Answer] = field(default_factory=list)
    guarded: list[Answer] = field(default_factory=list)
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    async def ask(self, answers: list[Answer], request: Callable[[], bytes]) -> None:
        """One of them; `answers` gets what it is told."""
        while not self.over:
            sent = time.monotonic()
            response = await self.gateway.ask(self.address, request())
            assert response is not None, "every Check is answered"
            said = told(response)["reason"], int(response.denied_response.status.code)
            answers.append(Answer(said=said, sent=sent, came=time.monotonic()))
            if said == DECIDED:
                self.decided.set()
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A Redis that tests stop."""
    with RedisProcess(tmp_path_factory.mktemp("redis")).start() as running:
        yield running


@pytest.fixture(scope="module")
def site(redis: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server that uses it."""
    with running_site(tmp_path_factory.mktemp("site"), SharedRedis(redis), servers=1) as running:
        yield running


@pytest.mark.parametrize("how", ["ended", "hanging"])
def test_while_its_redis_is_away_a_server_denies_what_needs_it_and_after_that_it_recovers_in_two_seconds(
    site: Site, redis: RedisProcess, how: str
) -> None:
    leave, come = (redis.stop, redis.start) if how == "ended" else (redis.pause, redis.resume)

    async def live() -> tuple[Load, float, float, float]:
        async with Gateway(site) as gateway:
            load = Load(gateway=gateway, address=site.replicas[0].said["grpc"])
            browser = Browser.of("alice", gateway, site)
            await gateway.check(browser.request("/once/1"))  # until the server knows what is revoked
            asking = [load.ask(load.guarded, lambda: browser.request("/once/1")) for _ in range(6)]
            asking += [load.ask(load.open, lambda: new_request("/open")) for _ in range(2)]
            tasks = [asyncio.create_task(one) for one in asking]
            await load.decided.wait()
            await asyncio.to_thread(leave)
            gone = time.monotonic()
            await asyncio.sleep(OUTAGE)
            coming = time.monotonic()
            await asyncio.to_thread(come)
            there = time.monotonic()
            await asyncio.sleep(RECOVERY + AFTERWARDS)
            load.over = True
            await asyncio.gather(*tasks)
            return load, gone, coming, there

    load, gone, coming, there = asyncio.run(live())
    assert {answer.said for answer in load.open} == {("allowed", 0)}
    assert {answer.said for answer in load.guarded} == {DENIED, DECIDED}
    meanwhile = [answer.said for answer in load.guarded if answer.sent >= gone and answer.came <= coming]
    assert set(meanwhile) == {DENIED}
    back = [answer.sent - there for answer in load.guarded if answer.sent >= there and answer.said == DECIDED]
    assert min(back, default=inf) < RECOVERY
    late = [answer.said for answer in load.guarded if answer.sent >= there + RECOVERY]
    # A busy machine may let a single call wait for longer than a store may take.
    assert late.count(DECIDED) > 0.9 * len(late)
