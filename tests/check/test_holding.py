"""Calls that are held for an approval: what ends their wait, and what they are answered then."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from check.waiting import Scene, approver, held_open, policy
from checking import ISSUER, told

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.approval.course import LONGEST_REASON
from extauthz.check.holding_config import HoldingSettings
from extauthz.errors import StateUnavailable
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Approval
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE, Subject

ALICE = Subject(ISSUER, "alice")
NAVIGATES = {"sec-fetch-mode": "navigate", "accept": "text/html"}


def played(scene: Callable[[Scene], Awaitable[None]], text: str | None = None, **kinds: object) -> None:
    async def play() -> None:
        async with held_open(text, **kinds) as made:  # type: ignore[arg-type]  # those of the one who calls
            await scene(made)

    asyncio.run(play())


def headers_of(response: CheckResponse) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for option in response.denied_response.headers:
        found.setdefault(option.header.key, []).append(option.header.value)
    return found


def problem(response: CheckResponse) -> dict[str, object]:
    read: dict[str, object] = json.loads(response.denied_response.body)
    return read


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


# --- the glass

GATE = "/open-the-gate"
GLASS = {"x-extauthz-break-glass": "the plant is on fire"}


def on_duty(world: Scene, *, code: str | None = None, **headers: str) -> bytes:
    sent = {"authorization": f"Bearer {world.bench.token(groups=['on-duty'])}", **headers}
    if code is not None:
        sent["x-extauthz-otp"] = code
    return world.bench.request(GATE, headers=sent)


def test_who_is_on_duty_breaks_the_glass_with_a_reason_and_a_code() -> None:
    async def scene(world: Scene) -> None:
        asked = await world.check(on_duty(world, **GLASS))
        assert (asked.status.code, told(asked)["reason"]) == (16, "proof-required")
        assert await world.said(on_duty(world, code=world.bench.code(), **GLASS)) == ("allow", "allowed")
        page = await world.approvals.store.approvals(ApprovalQuery(unreviewed=True), most=10)
        (broken,) = page.approvals
        assert broken.break_glass is not None
        assert (broken.break_glass.reason, broken.break_glass.by.subject) == ("the plant is on fire", ALICE)
        assert broken.break_glass.proof.factor == "otp"

    played(scene)


def test_a_proof_breaks_one_glass() -> None:
    async def scene(world: Scene) -> None:
        assert (await world.said(on_duty(world, code=world.bench.code(), **GLASS)))[0] == "allow"
        # What it has left is used up, too: the next time needs another proof.
        assert await world.said(on_duty(world, **GLASS)) == ("challenge", "proof-required")

    played(scene)


@pytest.mark.parametrize("reason", ["", "   ", "x" * (LONGEST_REASON + 1)])
def test_without_a_reason_the_glass_stays_whole_and_the_answer_asks_for_one(reason: str) -> None:
    async def scene(world: Scene) -> None:
        sent = {"x-extauthz-break-glass": reason}
        answer = await world.check(on_duty(world, code=world.bench.code(), **sent))
        said = problem(answer)
        assert (answer.status.code, said["reason"]) == (7, "break-glass-needs-reason")
        assert said["detail"] == (
            f"Say in `x-extauthz-break-glass` why this can't wait: once, in 1 to {LONGEST_REASON:,} characters."
        )
        assert await world.open() == []
        # Who may not is told so, and nothing of reasons.
        assert await world.said(world.bench.as_user(GATE, **sent)) == ("deny", "break-glass-refused")

    played(scene)


def test_who_is_no_member_breaks_nothing() -> None:
    async def scene(world: Scene) -> None:
        payload = world.bench.as_user(GATE, code=world.bench.code(), **GLASS)
        assert await world.said(payload) == ("deny", "break-glass-refused")
        assert await world.said(world.bench.as_user("/pay", **GLASS)) == ("deny", "break-glass-refused")

    played(scene)


def test_a_wrong_code_breaks_nothing() -> None:
    async def scene(world: Scene) -> None:
        assert await world.said(on_duty(world, code="000000", **GLASS)) == ("challenge", "wrong-code")
        assert await world.open() == []

    played(scene)


def test_a_preflight_asks_nobody() -> None:
    async def scene(world: Scene) -> None:
        asks = {"origin": "https://b.example", "access-control-request-method": "POST"}
        sent = {"authorization": f"Bearer {world.bench.token()}", **asks}
        response = await world.check(world.bench.request("/pay", method="OPTIONS", headers=sent))
        assert (response.status.code, told(response)["decision"]) == (7, "hold")
        assert not await world.open()

    played(scene)
