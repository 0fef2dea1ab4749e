"""Step-up at a certified OpenID provider: people log in there, and the ID token is checked against what was asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from oidc.provider import CLIENT_SECRET, PUBLIC_CLIENT, STEP_UP_CLIENT, Provider, new_keys, providing
from stepup.proofs import SESSION, demand, ring

from extauthz.errors import IssuerUnavailable
from extauthz.lookup import oidc
from extauthz.lookup.oidc import OidcClient
from extauthz.lookup.oidc_config import OidcSettings
from extauthz.stepup.oidc import (
    Authenticated,
    FlowSecrets,
    OidcRefused,
    check_id_token,
    depart,
    read_return,
    redirect_uri,
)
from extauthz.stepup.ticket import Action, Ticket, open_ticket
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.identity import Subject

GOLD = {"gold": ["urn:test:gold"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing(*new_keys("k1")) as running:
        yield running


def settings(provider: Provider, **changed: Any) -> OidcSettings:
    fields = {"issuer": provider.issuer, "client_id": STEP_UP_CLIENT, "client_secret_file": "secret", "acr": GOLD}
    return OidcSettings.model_validate(
        {name: value for name, value in {**fields, **changed}.items() if value is not ...}
    )


def ticket(provider: Provider, *demands: ChallengeDemand, sub: str = "alice") -> Ticket:
    return Ticket(
        id="t" * 43,
        subject=Subject(provider.issuer, sub),
        session=SESSION,
        nonce_hash="h" * 43,
        action=Action(method="GET", authority="app.example.com", path="/pay/a1"),
        return_path="/pay/a1",
        expires_at=time.time() + 300,
        credentials=(),
        demands=demands or (demand(factors=("oidc",), acr="gold"),),
    )


class Flow:
    """One browser, one server that it is sent by and comes back to."""

    def __init__(self, provider: Provider, client: OidcClient) -> None:
        self.provider, self.client, self.browser = provider, client, httpx.Client()

    def another_browser(self) -> None:
        """One that has no session at the provider."""
        self.browser.close()
        self.browser = httpx.Client()

    async def go(self, asked: Ticket, **said: str) -> Authenticated:
        """Send the browser off, let it log in as `said`, and read what it comes back with."""
        return await self.come_back(self.send_off(asked, await self.location(asked), **said))

    async def location(self, asked: Ticket) -> str:
        departure = depart(asked, provider=await self.client.provider(), keys=ring(), login_hint=asked.subject.id)
        return departure.location

    def send_off(self, asked: Ticket, location: str, **said: str) -> str:
        words = {"account": asked.subject.id, "acr": "urn:test:gold", "amr": "pwd,otp", **said}
        return self.provider.log_in(self.browser, location, **words)

    async def come_back(self, location: str) -> Authenticated:
        assert location.startswith("https://app.example.com/.extauthz/oidc?")
        provider = await self.client.provider()
        back = read_return(parse_qsl(urlsplit(location).query), provider=provider)
        opened, secrets = open_ticket(back.state, ring()), FlowSecrets.of(back.state, ring())
        claims = await self.client.claims(
            back.code, code_verifier=secrets.code_verifier, redirect_uri=redirect_uri(opened)
        )
        return check_id_token(claims, ticket=opened, nonce=secrets.nonce, provider=provider, now=time.time())


def in_flow(
    provider: Provider, base: Path, scene: Callable[[Flow], Awaitable[None]], configured: OidcSettings | None = None
) -> None:
    (base / "secret").write_text(CLIENT_SECRET)

    async def run() -> None:
        client = OidcClient(configured or settings(provider), base=base)
        flow = Flow(provider, client)
        try:
            await scene(flow)
        finally:
            flow.browser.close()
            await client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "changed",
    [{}, {"client_id": PUBLIC_CLIENT, "client_secret_file": ...}, {"amr": ["otp", "hwk"]}],
    ids=["with a secret", "public", "with methods"],
)
def test_a_login_of_the_right_class_is_a_proof(provider: Provider, tmp_path: Path, changed: dict[str, Any]) -> None:
    async def scene(flow: Flow) -> None:
        proven = await flow.go(ticket(provider))
        assert [one.rule for one in proven.demands] == ["payments/large"]
        assert 0 <= time.time() - proven.auth_time < 30

    in_flow(provider, tmp_path, scene, settings(provider, **changed))


def test_another_user_another_class_and_other_methods_prove_nothing(provider: Provider, tmp_path: Path) -> None:
    async def scene(flow: Flow) -> None:
        for said, reason in (
            ({"account": "mallory"}, "wrong-subject"),
            ({"acr": "urn:test:silver"}, "wrong-acr"),
            ({"amr": "pwd"}, "wrong-amr"),
        ):
            flow.another_browser()
            with pytest.raises(OidcRefused) as refused:
                await flow.go(ticket(provider), **said)
            assert refused.value.reason == reason

    in_flow(provider, tmp_path, scene, settings(provider, amr=["otp"]))


def test_a_session_of_the_provider_that_is_too_old_leads_to_a_new_login(provider: Provider, tmp_path: Path) -> None:
    async def scene(flow: Flow) -> None:
        old = ticket(provider, demand(factors=("oidc",), max_age=7200.0))
        before = await flow.go(old, ago="3600")
        assert 3590 < time.time() - before.auth_time < 3660
        again = await flow.go(old, ago="0")
        assert again.auth_time == before.auth_time, "the provider's own session was fresh enough"
        proven = await flow.go(ticket(provider), ago="0")
        assert time.time() - proven.auth_time < 60

    in_flow(provider, tmp_path, scene)


def test_a_provider_that_passes_an_old_login_off_as_a_new_one_is_not_believed(
    provider: Provider, tmp_path: Path
) -> None:
    async def scene(flow: Flow) -> None:
        with pytest.raises(OidcRefused) as refused:
            await flow.go(ticket(provider, demand(factors=("oidc",), uses=1)), ago="200")
        assert refused.value.reason == "not-fresh"

    in_flow(provider, tmp_path, scene)


def test_a_code_is_good_once_and_in_its_own_flow(provider: Provider, tmp_path: Path) -> None:
    async def scene(flow: Flow) -> None:
        asked = ticket(provider)
        back = flow.send_off(asked, await flow.location(asked))
        await flow.come_back(back)
        with pytest.raises(OidcRefused, match="not good any more"):
            await flow.come_back(back)
        # A code of one flow behind the state of another: PKCE stops it at the provider.
        mine, theirs = replace(asked, id="m" * 43), replace(asked, id="v" * 43)
        stolen = flow.send_off(theirs, await flow.location(theirs))
        own = flow.send_off(mine, await flow.location(mine))
        code = dict(parse_qsl(urlsplit(stolen).query))["code"]
        mixed = own.replace(dict(parse_qsl(urlsplit(own).query))["code"], code)
        with pytest.raises(OidcRefused) as refused:
            await flow.come_back(mixed)
        assert refused.value.reason == "refused"

    in_flow(provider, tmp_path, scene)


def test_a_login_that_is_called_off_comes_back_as_that(provider: Provider, tmp_path: Path) -> None:
    async def scene(flow: Flow) -> None:
        asked = ticket(provider)
        with pytest.raises(OidcRefused, match="access_denied") as refused:
            await flow.come_back(flow.send_off(asked, await flow.location(asked), error="access_denied"))
        assert refused.value.reason == "refused"

    in_flow(provider, tmp_path, scene)


def test_new_keys_of_the_provider_are_asked_for_when_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with providing(*new_keys("k1")) as own:

        async def scene(flow: Flow) -> None:
            await flow.go(ticket(own))
            own.restart(*new_keys("k2"))
            flow.another_browser()
            with pytest.raises(OidcRefused, match="fit no key"):
                await flow.go(ticket(own))  # they were read just now
            monkeypatch.setattr(oidc, "BETWEEN_KEYS", 0.0)
            assert (await flow.go(ticket(own))).demands

        in_flow(own, tmp_path, scene)


def test_a_provider_that_is_away_or_does_not_know_us_is_no_proof(tmp_path: Path) -> None:
    with providing(*new_keys("k1")) as own:

        async def scene(flow: Flow) -> None:
            asked = ticket(own)
            back = flow.send_off(asked, await flow.location(asked))
            (tmp_path / "secret").write_text("another")
            with pytest.raises(IssuerUnavailable, match="answered with 401"):
                await flow.come_back(back)
            (tmp_path / "secret").write_text(CLIENT_SECRET)
            own.stop()
            assert (await flow.client.provider()).sends_issuer, "what it said before"
            with pytest.raises(IssuerUnavailable):
                await flow.come_back(back)

        in_flow(own, tmp_path, scene)
