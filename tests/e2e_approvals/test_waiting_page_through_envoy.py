"""A real browser waits for an approval through Envoy: its page goes on by itself, with a script and without."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from browsing import ARGUMENTS, find_chromium
from e2e.conftest import missing
from e2e_approvals.conftest import World
from playwright.sync_api import Browser, expect, sync_playwright

ASKED = "/held/pay?amount=5"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = find_chromium()
    if found is None:
        missing("no browser; install `chromium-headless-shell` or `chromium`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without"])
def test_a_browser_goes_on_by_itself_where_it_was_going(world: World, chromium: Browser, scripts: bool) -> None:
    sub, url = f"nora-{scripts}".lower(), world.stage.url()
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=scripts)
    context.set_default_timeout(60_000)
    context.add_cookies([{"name": "session", "value": world.stage.token(sub, sid=sub), "url": url, "secure": True}])
    page = context.new_page()
    page.goto(url + ASKED)
    expect(page.get_by_role("heading", level=1)).to_have_text("Somebody has to approve this")
    assert urlsplit(page.url).path == "/.extauthz/waiting"
    assert world.answer(world.asked(sub)).status_code == 200
    expect(page.locator("body")).to_contain_text(f'"target": "{ASKED}"', timeout=60_000)
    assert page.url == url + ASKED
    context.close()
