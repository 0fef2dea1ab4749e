"""The pages with a store, an enrolled person and a clock that only a test moves."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from kept_records import Records
from starlette.applications import Starlette
from starlette.types import ASGIApp
from stepup.proofs import ALICE, NOW, alice, challenge, counted_entropy, ring, view

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.waiting import Waiting
from extauthz.identity.config import ClientSettings
from extauthz.record.chronicle import Chronicle
from extauthz.stepup.challenge import offer
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.factor_secret import seal_factor
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Enrolment
from extauthz.values.decisions import Challenge, ChallengeOffer, HoldOffer
from extauthz.values.identity import Identity
from extauthz.values.request import Caller, RequestView
from extauthz.web.offers import Means
from extauthz.web.pages import create_app

_T = TypeVar("_T")

SECRET = b"12345678901234567890"
ORIGIN = "https://app.example.com"
PAGE = "/.extauthz/challenge"
SAME_ORIGIN = {"origin": "null", "sec-fetch-site": "same-origin"}


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, from a thread of its own: playwright keeps an event loop in the thread of the tests."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


class Browser:
    """A browser's cookies, and requests to the pages; it follows no redirect by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.cookies = httpx.Cookies()

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request over https to the application's origin."""

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=ORIGIN, cookies=self.cookies) as client:
                response = await client.request(method, url, params=params, data=form, content=content, headers=headers)
                self.cookies = client.cookies
                return response

        return run(send())

    def open(self, ticket: str) -> httpx.Response:
        """GET the challenge page."""
        return self.request("GET", PAGE, params={"ticket": ticket})

    def answer(self, ticket: str, code: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """POST the form, as the page does unless `headers` say otherwise."""
        sent = SAME_ORIGIN if headers is None else headers
        return self.request("POST", PAGE, form={"ticket": ticket, "factor": "totp", "code": code}, headers=sent)


@dataclass(slots=True)
class World:
    """The parts around the pages."""

    store: MemoryStore = field(default_factory=MemoryStore)
    keys: KeyRing = field(default_factory=ring)
    now: float = NOW
    entropy: Callable[[int], bytes] = field(default_factory=counted_entropy)
    means: Means = field(default_factory=Means)
    revocations: RevocationFeed | None = None
    waiting: Waiting | None = None
    records: Records = field(default_factory=Records)

    def app(self, *, client: ClientSettings | None = None, relying_party: RelyingParty | None = None) -> Starlette:
        """The pages."""
        return create_app(
            store=self.store,
            keys=self.keys,
            client=client or ClientSettings(),
            clock=lambda: self.now,
            entropy=self.entropy,
            means=self.means if relying_party is None else Means(relying_party=relying_party),
            revocations=self.revocations,
            waiting=self.waiting,
            chronicle=Chronicle(recorder=self.records, clock=lambda: int(self.now * 1e9)),
        )

    def browser(self, *, client: ClientSettings | None = None, relying_party: RelyingParty | None = None) -> Browser:
        """A new browser."""
        return Browser(self.app(client=client, relying_party=relying_party))

    def enroll(self, *, confirmed: bool = True) -> None:
        """Give Alice an authenticator app."""
        factor = seal_factor(
            SECRET, subject=ALICE, confirmed=confirmed, keys=self.keys, now=self.now, entropy=self.entropy
        )
        run(self.store.enroll(Enrolment(subject=ALICE, factors=(factor,)), now=self.now))

    def code(self, ahead: int = 0) -> str:
        """What Alice's app shows, `ahead` steps from now."""
        return code_at(SECRET, step_at(self.now) + ahead)

    def challenged(
        self,
        browser: Browser,
        decision: Challenge | None = None,
        request: RequestView | None = None,
        identity: Identity | None = None,
    ) -> str:
        """What Envoy does for a challenged navigation: cookies to the browser, and the ticket of the address."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        asked = request or view(headers={"cookie": (cookies,)} if cookies else {})
        made = offer(
            decision or challenge(),
            identity=identity or alice(),
            request=asked,
            caller=Caller.NAVIGATION,
            keys=self.keys,
            now=self.now,
            entropy=self.entropy,
        )
        keep(browser, made)
        return parse_qs(urlsplit(made.location).query)["ticket"][0]

    def grants(self) -> int:
        """How many grants Alice has in her session."""
        return len(run(self.store.look_up(ALICE, "sid:1", fingerprint="", now=self.now)).grants)


def keep(browser: Browser, made: ChallengeOffer | HoldOffer) -> None:
    """Let a browser keep the cookies of an offer."""
    for cookie in made.cookies:
        name, _, rest = cookie.partition("=")
        browser.cookies.set(name, rest.partition(";")[0], domain="app.example.com", path="/")


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.enroll()
    yield made
    run(made.store.close())


@pytest.fixture
def bare() -> Iterator[World]:
    """Alice without a factor."""
    made = World()
    yield made
    run(made.store.close())
