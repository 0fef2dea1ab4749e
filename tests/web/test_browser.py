"""The challenge in a real browser: cookies, redirects, policies and what a person sees."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import ARGUMENTS, find_chromium, picture
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from stepup.proofs import ALICE, challenge, demand
from web.conftest import World, run
from web.origin import Origin, serve

from extauthz.web import notices
from extauthz.web.notices import Notice
from extauthz.web.rendering import Pages

TRANSFER = challenge(
    demand(
        "payments/large-transfer",
        description="Above 1,000 the owner proves to be there, for this account and amount",
        show={"account": "acc-1", "amount": "5000.00 EUR", "to": "DE89 3704 0044 0532 0130 00"},
    )
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = find_chromium()
    if found is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("no browser; `apt-get install chromium-headless-shell`")
        pytest.skip("no browser; install `chromium-headless-shell` or `chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def origin(world: World, tmp_path: Path) -> Iterator[str]:
    with serve(Origin(world, TRANSFER), tmp_path) as port:
        yield f"https://localhost:{port}"


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 900})
    made.set_default_timeout(10_000)
    yield made
    made.close()


def enter(page: Page, code: str) -> None:
    page.get_by_label("One-time code").fill(code)
    page.get_by_role("button", name="Confirm").click()


def test_a_challenge_is_met_and_the_browser_comes_back(
    world: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{origin}/pay/a1?amount=5")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    expect(page.get_by_text("5000.00 EUR")).to_be_visible()
    expect(page.get_by_label("One-time code")).to_be_focused()
    picture(page, screenshots, "challenge")
    page.keyboard.type(world.code())
    page.keyboard.press("Enter")
    page.wait_for_url(f"{origin}/pay/a1?amount=5")
    expect(page.locator("body")).to_have_text("paid /pay/a1?amount=5")
    assert complaints == []
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert set(cookies) == {"__Host-extauthz-nonce", "__Host-extauthz-holder", "__Host-extauthz-device"}
    assert all(cookie["httpOnly"] and cookie["secure"] for cookie in cookies.values())
    # Proven once: the next request passes until the grant is over.
    page.goto(f"{origin}/pay/a2")
    expect(page.locator("body")).to_have_text("paid /pay/a2?")
    world.now += 301
    page.goto(f"{origin}/pay/a2")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")


def test_a_challenge_that_begins_on_another_site_is_met_as_well(
    world: World, origin: str, context: BrowserContext
) -> None:
    page = context.new_page()
    page.goto(origin.replace("localhost", "127.0.0.1") + "/start")
    page.evaluate(f"location.href = '{origin}/pay/a1'")
    page.wait_for_url(f"{origin}/.extauthz/challenge**")
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")


def test_an_application_that_redirects_elsewhere_after_the_challenge_is_followed(
    world: World, origin: str, context: BrowserContext
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/away")
    enter(page, world.code())
    page.wait_for_url("https://127.0.0.1:*/elsewhere")


def test_a_wrong_code_is_said_and_can_be_mended(
    world: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    enter(page, "000000")
    expect(page.get_by_role("alert")).to_contain_text("That code is not right")
    expect(page.get_by_label("One-time code")).to_be_focused()
    assert page.title().startswith("Error: ")
    picture(page, screenshots, "wrong-code")
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")


def test_five_wrong_codes_lock_out(world: World, origin: str, context: BrowserContext, screenshots: Path) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    for _ in range(6):
        enter(page, "000000")
    expect(page.get_by_role("alert")).to_contain_text("Try again in 30 seconds")
    picture(page, screenshots, "locked-out")
    world.now += 31
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")


def test_an_expired_ticket_offers_a_new_start(
    world: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    world.now += 301
    enter(page, world.code())
    expect(page.get_by_role("heading")).to_have_text("This confirmation has expired")
    picture(page, screenshots, "expired")
    page.get_by_role("link", name="Start again").click()
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")


def test_a_foreign_ticket_opens_nothing(
    chromium: Browser, world: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    theirs = context.new_page()
    theirs.goto(f"{origin}/pay/a1")
    victim = chromium.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 900})
    page = victim.new_page()
    page.goto(theirs.url)
    expect(page.get_by_role("heading")).to_have_text("This page belongs to another browser")
    assert page.get_by_label("One-time code").count() == 0
    picture(page, screenshots, "foreign")
    victim.close()
    assert world.grants() == 0


def test_a_form_on_another_site_proves_nothing(world: World, origin: str, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    ticket = page.locator("input[name=ticket]").input_value()
    page.goto(origin.replace("localhost", "127.0.0.1") + "/evil")
    page.evaluate(
        """([target, ticket, code]) => {
            const form = document.createElement('form');
            form.method = 'post';
            form.action = target;
            for (const [name, value] of [['ticket', ticket], ['code', code]]) {
                const field = document.createElement('input');
                field.name = name;
                field.value = value;
                form.append(field);
            }
            document.body.append(form);
            form.submit();
        }""",
        [f"{origin}/.extauthz/challenge", ticket, world.code()],
    )
    page.wait_for_url(f"{origin}/.extauthz/challenge")
    expect(page.get_by_role("heading")).to_have_text("This form was not sent by this page")
    assert world.grants() == 0


def test_the_back_button_replays_nothing(world: World, origin: str, context: BrowserContext, screenshots: Path) -> None:
    page = context.new_page()
    page.goto(f"{origin}/start")
    page.goto(f"{origin}/pay/a1")
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")
    page.go_back()
    enter(page, world.code(ahead=1))
    expect(page.get_by_role("heading")).to_have_text("This confirmation was used already")
    picture(page, screenshots, "used")
    page.get_by_role("link", name="Start again").click()
    page.wait_for_url(f"{origin}/pay/a1")
    assert world.grants() == 1


def test_two_tabs_are_both_met(world: World, origin: str, context: BrowserContext) -> None:
    first, second = context.new_page(), context.new_page()
    first.goto(f"{origin}/pay/a1")
    second.goto(f"{origin}/pay/a2")
    enter(first, world.code())
    first.wait_for_url(f"{origin}/pay/a1")
    enter(second, world.code(ahead=1))
    second.wait_for_url(f"{origin}/pay/a2")
    assert world.grants() == 2


def test_without_javascript_a_code_confirms(chromium: Browser, world: World, origin: str) -> None:
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    enter(page, "000000")
    expect(page.get_by_role("alert")).to_contain_text("That code is not right")
    enter(page, world.code())
    page.wait_for_url(f"{origin}/pay/a1")
    context.close()


def test_who_is_not_enrolled_is_told_whom_to_ask(
    world: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    run(world.store.reset_factors(ALICE, (), now=world.now))
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    expect(page.get_by_text("Ask your administrator")).to_be_visible()
    picture(page, screenshots, "not-enrolled")


def test_every_notice_can_be_read(context: BrowserContext, screenshots: Path) -> None:
    """What stands in the place of a page where something is wrong; all below each other, for the rarer ones come up in
    no other browser test.
    """
    page, pages = context.new_page(), Pages()
    known = [one for one in vars(notices).values() if isinstance(one, Notice)]
    assert len(known) > 20
    shown = []
    for notice in known:
        values = {"notice": notice, "again": "/pay/a1?amount=5" if notice.again else None}
        text = bytes(pages.render("notice.html", status=notice.status, values=values).body).decode()
        assert f"<title>{notice.title}</title>" in text.replace("&#39;", "'")
        shown.append(text[text.index("<main>") : text.index("</body>")])
    page.set_content(text.replace(shown[-1], "".join(shown)))
    expect(page.get_by_role("heading", level=1)).to_have_text([notice.title for notice in known])
    picture(page, screenshots, "notices")
