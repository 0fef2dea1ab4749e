"""Two servers on one store: a thousand who want the same thing at the same moment, and a server that is killed.

Here through the whole of it, gRPC and pages; `tests/store` asks the same of stores alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from app.callers import Browser, Gateway, new_request
from app.replicas import SHARED, SharedStore, Site, running_site, shared_store

from extauthz.app.wiring import open_configured_store
from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.settings import load_settings
from extauthz.stepup.lockout import limits_of
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.protocol import Redemption, Selection
from extauthz.values.identity import HOLDER_COOKIE, Subject, holder_of_cookie

CROWD = 1_000
HELD = 0.2
"""Seconds."""
PEOPLE, EACH = 200, 2
"""Who is challenged while a server is killed, and how often."""
INSIDE = 64
"""How many of them go on at the same time."""
KILLED_AFTER = 120
LATE = 40
"""How many people come when the server is back."""

pytestmark = pytest.mark.long  # whenever there is a test at all, `tests/store` asks it of stores


@pytest.fixture(scope="module", params=SHARED)
def store(request: pytest.FixtureRequest) -> Iterator[SharedStore]:
    """One file, or one Redis."""
    with shared_store(request.param) as shared:
        yield shared


@pytest.fixture(scope="module")
def site(store: SharedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two servers on it."""
    with running_site(tmp_path_factory.mktemp("site"), store) as running:
        yield running


@asynccontextmanager
async def lifted_limits(site: Site, sub: str, holder: str = "") -> AsyncIterator[None]:
    """Somebody whose tries are given back soon, as if they had been right: the limiter refuses nothing for long."""
    subject = Subject(ISSUER, sub)
    limits = limits_of(subject, "", holder)
    given_back = Redemption(
        subject=subject, burn=None, grants=(), limits=limits * 20, known_to=limits[0] if holder else None
    )
    store = open_configured_store(load_settings(site.folder / "extauthz.yaml"), patience=10.0)

    async def lift() -> None:
        while True:
            await store.redeem(given_back, now=time.time())
            await asyncio.sleep(0.001)

    lifting = asyncio.create_task(lift())
    try:
        yield
    finally:
        lifting.cancel()
        with suppress(asyncio.CancelledError):
            await lifting
        await store.close()


def test_of_a_thousand_uses_of_a_grant_for_one_use_one_is_allowed(site: Site, store: SharedStore) -> None:
    secret = site.enroll("grant")["grant"]

    async def race() -> Counter[str]:
        async with Gateway(site) as gateway:
            browser = Browser.of("grant", gateway, site)
            await browser.prove(await browser.challenged("/once/1"), "totp", code_at(secret, step_at(time.time())))
            elsewhere = [await gateway.reason(browser.request("/once/2")) for _ in site.replicas]
            assert elsewhere == ["proof-required"] * 2, "and both servers know the token now"
            with store.held():  # those who come first all see the grant before one of them uses it
                using = [asyncio.create_task(gateway.reason(browser.request("/once/1"))) for _ in range(CROWD)]
                await asyncio.sleep(HELD)
            return Counter(await asyncio.gather(*using))

    assert asyncio.run(race()) == {"allowed": 1, "proof-required": CROWD - 1}


def test_of_a_thousand_requests_with_the_code_of_one_step_one_is_allowed(site: Site) -> None:
    secret, token = site.enroll("step")["step"], site.token("step")
    # Good for a minute or more: the app of somebody whose clock is ahead.
    code = code_at(secret, step_at(time.time()) + 1)

    def request(number: int) -> bytes:
        """Each for something else and from another address, so that nothing but the step is common to them."""
        headers = {"authorization": f"Bearer {token}", "x_extauthz_otp": code}
        return new_request(f"/once/{number}", address=f"10.0.{number // 250}.{number % 250}", **headers)

    async def race() -> Counter[str]:
        async with Gateway(site) as gateway, lifted_limits(site, "step"):
            return Counter(await asyncio.gather(*(gateway.reason(request(number)) for number in range(CROWD))))

    assert asyncio.run(race()) == {"allowed": 1, "code-used": CROWD - 1}


def test_of_a_thousand_challenges_one_is_met_by_a_recovery_code(site: Site) -> None:
    (code, *_) = site.store.add_recovery_codes("code")

    async def race() -> tuple[Counter[int], Counter[str]]:
        async with Gateway(site) as gateway:
            browser = Browser.of("code", gateway, site)
            await browser.challenged("/once/0")
            paths = [f"/once/{number}" for number in range(CROWD)]
            tickets = await asyncio.gather(*(browser.challenged(path) for path in paths))
            async with lifted_limits(site, "code", holder_of_cookie(browser.cookies[HOLDER_COOKIE])):
                said = await asyncio.gather(*(browser.prove(ticket, "recovery", code) for ticket in tickets))
            allowed = await asyncio.gather(*(gateway.reason(browser.request(path)) for path in paths))
            return Counter(said), Counter(allowed)

    said, allowed = asyncio.run(race())
    assert allowed == {"allowed": 1, "proof-required": CROWD - 1}
    assert said[303] <= 1, "it is none only if a Redis took so long that the page did not know the answer"
    assert set(said) <= {303, 409, 422}


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A challenge: whether its browser was told that it is met, and why two requests after that were decided so."""

    told: bool
    uses: tuple[str, str]


@dataclass(kw_only=True)
class Rush:
    """People who are challenged, and a server that is killed meanwhile and started again."""

    site: Site
    gateway: Gateway
    secrets: Mapping[str, bytes]
    met: list[Met] = field(default_factory=list)
    in_the_middle: asyncio.Event = field(default_factory=asyncio.Event)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    doors: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(INSIDE))

    async def last(self) -> None:
        """Until everybody was there."""
        early, late = list(self.secrets)[:-LATE], list(self.secrets)[-LATE:]
        await asyncio.gather(self._kill(), *(self._come(sub) for sub in early), *(self._come_late(sub) for sub in late))

    async def _kill(self) -> None:
        killed = self.site.replicas[1]
        await self.in_the_middle.wait()
        killed.kill()
        killed.start()
        await asyncio.to_thread(killed.wait)
        self.back.set()

    async def _come_late(self, sub: str) -> None:
        await self.back.wait()
        await self._come(sub)

    async def _come(self, sub: str) -> None:
        browser, step = Browser.of(sub, self.gateway, self.site), 0
        async with self.doors:
            for number in range(EACH):
                path = f"/once/{sub}-{number}"
                ticket = await browser.challenged(path)
                step = max(step + 1, step_at(time.time()))
                told = await browser.prove(ticket, "totp", code_at(self.secrets[sub], step)) == 303
                uses = [await self.gateway.reason(browser.request(path)) for _ in range(2)]
                self.met.append(Met(told=told, uses=(uses[0], uses[1])))
                if len(self.met) == KILLED_AFTER:
                    self.in_the_middle.set()


def test_a_server_that_is_killed_loses_no_grant_that_somebody_was_told_of_and_none_is_given_twice(site: Site) -> None:
    first = {replica.said["grpc"] for replica in site.replicas}
    secrets = site.enroll(*(f"user-{one}" for one in range(PEOPLE)))

    async def live() -> Rush:
        async with Gateway(site) as gateway:
            rush = Rush(site=site, gateway=gateway, secrets=secrets)
            await rush.last()
            return rush

    rush = asyncio.run(live())
    assert len(rush.met) == PEOPLE * EACH
    once, never = ("allowed", "proof-required"), ("proof-required", "proof-required")
    assert {one.uses for one in rush.met if one.told} == {once}
    # Who was asking when it was killed was told nothing: the proof counts or not, but no more than once.
    untold = [one.uses for one in rush.met if not one.told]
    assert set(untold) <= {once, never}
    assert len(untold) < len(rush.met) / 4
    left = site.store.do(lambda store: store.grants(Selection(), now=time.time()))
    assert [grant for grant in left if grant.subject.id in secrets] == []
    assert len(rush.gateway.decided.keys() - first) == 1, "the server that is back decides again"
