"""The demo bank in a real browser, through Envoy: log in, be asked, prove, go on."""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from extauthz.cli.quickstart.demo import Demo, start
from extauthz.cli.quickstart.layout import prepare
from extauthz.cli.quickstart.processes import Processes

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """What `extauthz quickstart` runs."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as folder, Processes() as processes:
        yield start(prepare(Path(folder), now=datetime.now(UTC)), processes)


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """A page of a browser without a history, logged in as Alice."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(demo.url)
    page.get_by_role("button", name="Alice").click()
    expect(page.get_by_role("heading")).to_have_text("Hello, alice")
    yield page
    context.close()


def _fresh_code(demo: Demo, used: set[str]) -> str:
    """A code of Alice's that no test has used; that of the next half minute is good already."""
    now = int(time.time())
    code = next(code for code in (demo.authenticator.at(now + offset) for offset in (0, 30)) if code not in used)
    used.add(code)
    return code


@pytest.fixture(scope="module")
def used() -> set[str]:
    """The codes that were used so far."""
    return set()


def test_a_page_behind_a_second_factor_opens_after_it(page: Page, demo: Demo, used: set[str], tmp_path: Path) -> None:
    page.get_by_role("link", name="Payees").first.click()
    page.wait_for_url("**/.extauthz/challenge**")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    expect(page.get_by_text("Your payees are shown after a second factor")).to_be_visible()

    page.get_by_label("One-time code").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    screenshot = tmp_path / "challenge.png"
    page.screenshot(path=screenshot)
    assert screenshot.read_bytes().startswith(PNG)

    code = _fresh_code(demo, used)
    page.get_by_label("One-time code").fill(code)
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/payees")
    expect(page.get_by_role("heading")).to_have_text("Payees")
    page.goto(f"{demo.url}/payees")
    expect(page.get_by_role("heading")).to_have_text("Payees")

    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    own = [cookie for name, cookie in cookies.items() if name.startswith("__Host-")]
    assert own
    assert all(cookie["secure"] and cookie["httpOnly"] and cookie["path"] == "/" for cookie in own)


def test_a_script_that_is_asked_leads_to_the_page_and_goes_on(page: Page, demo: Demo, used: set[str]) -> None:
    page.get_by_role("link", name="Transfer", exact=True).click()
    page.get_by_label("Amount").fill("5500")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).to_contain_text("proof-required")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Confirm with a second factor").click()
    asking = opened.value
    expect(asking.get_by_text("POST", exact=False)).to_be_visible()
    asking.get_by_label("One-time code").fill(_fresh_code(demo, used))
    asking.get_by_role("button", name="Confirm").click()
    asking.wait_for_url("**/transfer?*")
    for tab in (page, asking):  # what was typed is still there, whichever is used now
        expect(tab.get_by_label("Amount")).to_have_value("5500")

    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).to_contain_text('"status": "booked"')
    page.get_by_label("Amount").fill("6000")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).to_contain_text("proof-required")


def test_another_browser_of_the_same_person_is_asked_anew(page: Page) -> None:
    page.get_by_role("link", name="Payees").first.click()
    page.wait_for_url("**/.extauthz/challenge**")


def test_a_link_to_the_page_opens_nothing_in_another_browser(page: Page, browser: Browser) -> None:
    page.get_by_role("link", name="Payees").first.click()
    page.wait_for_url("**/.extauthz/challenge**")
    context = browser.new_context(ignore_https_errors=True)
    elsewhere = context.new_page()
    elsewhere.goto(page.url)
    expect(elsewhere.get_by_label("One-time code")).to_have_count(0)
    expect(elsewhere.locator("body")).not_to_contain_text("alice")
    context.close()
