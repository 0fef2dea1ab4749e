"""Waiting for an approval in a real browser: it goes on by itself, with a script and without."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import ARGUMENTS, find_chromium, picture
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from stepup.proofs import view
from web.conftest import World, run
from web.held import GLASS, Desk
from web.origin import serve

CHROMIUM = find_chromium()


class Gateway:
    """An origin as Envoy makes it: the pages, and an application that lets nobody pay without an approval."""

    def __init__(self, world: World, desk: Desk) -> None:
        self.glass = GLASS
        self._desk = desk
        self._pages: ASGIApp = world.app()
        self._following: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._following is None:
            self._following = asyncio.create_task(self._desk.news.follow())
        if scope["path"].startswith("/.extauthz/"):
            await self._pages(scope, receive, send)
        else:
            await (await self._pay(Request(scope, receive)))(scope, receive, send)

    async def _pay(self, request: Request) -> Response:
        (cookies,) = request.headers.getlist("cookie") or [""]
        approvals = await self._desk.all()
        if approvals and approvals[0].state == "approved":
            return PlainTextResponse("paid")
        made = await self._desk.asked(
            cookies,
            request=view(
                headers={"cookie": (cookies,)} if cookies else {}, authority=request.headers["host"], path="/pay/a1"
            ),
            glass=self.glass,
        )
        response = RedirectResponse(made.location, status_code=302)
        for cookie in made.cookies:
            response.headers.append("set-cookie", cookie)
        return response


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


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


@pytest.fixture
def origin(world: World, desk: Desk, tmp_path: Path) -> Iterator[str]:
    with serve(Gateway(world, desk), tmp_path) as port:
        yield f"https://localhost:{port}"


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 900})
    made.set_default_timeout(20_000)
    yield made
    made.close()


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def test_the_page_goes_on_by_itself_when_it_is_approved(
    origin: str, desk: Desk, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{origin}/pay/a1?amount=5")
    expect(page.get_by_role("heading", level=1)).to_have_text("Somebody has to approve this")
    picture(page, screenshots, "waiting")
    run(desk.vote())
    expect(page.get_by_text("1 of 2")).to_be_visible()
    run(desk.vote(by="carol"))
    expect(page.locator("body")).to_have_text("paid")
    assert page.url == f"{origin}/pay/a1?amount=5"
    assert complaints == []


def test_a_denial_is_told_where_somebody_waits(
    origin: str, desk: Desk, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    expect(page.get_by_role("status")).to_contain_text("goes on by itself")
    run(desk.vote("deny", reason="Above 100,000 only with a second offer." + 120 * "x"))
    expect(page.get_by_role("heading", level=1)).to_have_text("This was denied")
    expect(page.get_by_text("Above 100,000 only with a second offer.")).to_be_visible()
    expect(page.get_by_text("You can ask again in 1 minute")).to_be_visible()
    picture(page, screenshots, "waiting-denied")


def test_who_waits_withdraws_what_they_asked(
    origin: str, desk: Desk, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    page.get_by_role("button", name="Withdraw the request").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This was withdrawn")
    picture(page, screenshots, "waiting-withdrawn")
    assert [one.state for one in run(desk.all())] == ["cancelled"]
    page.get_by_role("link", name="Ask again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Somebody has to approve this")


def test_who_is_on_duty_goes_through_with_a_reason_and_a_code(
    world: World, origin: str, desk: Desk, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    page.goto(f"{origin}/pay/a1?amount=5")
    page.get_by_text("This can't wait").click()
    page.get_by_label("Why you go through").fill("the plant is on fire")
    picture(page, screenshots, "waiting-glass")
    page.get_by_role("button", name="Go on without an approval").click()
    expect(page.get_by_text("You are about to go through without an approval")).to_be_visible()
    picture(page, screenshots, "challenge-glass")
    page.get_by_label("One-time code").fill(world.code())
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("the plant is on fire")).to_be_visible()
    picture(page, screenshots, "waiting-glass-proven")
    page.get_by_role("button", name="Go through now").click()
    expect(page.locator("body")).to_have_text("paid")
    (approval,) = run(desk.all())
    assert approval.break_glass is not None
    assert approval.break_glass.reason == "the plant is on fire"


def test_without_a_script_the_page_goes_on_too(chromium: Browser, origin: str, desk: Desk) -> None:
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{origin}/pay/a1")
    assert heading(page) == "Somebody has to approve this"
    run(desk.vote())
    run(desk.vote(by="carol"))
    page.wait_for_url(f"{origin}/pay/a1?amount=5", timeout=60_000)
    expect(page.locator("body")).to_have_text("paid")
    context.close()
