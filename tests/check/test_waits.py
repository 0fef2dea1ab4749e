"""What decisions wait for, and the span that a decision will be where something links to it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from check.waiting import ROOMY, held_open, policy, scene_on
from checking import Bench, make_bench

from extauthz.check.waits import SHORTEST_NS, Waits
from extauthz.errors import StateUnavailable
from extauthz.record.decision import Trace, Wait
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Found
from extauthz.values.decisions import Allow, Challenge, Deny
from extauthz.values.request import RequestView
from extauthz.values.span_ids import SpanIds


class Slow(MemoryStore):
    """A store whose look-ups take a while by the clock of the bench, and may fail then."""

    def __init__(self) -> None:
        super().__init__()
        self.now = [0.0]
        self.seconds = 0.0
        self.broken = False

    async def look_up(self, *asked: Any, **how: Any) -> Found:
        self.now[0] += self.seconds
        if self.broken:
            raise StateUnavailable("the store is gone")
        return await super().look_up(*asked, **how)


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture
def bench(store: Slow) -> Bench:
    made = make_bench(store)
    store.now = made.now
    return made


class Giver:
    """Gives spans out, one after the other."""

    def __init__(self) -> None:
        self.given: list[SpanIds] = []

    def give(self, trace: Trace, request: RequestView | None) -> SpanIds:  # noqa: ARG002 - its interface
        self.given.append(SpanIds(1, len(self.given) + 1, sampled=True))
        return self.given[-1]


def test_a_store_that_takes_a_while_is_a_wait(bench: Bench, store: Slow) -> None:
    store.seconds = 0.002
    began = bench.now[0]
    bench.decision(bench.as_user("/pay?amount=2000"))
    (record,) = bench.records.kept
    assert isinstance(record.decision, Challenge)
    (wait,) = record.waits
    assert (wait.name, wait.failed) == ("store", False)
    assert wait.started_ns == int(began * 1e9)
    assert wait.ended_ns == int((began + 0.002) * 1e9)


def test_what_is_answered_at_once_is_no_wait(bench: Bench) -> None:
    bench.decision(bench.as_user("/pay?amount=2000"))
    bench.decision(bench.as_user("/pay?amount=1"))
    assert [record.waits for record in bench.records.kept] == [(), ()]


def test_a_store_that_gives_no_answer_is_a_wait_that_has_failed(bench: Bench, store: Slow) -> None:
    store.seconds, store.broken = 0.002, True
    bench.decision(bench.as_user("/pay?amount=2000"))
    (record,) = bench.records.kept
    assert isinstance(record.decision, Deny)
    assert [(wait.name, wait.failed) for wait in record.waits] == [("store", True)]


def test_waits_are_noted_from_their_shortest_on_and_go_on_from_those_before() -> None:
    now = [0]
    before = Wait("hold", 0, 5)
    waits = Waits(lambda: now[0], [before])
    with waits.on("store"):
        now[0] += SHORTEST_NS - 1
    with waits.on("attributes"):
        now[0] += SHORTEST_NS
    assert waits.noted == (before, Wait("attributes", SHORTEST_NS - 1, 2 * SHORTEST_NS - 1))


def test_a_challenge_is_told_the_span_that_its_decision_will_be(bench: Bench) -> None:
    giver = Giver()
    linked = bench_with(bench, giver)
    linked.decision(linked.as_user("/pay?amount=2000"))
    linked.decision(linked.as_user("/pay?amount=1"))
    challenged, allowed = linked.records.kept
    assert isinstance(challenged.decision, Challenge)
    assert isinstance(allowed.decision, Allow)
    assert [challenged.span] == giver.given
    assert challenged.challenge != ""
    assert allowed.span is None, "nothing links to it, so it gets its ids when its span is made"


def test_a_held_call_is_one_span_and_its_hold_a_wait() -> None:
    giver = Giver()

    async def play() -> None:
        async with held_open(policy()) as made:
            world = scene_on(bench_with(made.bench, giver), made.bench.store, ROOMY)
            bench, following = world.bench, asyncio.create_task(world.news.follow())
            call = world.waits(bench.as_user("/pay"))
            await world.held()
            began = bench.now[0]
            bench.now[0] += 3
            await world.answer("approve")
            assert await call == ("allow", "allowed")
            following.cancel()
            (record,) = bench.records.kept
            assert [record.span] == giver.given
            (wait,) = (one for one in record.waits if one.name == "hold")
            assert (wait.started_ns, wait.ended_ns) == (int(began * 1e9), int((began + 3) * 1e9))

    asyncio.run(play())


def bench_with(bench: Bench, giver: Giver) -> Bench:
    surroundings = replace(bench.surroundings, spans=giver)
    return replace(bench, surroundings=surroundings).replica(bench.store)
