"""The documented snippet for single-page applications, in a real browser: docs/spa.js as it is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import picture
from playwright.sync_api import BrowserContext, Page, expect
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from stepup.proofs import alice, challenge, demand, view
from web.conftest import World
from web.origin import Origin, serve
from web.test_browser import chromium, context, enter

from extauthz.stepup.challenge import offer
from extauthz.values.request import Caller

__all__ = ["chromium", "context"]

SNIPPET = Path(__file__).parents[2] / "docs" / "spa.js"
APPLICATION = """<!doctype html>
<title>Shop</title>
<button id="pay">Pay</button><output id="said"></output>
<script type="module">
import { fetchWithChallenge } from "/spa.js";
const said = document.getElementById("said");
document.getElementById("pay").onclick = async () => {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"amount": 5000}' };
  const answer = await fetchWithChallenge("/pay/a1", init, window.options);
  said.textContent = `${answer.status} ${await answer.text()}`;
};
</script>
"""


class Shop(Origin):
    """An application with a page and a script; `/pay…` is for scripts, and tells what it was sent."""

    def __init__(self, world: World) -> None:
        super().__init__(world, challenge(demand("payments/large-transfer")))
        self.paid: list[bytes] = []
        self.challenge_uri: str | None = None

    async def _application(self, request: Request) -> Response:
        match request.url.path:
            case "/app":
                return HTMLResponse(APPLICATION)
            case "/spa.js":
                return Response(SNIPPET.read_bytes(), media_type="text/javascript")
            case path if path.startswith("/pay"):
                return await self._pay(request)
            case path:
                return PlainTextResponse(path)

    async def _pay(self, request: Request) -> Response:
        if await self._is_proven(request):
            self.paid.append(await request.body())
            return PlainTextResponse("paid")
        cookies = tuple(request.headers.getlist("cookie"))
        made = offer(
            self.decision,
            identity=alice(),
            request=view(method="POST", authority=request.headers["host"], headers={"cookie": cookies}),
            caller=Caller.API,
            keys=self._world.keys,
            now=self._world.now,
            entropy=self._world.entropy,
        )
        problem = {"status": 401, "reason": "proof-required", "challenge_uri": self.challenge_uri or made.location}
        response = JSONResponse(problem, 401, media_type="application/problem+json")
        for cookie in made.cookies:
            response.headers.append("set-cookie", cookie)
        return response


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


@pytest.fixture
def page(shop: Shop, context: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    with serve(shop, tmp_path) as port:
        opened = context.new_page()
        opened.goto(f"https://localhost:{port}/app")
        yield opened
        context.close()  # before the server, which waits for the connections that a browser keeps open


def pay(page: Page) -> Page:
    """Press the button; the pop-up."""
    with page.expect_popup() as popup:
        page.get_by_role("button", name="Pay").click()
    return popup.value


def test_a_post_is_sent_again_with_its_body_once_the_challenge_is_met(world: World, shop: Shop, page: Page) -> None:
    popup = pay(page)
    with popup.expect_event("close"):
        enter(popup, world.code())
    expect(page.locator("#said")).to_have_text("200 paid")
    assert shop.paid == [b'{"amount": 5000}']
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#said")).to_have_text("200 paid")
    assert len(shop.paid) == 2, "proven once, it is not asked again"


def test_a_wrong_code_does_not_end_it(world: World, shop: Shop, page: Page) -> None:
    popup = pay(page)
    enter(popup, "000000" if world.code() != "000000" else "000001")
    expect(popup.get_by_role("alert")).to_be_visible()
    assert shop.paid == []
    with popup.expect_event("close"):
        enter(popup, world.code())
    expect(page.locator("#said")).to_have_text("200 paid")


def test_whoever_closes_the_window_gets_the_401(shop: Shop, page: Page) -> None:
    pay(page).close()
    expect(page.locator("#said")).to_contain_text("401 ")
    expect(page.locator("#said")).to_contain_text("proof-required")
    assert shop.paid == []


def test_a_message_without_a_proof_changes_nothing(world: World, shop: Shop, page: Page) -> None:
    popup = pay(page)
    with page.expect_response("**/pay/a1") as asked:
        popup.evaluate("new BroadcastChannel('extauthz').postMessage({ type: 'proven' })")
    assert asked.value.status == 401
    assert not popup.is_closed()
    assert shop.paid == []
    enter(popup, world.code())
    expect(page.locator("#said")).to_have_text("200 paid")


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example.com/.extauthz/challenge?ticket=x",
        "//evil.example.com/.extauthz/challenge",
        "javascript:alert(1)",
        "/elsewhere",
        "/.extauthz/../elsewhere",
    ],
)
def test_an_address_that_is_no_page_of_ours_is_not_opened(shop: Shop, page: Page, uri: str) -> None:
    shop.challenge_uri = uri
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#said")).to_contain_text("401 ")
    assert len(page.context.pages) == 1


def test_the_application_may_ask_for_a_click_first_or_call_it_off(world: World, page: Page) -> None:
    page.evaluate("window.options = { prepare: async (problem) => problem.reason !== 'proof-required' }")
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#said")).to_contain_text("401 ")
    assert len(page.context.pages) == 1
    page.evaluate("window.options = { prepare: async () => true }")
    enter(pay(page), world.code())
    expect(page.locator("#said")).to_have_text("200 paid")


def test_the_last_page_runs_one_script_and_loads_nothing(page: Page, screenshots: Path) -> None:
    complaints: list[str] = []
    other = page.context.new_page()
    other.on("console", lambda message: complaints.append(message.text))
    response = other.goto(page.url.replace("/app", "/.extauthz/done"))
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy
    expect(other.get_by_role("heading", level=1)).to_have_text("Confirmed")
    picture(other, screenshots, "done")
    other.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.x = 1' }))"
    )
    assert other.evaluate("window.x") is None
    assert any("Content Security Policy" in said for said in complaints)
