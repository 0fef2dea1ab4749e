"""From an administrator's link to a factor that confirms what it is needed for: command, Envoy, browser, store."""

import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
import pytest
from browsing import picture
from commanding import command
from e2e.sites import site
from e2e.visitors import Site
from playwright.sync_api import Browser, BrowserContext, Page, expect

POLICIES = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: bank}
spec:
  rules:
    - {name: everybody, effect: allow, when: has(user.sub)}
    - name: payees
      description: Your payees are shown after a second factor
      paths: ["/payees/{factor}"]
      when: request.params.factor == "any"
      effect: challenge
      challenge: {factors: [totp, webauthn, recovery], bind: session}
    - name: keys-only
      description: The vault opens with a key
      paths: ["/vault"]
      effect: challenge
      challenge: {factors: [webauthn], user_verification: required}
"""


COMMANDS = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
"""One process for all commands, since each of its own would take a second to start, and that of the tests has an event
loop of playwright's."""


@pytest.fixture(scope="module")
def bank(screenshots: Path) -> Iterator[Site]:
    with COMMANDS, site(POLICIES, screenshots) as running:
        yield running


def factors(bank: Site, *arguments: str) -> Any:
    """What `extauthz factors` says to programs."""
    words = ("factors", *arguments, "--config", "extauthz.yaml", "--format", "json")
    done = COMMANDS.submit(command, *words, folder=bank.stage.folder).result(timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def new_link(bank: Site, sub: str, *arguments: str) -> str:
    """A new enrolment link."""
    return str(factors(bank, "enroll", sub, "--link", *arguments)["link"])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a history."""
    made = browser.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 900})
    yield made
    made.close()


def log_in(context: BrowserContext, bank: Site, sub: str) -> None:
    context.add_cookies([{"name": "session", "value": bank.stage.token(sub), "url": bank.url}])


def begin(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_role("button", name="Begin").click()


def is_called(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def scan(page: Page) -> pyotp.TOTP:
    return pyotp.TOTP(page.locator(".secret code").inner_text().replace(" ", ""))


def is_let_in(page: Page, path: str) -> None:
    page.wait_for_url(f"**{path}")
    expect(page.locator("body")).to_contain_text(f'"target": "{path}"')


def test_an_app_by_link_then_confirms_what_needs_it(bank: Site, context: BrowserContext) -> None:
    page = context.new_page()
    begin(page, new_link(bank, "ann"))
    is_called(page, "Choose your second factor")
    picture(page, bank.screenshots, "envoy-enroll-choose")
    page.get_by_role("button", name="Authenticator app").click()
    app = scan(page)
    page.get_by_label("First code").fill(app.now())
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Show my recovery codes").click()
    is_called(page, "Keep your recovery codes")
    codes = page.locator("#codes code").all_inner_texts()
    page.get_by_label("I have kept them").check()
    page.get_by_role("button", name="Continue").click()
    is_called(page, "Your second factors")
    kinds = {row["factor"]: row.get("left") for row in factors(bank, "list", "ann")}
    assert kinds == {"totp": None, "recovery": 10}

    log_in(context, bank, "ann")
    page.goto(f"{bank.url}/payees/any")
    is_called(page, "Confirm that it is you")
    # The first code was used up by setting the app up.
    page.get_by_label("One-time code").fill(app.at(int(time.time()) + 30))
    page.get_by_role("button", name="Confirm", exact=True).first.click()
    is_let_in(page, "/payees/any")

    # Another link to somebody who has a factor: a recovery code opens it, and is gone.
    context.clear_cookies()
    begin(page, new_link(bank, "ann"))
    is_called(page, "Confirm that it is you")
    picture(page, bank.screenshots, "envoy-enroll-prove")
    page.get_by_label("One-time code or recovery code").fill(codes[0].lower())
    page.get_by_role("button", name="Confirm").click()
    is_called(page, "Your second factors")
    expect(page.get_by_text("9 left")).to_be_visible()


def test_a_key_by_link_then_confirms_what_needs_it(bank: Site, context: BrowserContext) -> None:
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    begin(page, new_link(bank, "ben"))
    page.get_by_role("link", name="Security key or passkey").click()
    page.get_by_label("Name").fill("Ben's key")
    picture(page, bank.screenshots, "envoy-enroll-key")
    page.get_by_role("button", name="Continue").click()
    is_called(page, "Recovery codes")
    (row,) = factors(bank, "list", "ben")
    assert (row["factor"], row["name"], row["confirmed"]) == ("webauthn", "Ben's key", True)
    log_in(context, bank, "ben")
    page.goto(f"{bank.url}/vault")
    page.get_by_role("button", name="Use security key or passkey").click()
    is_let_in(page, "/vault")


def test_a_link_is_one_browser_s_and_good_once(bank: Site, browser: Browser, context: BrowserContext) -> None:
    link = new_link(bank, "cem")
    page = context.new_page()
    begin(page, link)
    is_called(page, "Choose your second factor")
    other = browser.new_context(ignore_https_errors=True)
    elsewhere = other.new_page()
    begin(elsewhere, link)
    is_called(elsewhere, "This link was opened in another browser")
    other.close()
    page.get_by_role("button", name="Authenticator app").click()
    page.get_by_label("First code").fill(scan(page).now())
    page.keyboard.press("Enter")
    is_called(page, "Recovery codes")
    context.clear_cookies()
    begin(page, link)
    is_called(page, "This link was opened in another browser")


def test_a_link_expires_on_the_server_s_clock(bank: Site, context: BrowserContext) -> None:
    link = new_link(bank, "dee", "--valid-for", "1s")
    page = context.new_page()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        page.goto(link)
        if page.get_by_role("heading", level=1).inner_text() == "This link has expired":
            break
    is_called(page, "This link has expired")
    assert factors(bank, "list", "dee") == []


def test_a_reset_ends_what_is_open(bank: Site, context: BrowserContext) -> None:
    page = context.new_page()
    begin(page, new_link(bank, "eve"))
    page.get_by_role("button", name="Authenticator app").click()
    page.get_by_label("First code").fill(scan(page).now())
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Not now").click()
    is_called(page, "Your second factors")
    assert factors(bank, "reset", "eve")["removed"] == 1
    page.get_by_role("button", name="Authenticator app").click()
    is_called(page, "This page was out of date")
    assert factors(bank, "list", "eve") == []
