"""What changes while a call is held: policies, revocations, stores, servers; and how many are held at most."""

import asyncio

import pytest
from check.held_calls import ALICE, played
from check.waiting import Scene, approver, policy

from extauthz.check.holding_config import HoldingSettings
from extauthz.errors import StateUnavailable


def test_what_decides_is_what_is_in_force_then() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        world.bench.decide_by(policy(min=2))
        await world.answer("approve")
        await asyncio.sleep(0.05)
        assert not call.done()
        await world.answer("approve", by="carol")
        assert (await call)[0] == "allow"

    played(scene)


def test_what_was_approved_by_the_rule_of_before_is_counted_by_the_rule_of_now() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        (before,) = await world.open()
        await world.answer("approve")
        assert await world.open() == []
        world.bench.decide_by(policy(min=2))
        assert await call == ("hold", "approval-required")
        (asked,) = await world.open()
        assert asked.id != before.id

    played(scene, policy(hold="300ms"), deaf=True)


def test_who_was_revoked_meanwhile_goes_nowhere() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await asyncio.to_thread(world.bench.revoke, "block", ALICE)
        world.holding.close()
        assert await call == ("deny", "subject-blocked")

    played(scene)


def test_who_hears_no_news_looks_when_the_wait_is_over() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("approve")
        assert (await call)[0] == "allow"
        assert (world.holding.counts.woken, world.holding.counts.over) == (0, 1)

    played(scene, policy(hold="100ms"), deaf=True)


def test_a_store_that_is_away_denies() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.bench.store.close()
        world.holding.close()
        with pytest.raises(StateUnavailable):
            await world.bench.store.approval("x")
        assert await call == ("deny", "state-unavailable")

    played(scene)


def test_a_server_that_stops_answers_everybody_and_holds_nobody() -> None:
    async def scene(world: Scene) -> None:
        calls = [world.waits(world.bench.as_user("/pay")) for _ in range(3)]
        await world.held(3)
        world.holding.close()
        assert {await call for call in calls} == {("hold", "approval-required")}
        assert (await world.said(world.bench.as_user("/pay")))[0] == "hold"

    played(scene, policy(hold="4m"))  # longer than a test may last


def test_one_subject_has_so_many_places_and_no_more() -> None:
    async def scene(world: Scene) -> None:
        calls = [world.waits(world.bench.as_user("/pay")) for _ in range(3)]
        await world.held(2)
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        (full,) = [call for call in calls if call.done()]
        assert full.result() == ("hold", "approval-required")
        assert world.holding.counts.refused == 1
        other = {"authorization": f"Bearer {world.bench.token('carol')}"}
        calls.append(world.waits(world.bench.request("/pay", headers=other)))
        await world.held(3)
        world.holding.close()
        await asyncio.wait(calls)

    played(scene, settings=HoldingSettings(per_subject=2))


def test_a_transport_holds_no_more_than_it_can_whatever_is_configured() -> None:
    async def scene(world: Scene) -> None:
        for most in (2, 1000):  # which gives none back
            world.holding.no_more_than(most)
        headers = [{"authorization": f"Bearer {world.bench.token(name)}"} for name in ("alice", "bob", "carol")]
        calls = [world.waits(world.bench.request("/pay", headers=one)) for one in headers[:2]]
        await world.held(2)
        assert await world.said(world.bench.request("/pay", headers=headers[2])) == ("hold", "approval-required")
        assert world.holding.counts.refused == 1
        world.holding.close()
        await asyncio.wait(calls)

    played(scene)


def test_the_last_places_are_for_those_who_have_none() -> None:
    async def scene(world: Scene) -> None:
        def call(name: str) -> "asyncio.Task[tuple[str, str]]":
            return world.waits(
                world.bench.request("/pay", headers={"authorization": f"Bearer {world.bench.token(name)}"})
            )

        calls = [call("alice") for _ in range(9)]
        await world.held(4)
        calls.append(call("carol"))
        await world.held(5)
        calls += [call("carol") for _ in range(8)]
        for number in range(10):
            calls.append(call(f"u{number}"))
        await world.held(8)
        await asyncio.sleep(0.05)
        assert world.holding.counts.held == 8
        world.holding.close()
        await asyncio.wait(calls)
        assert world.holding.counts.held == 0

    played(scene, settings=HoldingSettings(at_once=8))


def test_of_many_who_wait_for_as_many_approvals_each_hears_of_its_own() -> None:
    async def scene(world: Scene) -> None:
        calls = {
            name: world.waits(
                world.bench.request("/pay", headers={"authorization": f"Bearer {world.bench.token(name)}"})
            )
            for name in (f"u{number}" for number in range(60))
        }
        await world.held(60)
        for approval in await world.open():
            if approval.subject.id in ("u7", "u42"):
                await world.approvals.vote(
                    approval.id, approver("bob"), stance="approve", reason="", proof=None, channel="page"
                )
        done, _ = await asyncio.wait(calls.values(), timeout=0.5)
        assert done == {calls["u7"], calls["u42"]}
        world.holding.close()
        await asyncio.wait(calls.values())

    played(scene)
