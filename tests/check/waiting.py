"""A checker whose calls can be held, and the people who answer: all real but the clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from checking import Bench, make_bench, told
from finishing import finished

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals
from extauthz.check.approving import Approving
from extauthz.check.checker import Checker
from extauthz.check.holding import Holding
from extauthz.check.holding_config import HoldingSettings
from extauthz.policy.approving import terms_of
from extauthz.record.masking import Keep
from extauthz.store.approvals import ApprovalQuery
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Approver, Stance
from extauthz.values.identity import Subject

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: ["payments.example.com"]
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: four-eyes
      paths: ["/pay"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: %(min)d, hold: %(hold)s, expires_in: 5m, cooldown: 2m}
    - name: emergency
      paths: ["/open-the-gate"]
      effect: approve
      approve:
        approvers: {groups: [treasury]}
        hold: 20s
        break_glass: {groups: [on-duty], factors: [totp], max_age: 5m, valid_for: 10m}
"""
ROOMY = HoldingSettings()
TREASURY = frozenset({"treasury"})


def policy(*, min: int = 1, hold: str = "20s") -> str:  # noqa: A002 - as the rule calls it
    return POLICY % {"min": min, "hold": hold}


def approver(name: str) -> Approver:
    return Approver(subject=Subject("https://people.example.com", name), person=name, groups=TREASURY)


@dataclass(kw_only=True)
class Scene:
    """One server whose store may be shared; `bench` drives its checker."""

    bench: Bench
    approvals: Approvals
    holding: Holding
    news: ApprovalNews

    async def check(self, payload: bytes, *, remaining: float | None = None) -> CheckResponse:
        """The answer to a Check, whose caller waits so many seconds."""
        started = self.bench.checker.start(payload, remaining=lambda: remaining)
        if not isinstance(started, bytes):
            started = await finished(self.bench.checker, started, deadline=None)
        return CheckResponse.FromString(started)

    async def said(self, payload: bytes, *, remaining: float | None = None) -> tuple[str, str]:
        """(decision, reason) of the answer."""
        fields = told(await self.check(payload, remaining=remaining))
        return fields["decision"], fields["reason"]

    def waits(self, payload: bytes) -> "asyncio.Task[tuple[str, str]]":
        """A Check that is under way."""
        return asyncio.create_task(self.said(payload))

    async def held(self, calls: int = 1) -> None:
        """Return when so many calls are held."""
        async with asyncio.timeout(10):
            while self.holding.counts.held != calls:  # noqa: ASYNC110 - nobody tells, but for this test
                await asyncio.sleep(0.001)

    async def open(self) -> list[Approval]:
        """The approvals that wait for an answer."""
        found = await self.approvals.store.approvals(ApprovalQuery(states=frozenset({"pending"})), most=100)
        return list(found.approvals)

    async def answer(self, stance: Stance, *, by: str = "bob") -> None:
        """Somebody answers the only approval that waits."""
        (approval,) = await self.open()
        answered = await self.approvals.vote(
            approval.id, approver(by), stance=stance, reason="seen", proof=None, channel="page"
        )
        assert isinstance(answered, Approval), answered


def scene_on(bench: Bench, store: Store, settings: HoldingSettings) -> Scene:
    news = ApprovalNews(store)
    approvals = Approvals(
        store=store,
        terms_of=lambda rule, now: terms_of(checker.ruling.policies, rule, now=now),
        clock=lambda: bench.now[0],
        entropy=bench.surroundings.entropy,
        keep=86_400.0,
        most_open=50,
        schedules={},
    )
    holding = Holding(store, news, settings)
    approving = Approving(approvals, holding, store, keep=Keep(), entropy=bench.surroundings.entropy)
    checker = Checker(bench.checker.ruling, replace(bench.surroundings, store=store, approving=approving))
    return Scene(bench=replace(bench, checker=checker, store=store), approvals=approvals, holding=holding, news=news)


@asynccontextmanager
async def held_open(
    text: str | None = None, *, settings: HoldingSettings = ROOMY, deaf: bool = False
) -> AsyncIterator[Scene]:
    """A server that decides by this policy; one that is `deaf` hears no news."""
    store = MemoryStore()
    bench = await asyncio.to_thread(make_bench, store)
    scene = scene_on(bench, store, settings)
    scene.bench.decide_by(text or policy())
    following = None if deaf else asyncio.create_task(scene.news.follow())
    await asyncio.sleep(0)
    try:
        yield scene
    finally:
        if following is not None:
            following.cancel()
        await store.close()
