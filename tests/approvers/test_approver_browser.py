"""Approvers in a real browser: login at a certified provider, live pages, policies, and what a person sees."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from approval.asking import NOW, PROOF, RULE, UMA_ASKING, terms
from approvers.visiting import PICTURE, World
from browsing import ARGUMENTS, find_chromium, picture
from msgspec.structs import replace as changed
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, new_keys, providing
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from ports import free_port
from starlette.types import ASGIApp, Receive, Scope, Send
from stepup.proofs import counted_entropy
from web.conftest import run
from web.origin import self_signed, serve

from extauthz.lookup.approver_login_config import ApproverLoginSettings
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.approver_login import LINK_PATH, LOGGED_IN_PATH
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment
from extauthz.values.approvals import Absence, Approver, BreakGlass
from extauthz.values.identity import Subject
from extauthz.web.approvers.entry import Provided

CHROMIUM = find_chromium()
SECRET = b"12345678901234567890"
PEOPLE: dict[str, dict[str, object]] = {
    "anna": {"email": "anna@example.com", "email_verified": True, "name": "Anna Andersson", "groups": ["treasury"]},
    "ben": {"email": "ben@example.com", "name": "Ben", "groups": ["treasury"]},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("chromium is not installed; `apt-get install chromium`")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pages and the provider are: its port is known before either begins."""

    port: int
    provider: Provider
    folder: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, port = tmp_path_factory.mktemp("provider"), free_port()
    (folder / "secret").write_text(CLIENT_SECRET)
    callback = f"https://localhost:{port}{LOGGED_IN_PATH}"
    with providing(*new_keys("k1"), tls=self_signed(folder), callback=callback, people=PEOPLE) as provider:
        yield Place(port=port, provider=provider, folder=folder)


class Served:
    """The pages on one event loop, with what follows the news, and the client that asks the provider."""

    def __init__(self, world: World, place: Place) -> None:
        self._world = world
        self._settings = ApproverLoginSettings(
            issuer=place.provider.issuer,
            client_id=STEP_UP_CLIENT,
            client_secret_file=Path("secret"),
            ca=Path("cert.pem"),
            algorithms=("ES256",),
        )
        self._folder = place.folder
        self._open: tuple[ASGIApp, OidcClient, asyncio.Task[None], asyncio.AbstractEventLoop] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._open is None:
            client = OidcClient(self._settings, base=self._folder)
            self._world.provided = Provided(settings=self._settings, client=client)
            following = asyncio.create_task(self._world.news.follow())
            self._open = (self._world.app(), client, following, asyncio.get_running_loop())
        await self._open[0](scope, receive, send)

    def close(self) -> None:
        """End what was begun; from another thread than the one that serves."""
        if self._open is not None:
            _, client, following, loop = self._open
            loop.call_soon_threadsafe(following.cancel)
            asyncio.run_coroutine_threadsafe(client.close(), loop).result(10)


@pytest.fixture
def url(world: World, place: Place, tmp_path: Path) -> Iterator[str]:
    world.now = time.time()
    world.url = place.url
    world.relying_party = RelyingParty(id="localhost", origins=(place.url,))
    served = Served(world, place)
    with serve(served, tmp_path, port=place.port):
        yield place.url
        served.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = new_context(chromium)
    yield made
    made.close()


def new_context(chromium: Browser, **options: Any) -> BrowserContext:
    made = chromium.new_context(ignore_https_errors=True, viewport={"width": 1000, "height": 900}, **options)
    made.set_default_timeout(10_000)
    return made


def opened(world: World, id_: str = "a1", **changes: Any) -> None:
    """An approval that was asked for three minutes ago."""
    at = world.now - 180
    fields = {"opened_at": at, "state_at": at, "expires_at": at + 900, **changes}
    world.opened(id_, **fields)


def logs_in(page: Page, account: str) -> None:
    """Press the button, and log in at the provider."""
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Account").fill(account)
    page.get_by_role("button", name="Log in").click()


def test_a_login_and_two_answers_live(
    world: World, url: str, chromium: Browser, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.location["url"].startswith(url) else None)
    page.goto(f"{url}/login")
    expect(page.get_by_role("heading", level=1)).to_have_text("Approvals")
    picture(page, screenshots, "approvers-login")
    logs_in(page, "anna")
    page.wait_for_url(f"{url}/")
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    picture(page, screenshots, "approvers-nothing")
    # What is asked now appears by itself.
    opened(world)
    opened(world, "a2", rule="payments/night", picture=changed(PICTURE, description="", method="DELETE", show={}))
    world.ruled["payments/night"] = terms(min=1)
    entry = page.get_by_role("link", name="Above 100,000 two of the treasury answer")
    expect(entry).to_be_visible()
    expect(page.get_by_text("250,000.00 EUR")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("The page has changed.")
    page.reload()
    expect(page.get_by_role("link", name="payments/night")).to_be_visible()
    picture(page, screenshots, "approvers-list")
    entry.click()
    expect(page.get_by_text("0 of 2 approved")).to_be_visible()
    picture(page, screenshots, "approvers-one")
    page.get_by_label("Reason").fill("half a senten")
    page.get_by_label("Reason").focus()
    other = new_context(chromium)
    bens = other.new_page()
    bens.goto(f"{url}/approvals/a1")
    logs_in(bens, "ben")
    bens.wait_for_url(f"{url}/approvals/a1")
    bens.get_by_label("Reason").fill("Checked by phone.\nThe customer knows of it.")
    bens.get_by_role("button", name="Approve").click()
    # Anna sees it at once, and what she is writing is still there.
    expect(page.get_by_text("Approved by Ben")).to_be_visible()
    expect(page.get_by_text("1 of 2 approved")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("half a senten")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("ce")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved by Anna Andersson")).to_be_visible()
    expect(bens.get_by_text("Approved by Anna Andersson")).to_be_visible()
    assert world.kept().state == "approved"
    assert world.kept().votes[1].reason == "half a sentence"
    picture(page, screenshots, "approvers-approved")
    assert complaints == []
    cookies = {cookie["name"] for cookie in context.cookies(url)}
    assert {"__Host-extauthz-approver", "__Host-extauthz-nonce"} <= cookies
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are logged out")
    page.goto(f"{url}/")
    expect(page.get_by_text("Log in to see what waits for you.")).to_be_visible()
    other.close()


def test_a_fresh_factor_and_a_denial(
    world: World, url: str, place: Place, context: BrowserContext, screenshots: Path
) -> None:
    world.ruled[RULE] = terms(min=1, factors=frozenset({"otp", "hwk"}), max_age=300.0, reason_required=True)
    anna = Subject(place.provider.issuer, "anna")
    factor = seal_factor(
        SECRET, subject=anna, confirmed=True, keys=world.keys, now=world.now, entropy=counted_entropy("f")
    )
    run(world.store.enroll(Enrolment(subject=anna, factors=(factor,)), now=world.now))
    opened(world, "a0", binding="b0")
    opened(world)
    page = context.new_page()
    page.goto(f"{url}/approvals/a1")
    logs_in(page, "anna")
    page.wait_for_url(f"{url}/approvals/a1")
    picture(page, screenshots, "approvers-confirm")
    page.get_by_role("button", name="Confirm that it is you").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    expect(page.get_by_text("Answer: Above 100,000 two of the treasury answer")).to_be_visible()
    page.get_by_label("One-time code").fill(code_at(SECRET, step_at(world.now)))
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url(f"{url}/approvals/a1")
    page.get_by_label("Reason").fill("Nobody knows this account.")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("Denied by Anna Andersson")).to_be_visible()
    expect(page.get_by_text("confirmed with a one-time code")).to_be_visible()
    assert world.kept().state == "denied"
    page.goto(f"{url}/approvals/a0")
    expect(page.get_by_text("Nobody knows this account.")).to_be_visible()
    picture(page, screenshots, "approvers-past")


def test_everything_works_without_scripts(world: World, url: str, chromium: Browser) -> None:
    opened(world)
    context = new_context(chromium, java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    logs_in(page, "anna")
    page.wait_for_url(f"{url}/")
    page.get_by_role("link", name="Above 100,000").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved by Anna Andersson")).to_be_visible()
    page.get_by_role("link", name="Absences").click()
    page.get_by_role("button", name="Enter this absence").click()
    expect(page.get_by_text("Nobody answers for you")).to_be_visible()
    page.get_by_role("button", name="I am back").click()
    expect(page.get_by_text("Nobody answers for you")).to_be_hidden()
    context.close()


def test_break_glass_and_absences_look_right(
    world: World, url: str, context: BrowserContext, screenshots: Path
) -> None:
    opened(world)
    glass = BreakGlass(
        by=UMA_ASKING, reason="the house is on fire,\nand nobody answers", proof=PROOF, at=world.now - 60
    )
    new = changed(world.kept(), version=2, state="approved", due_at=None, break_glass=glass)
    run(world.store.replace_approval(new, version=1, keep=86_400.0, now=world.now))
    away = Approver(subject=Subject("https://people.example.com", "cleo-sub"), person="cleo", name="Cleo")
    absence = Absence(
        id="f" * 32, absent=away, since=world.now, until=world.now + 864_000, delegate="anna", note="sea", made_at=NOW
    )
    run(world.store.put_absence(absence, now=world.now))
    page = context.new_page()
    text = world.link("anna", "treasury")
    page.goto(f"{url}{LINK_PATH}?link={text}")
    picture(page, screenshots, "approvers-link")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Somebody went through without an answer").click()
    expect(page.get_by_text("no answer asked")).to_be_visible()
    picture(page, screenshots, "approvers-unreviewed")
    page.get_by_role("link", name="Above 100,000").click()
    expect(page.get_by_text("Nobody has looked at it yet.")).to_be_visible()
    expect(page.get_by_text("confirmed with a security key or passkey")).to_be_visible()
    picture(page, screenshots, "approvers-glass")
    page.get_by_label("What you found").fill("I called her: there was a fire.")
    page.get_by_role("button", name="Justified", exact=True).click()
    expect(page.get_by_text("found it justified")).to_be_visible()
    page.get_by_role("link", name="Absences").click()
    page.get_by_label("Who answers for you").fill("ben")
    page.get_by_role("button", name="Enter this absence").click()
    expect(page.get_by_text("ben answers for you")).to_be_visible()
    picture(page, screenshots, "approvers-absences")
    page.get_by_label("Who answers for you").fill("ANNA")
    page.get_by_role("button", name="Enter this absence").click()
    expect(page.get_by_role("alert")).to_contain_text("stand in for yourself")
    picture(page, screenshots, "approvers-refused")


def test_who_comes_by_another_address_is_led_to_the_right_one(
    url: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(url.replace("localhost", "127.0.0.1"))
    expect(page.get_by_role("heading", level=1)).to_have_text("These pages are somewhere else")
    expect(page.get_by_text(url)).to_be_visible()
    picture(page, screenshots, "approvers-misdirected")
    page.get_by_role("link", name="To the approvals").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert page.url == f"{url}/"
