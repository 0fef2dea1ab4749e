"""Each tutorial works as it stands on its page, followed literally in an empty folder: real processes, a real Envoy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import ARGUMENTS
from e2e.conftest import chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tutorial.walking import DOCS, walking

__all__ = ["chromium"]


@pytest.fixture
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


def test_every_command_of_the_first_page_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path) as walk:
        walk.take((DOCS / "start.md").read_text())
    assert walk.ran == 5


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_on_agents_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take((DOCS / "tutorials" / "agents.md").read_text())
    assert walk.ran >= 25
    assert "initech" not in (tmp_path / "tools.log").read_text()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_on_ci_jobs_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take((DOCS / "tutorials" / "ci.md").read_text())
    assert walk.ran >= 25
    assert (tmp_path / "deployments.log").read_text().count("POST /deployments/production") == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_tutorial_on_single_page_applications_works_in_a_browser(tmp_path: Path, browser: Browser) -> None:
    page = (DOCS / "spa.md").read_text()
    before, after = page.split("## 6. In the browser")
    shutil.copy(DOCS / "spa.js", tmp_path)  # "Save spa.js in the folder"
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take(before)
        visitor = browser.new_context(ignore_https_errors=True)
        visitor.set_default_timeout(20_000)
        shop = visitor.new_page()
        for address in ("https://localhost:8443/login", "https://localhost:8443/"):
            assert f"`{address}`" in after
            shop.goto(walk.moved(address))

        def code() -> str:
            status, printed = walk.shell.run("python phone.py")
            assert status == 0
            return printed.strip()

        confirm(shop, code())
        expect(shop.locator("#said")).to_have_text("200 paid 5000 for ana")
        with shop.expect_response("**/pay") as again:
            shop.get_by_role("button", name="Pay 5,000").click()
        assert again.value.status == 200
        visitor.close()
        walk.take(after)
    assert walk.ran >= 13


def confirm(shop: Page, code: str) -> None:
    """Press the button, and enter the code in the window that opens."""
    with shop.expect_popup() as opened:
        shop.get_by_role("button", name="Pay 5,000").click()
    popup = opened.value
    expect(popup.get_by_text("5000")).to_be_visible()
    with popup.expect_event("close"):
        popup.get_by_label("One-time code").fill(code)
        popup.get_by_role("button", name="Confirm").click()
