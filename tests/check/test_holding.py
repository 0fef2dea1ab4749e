"""Calls that are held for an approval: what ends their wait, and what they are answered then."""

import asyncio

import pytest
from check.held_calls import ALICE, NAVIGATES, headers_of, played, problem
from check.waiting import Scene, policy
from checking import told

from extauthz.values.approvals import Approval
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE


def test_the_call_goes_on_when_it_is_approved() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        assert not call.done()
        await world.answer("approve")
        assert await call == ("allow", "allowed")
        assert world.holding.counts.woken == 1

    played(scene)


def test_an_approval_is_used_up_by_the_call_that_it_lets_through() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("approve")
        assert (await call)[0] == "allow"
        again = world.waits(world.bench.as_user("/pay"))
        await world.held()
        (opened,) = await world.open()
        assert opened.subject == ALICE
        await world.answer("deny")
        assert await again == ("deny", "approval-denied")

    played(scene)


def test_one_decision_is_recorded_and_has_one_id() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        assert world.bench.records.kept == []
        (opened,) = await world.open()
        await world.answer("approve")
        await call
        (record,) = world.bench.records.kept
        assert record.decision_id == opened.picture.decision_id

    played(scene)


def test_a_work_session_lasts_for_its_time_and_ends_when_it_is_taken_back() -> None:
    async def scene(world: Scene) -> None:
        async def begins() -> str:
            call = world.waits(world.bench.as_user("/pay?amount=1"))
            await world.held()
            (asked,) = await world.open()
            await world.answer("approve")
            assert (await call)[0] == "allow"
            return asked.id

        async def goes_on(amount: int) -> tuple[str, str]:
            return await world.said(world.bench.as_user(f"/pay?amount={amount}"), remaining=0.1)

        await begins()
        world.bench.now[0] += 1799
        assert [(await goes_on(amount))[0] for amount in (2, 3)] == ["allow", "allow"]
        world.bench.now[0] += 1
        assert await goes_on(4) == ("hold", "approval-required")
        (waits,) = await world.open()
        assert isinstance(await world.approvals.cancel(waits.id, by=ALICE), Approval)
        again = await begins()
        assert (await goes_on(5))[0] == "allow"
        assert isinstance(await world.approvals.revoke(again, by=ALICE), Approval)
        assert await goes_on(6) == ("hold", "approval-required")

    played(scene, policy().replace("cooldown: 2m", "valid_for: 30m, uses: unlimited, bind: action"))


def test_what_was_denied_stays_denied_for_its_cooldown_and_says_so() -> None:
    async def scene(world: Scene) -> None:
        call = asyncio.create_task(world.check(world.bench.as_user("/pay")))
        await world.held()
        await world.answer("deny")
        for response in (await call, await world.check(world.bench.as_user("/pay"))):
            assert (response.status.code, told(response)["reason"]) == (7, "approval-denied")
            assert headers_of(response)["retry-after"] == ["120"]
            said = problem(response)
            assert said["retry_after"] == 120
            assert said["detail"] == ("Who was asked to approve this has denied it. You can ask again in 120 seconds.")
        world.bench.now[0] += 121
        asked = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("approve")
        assert (await asked)[0] == "allow"

    played(scene)


def test_a_denial_counts_for_every_browser_and_program_that_asks_for_the_same() -> None:
    async def scene(world: Scene) -> None:
        await world.check(world.bench.as_user("/pay", **NAVIGATES))
        await world.answer("deny")
        assert await world.said(world.bench.as_user("/pay", **NAVIGATES)) == ("deny", "approval-denied")
        other = f"{HOLDER_COOKIE}={'x' * 43}"
        assert await world.said(world.bench.as_user("/pay", cookie=other)) == ("deny", "approval-denied")
        assert not await world.open()

    played(scene)


def test_a_browser_that_keeps_no_cookie_asks_a_few_times_and_no_more() -> None:
    async def scene(world: Scene) -> None:
        said = [await world.said(world.bench.as_user("/pay", **NAVIGATES)) for _ in range(6)]
        assert said == 4 * [("hold", "approval-required")] + 2 * [("deny", "overloaded")]
        assert len(await world.open()) == 4

    played(scene)


def test_who_cancels_when_somebody_is_against_it_does_not_ask_anew() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("deny")
        (asked,) = await world.open()
        assert isinstance(await world.approvals.cancel(asked.id, by=asked.subject), Approval)
        assert (await call)[1] == "approval-cancelled"
        assert await world.said(world.bench.as_user("/pay")) == ("deny", "approval-denied")
        world.bench.now[0] += 121
        again = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("approve")
        assert (await again)[0] == "allow"

    played(scene, policy().replace("min: 1", "deny_min: 2"))


def test_a_vote_that_is_not_the_last_wakes_nobody() -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        await world.answer("approve")
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert world.holding.counts.held == 1
        await world.answer("approve", by="carol")
        assert (await call)[0] == "allow"

    played(scene, policy(min=2))


def test_after_the_hold_the_call_is_told_where_and_when_to_ask_again_and_joins() -> None:
    async def scene(world: Scene) -> None:
        held = await world.check(world.bench.as_user("/pay"))
        (opened,) = await world.open()
        assert (held.status.code, told(held)["decision"]) == (7, "hold")
        assert held.denied_response.status.code == 403
        said, headers = problem(held), headers_of(held)
        assert (said["reason"], said["approvals"]) == ("approval-required", [opened.id])
        assert headers["location"] == [said["approval_uri"]]
        assert headers["retry-after"] == [str(said["retry_after"])]
        assert headers["set-cookie"][0].startswith(NONCE_COOKIE)
        assert problem(await world.check(world.bench.as_user("/pay")))["approvals"] == [opened.id]
        await world.answer("approve")
        assert await world.said(world.bench.as_user("/pay")) == ("allow", "allowed")

    played(scene, policy(hold="10ms"))


def test_a_caller_who_waits_for_less_than_the_margin_is_answered_at_once() -> None:
    async def scene(world: Scene) -> None:
        assert await world.said(world.bench.as_user("/pay"), remaining=0.2) == ("hold", "approval-required")
        assert world.holding.counts.over == 0
        assert await world.said(world.bench.as_user("/pay"), remaining=0.32) == ("hold", "approval-required")
        assert world.holding.counts.over == 1

    played(scene)


def test_a_rule_without_hold_holds_nothing() -> None:
    async def scene(world: Scene) -> None:
        assert (await world.said(world.bench.as_user("/pay")))[0] == "hold"
        assert world.holding.counts.over == 0
        assert len(await world.open()) == 1

    played(scene, policy().replace(", hold: 20s", ""))


def test_a_grpc_caller_is_held_too_and_told_the_approval() -> None:
    async def scene(world: Scene) -> None:
        payload = world.bench.as_user("/pay", **{"content-type": "application/grpc"})
        call = asyncio.create_task(world.check(payload))
        await world.held()
        await world.answer("deny")
        assert headers_of(await call)["grpc-status"] == ["7"]

    played(scene)


def test_a_navigation_is_not_held_and_waits_in_its_own_browser() -> None:
    async def scene(world: Scene) -> None:
        def goes(**headers: str) -> bytes:
            token = {"authorization": f"Bearer {world.bench.token()}"}
            return world.bench.request("/pay", method="GET", headers={**token, **NAVIGATES, **headers})

        went = await world.check(goes())
        assert went.denied_response.status.code == 302
        headers = headers_of(went)
        assert headers["location"][0].startswith("/.extauthz/waiting?ticket=")
        cookies = {one.partition("=")[0]: one.partition("=")[2].partition(";")[0] for one in headers["set-cookie"]}
        assert set(cookies) == {NONCE_COOKIE, HOLDER_COOKIE}
        (opened,) = await world.open()
        kept = "; ".join(f"{name}={value}" for name, value in cookies.items())
        again = await world.check(goes(cookie=kept))
        assert "set-cookie" not in headers_of(again)
        assert [one.id for one in await world.open()] == [opened.id]
        await world.answer("approve")
        assert (await world.said(goes()))[0] == "hold"  # another browser
        assert (await world.said(goes(cookie=kept)))[0] == "allow"

    played(scene)


def test_a_form_is_not_held_and_leads_to_the_page() -> None:
    async def scene(world: Scene) -> None:
        posted = await world.check(world.bench.as_user("/pay", **NAVIGATES))
        assert posted.denied_response.status.code == 403
        (location,) = headers_of(posted)["location"]
        assert location in posted.denied_response.body

    played(scene)


@pytest.mark.parametrize(("event", "reason"), [("cancel", "approval-cancelled"), ("expire", "approval-expired")])
def test_a_call_asks_for_nothing_again_by_itself(event: str, reason: str) -> None:
    async def scene(world: Scene) -> None:
        call = world.waits(world.bench.as_user("/pay"))
        await world.held()
        (opened,) = await world.open()
        if event == "cancel":
            assert isinstance(await world.approvals.cancel(opened.id, by=ALICE), Approval)
        else:
            world.bench.now[0] += 301
            world.holding.close()
        assert await call == ("deny", reason)
        assert await world.open() == ([] if event == "cancel" else [opened])

    played(scene)


def test_a_preflight_asks_nobody() -> None:
    async def scene(world: Scene) -> None:
        asks = {"origin": "https://b.example", "access-control-request-method": "POST"}
        sent = {"authorization": f"Bearer {world.bench.token()}", **asks}
        response = await world.check(world.bench.request("/pay", method="OPTIONS", headers=sent))
        assert (response.status.code, told(response)["decision"]) == (7, "hold")
        assert not await world.open()

    played(scene)
