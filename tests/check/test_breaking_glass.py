"""Who is on duty goes through without an answer, and nobody else."""

import pytest
from check.held_calls import ALICE, played, problem
from check.waiting import Scene
from checking import told

from extauthz.approval.course import LONGEST_REASON
from extauthz.store.approvals import ApprovalQuery

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
