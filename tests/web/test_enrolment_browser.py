"""Enrolment in a real browser: what a person sees, with the browser's own virtual authenticator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
from browsing import picture
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect
from starlette.types import Receive, Scope, Send
from web.conftest import World, run
from web.enrolling import factors, link
from web.origin import serve
from web.test_browser import chromium, context

from extauthz.stepup.enrolment import page_of
from extauthz.stepup.relying_party import RelyingParty

__all__ = ["chromium", "context"]  # fixtures


class _Pages:
    """The pages on an origin whose port is known only once they are served."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._origin = ""

    def at(self, origin: str) -> None:
        party = RelyingParty(id="localhost", name="Example Bank", origins=(origin,))
        self._app = self._world.app(relying_party=party)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@pytest.fixture
def bare() -> Iterator[World]:
    """Alice without a factor."""
    made = World()
    yield made
    run(made.store.close())


@contextmanager
def served(world: World, folder: Path) -> Iterator[str]:
    pages = _Pages(world)
    with serve(pages, folder) as port:
        pages.at(f"https://localhost:{port}")
        yield f"https://localhost:{port}"


@pytest.fixture
def origin(bare: World, tmp_path: Path) -> Iterator[str]:
    with served(bare, tmp_path) as address:
        yield address


def authenticator(page: Page, *, verified: bool = True) -> str:
    """A virtual security key of this page's browser; its id."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasUserVerification": True,
        "isUserVerified": verified,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return str(made["authenticatorId"])


def listen(page: Page) -> list[str]:
    """What the browser complains of, such as what a policy forbids."""
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
    return complaints


def begin(page: Page, origin: str, text: str) -> None:
    page.goto(origin + page_of(text))
    page.get_by_role("button", name="Begin").click()


def scan(page: Page) -> pyotp.TOTP:
    return pyotp.TOTP(page.locator(".secret code").inner_text().replace(" ", ""))


def is_called(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_an_app_is_set_up_by_link_and_codes_are_kept(
    bare: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    complaints = listen(page)
    page.goto(origin + page_of(link(bare)))
    is_called(page, "Set up your second factor")
    picture(page, screenshots, "enroll-begin")
    page.get_by_role("button", name="Begin").click()
    is_called(page, "Choose your second factor")
    picture(page, screenshots, "enroll-choose")
    page.get_by_role("button", name="Authenticator app").click()
    is_called(page, "Set up your authenticator app")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    picture(page, screenshots, "enroll-app")
    app = scan(page)
    page.get_by_label("First code").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    expect(page.get_by_label("First code")).to_be_focused()
    picture(page, screenshots, "enroll-app-wrong-code")
    page.get_by_label("First code").fill(app.at(int(bare.now)))
    page.keyboard.press("Enter")
    is_called(page, "Recovery codes")
    picture(page, screenshots, "enroll-offer-codes")
    page.get_by_role("button", name="Show my recovery codes").click()
    is_called(page, "Keep your recovery codes")
    codes = page.locator("#codes code").all_inner_texts()
    assert len(set(codes)) == 10
    picture(page, screenshots, "enroll-codes")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").split("\n") == codes
    # Nobody goes on without saying that they are kept.
    page.get_by_role("button", name="Continue").click()
    is_called(page, "Keep your recovery codes")
    page.get_by_label("I have kept them").check()
    page.get_by_role("button", name="Continue").click()
    is_called(page, "Your second factors")
    expect(page.get_by_text("10 left")).to_be_visible()
    picture(page, screenshots, "enroll-yours")
    tab = context.new_page()
    tab.goto(page.url)
    tab.get_by_role("link", name="Make new ones").click()
    is_called(tab, "Recovery codes")
    picture(tab, screenshots, "enroll-new-codes")
    # A refused form of ours is an error in the console of browsers; everything else would be a mistake.
    assert [one for one in complaints if "status of 422" not in one] == []
    # The browser has kept nothing: it would have to send the form again.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()


def test_a_key_is_set_up_and_opens_the_page_again(
    bare: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    page = context.new_page()
    complaints = listen(page)
    authenticator(page)
    begin(page, origin, link(bare))
    page.get_by_role("link", name="Security key or passkey").click()
    is_called(page, "Set up a security key or passkey")
    picture(page, screenshots, "enroll-key")
    page.get_by_label("Name").fill("Blue key")
    page.keyboard.press("Enter")
    is_called(page, "Recovery codes")
    page.get_by_role("link", name="Not now").click()
    expect(page.get_by_text("Blue key").first).to_be_visible()
    (made,) = factors(bare)
    assert (made.kind, made.confirmed, made.name) == ("webauthn", True, "Blue key")
    # The same one again: the browser itself knows.
    page.get_by_role("link", name="Security key or passkey").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("one of yours already")
    picture(page, screenshots, "enroll-key-twice")
    # Another link, in a browser that has the key: it has to be shown.
    context.clear_cookies()
    begin(page, origin, link(bare))
    is_called(page, "Confirm that it is you")
    expect(page.get_by_role("button", name="Use security key or passkey")).to_be_focused()
    picture(page, screenshots, "enroll-prove-key")
    page.keyboard.press("Enter")
    is_called(page, "Your second factors")
    assert complaints == []
    assert factors(bare)[0].mark > made.mark


def test_who_has_a_factor_shows_it_and_changes_them(
    world: World, tmp_path: Path, context: BrowserContext, screenshots: Path
) -> None:
    with served(world, tmp_path) as origin:
        page = context.new_page()
        begin(page, origin, link(world))
        is_called(page, "Confirm that it is you")
        picture(page, screenshots, "enroll-prove")
        page.get_by_label("One-time code").fill("000000")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not right")
        picture(page, screenshots, "enroll-prove-wrong")
        page.get_by_label("One-time code").fill(world.code())
        page.keyboard.press("Enter")
        is_called(page, "Your second factors")
        page.get_by_text("Rename or remove").click()
        expect(page.get_by_text("It is your last one")).to_be_visible()
        expect(page.get_by_role("button", name="Remove")).to_have_count(0)
        page.get_by_label("New name").fill("Old phone")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_text("Old phone").first).to_be_visible()
        page.get_by_role("button", name="Authenticator app").click()
        page.get_by_label("First code").fill(scan(page).at(int(world.now)))
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("link", name="Not now").click()
        page.get_by_text("Rename or remove Old phone").click()
        picture(page, screenshots, "enroll-two")
        page.get_by_role("button", name="Remove").click()
        is_called(page, "Your second factors")
        expect(page.get_by_text("Old phone")).to_have_count(0)
        assert [factor.name for factor in factors(world)] == ["Authenticator app"]


def test_a_link_opens_in_one_browser(
    bare: World, origin: str, chromium: Browser, context: BrowserContext, screenshots: Path
) -> None:
    text = link(bare)
    page = context.new_page()
    begin(page, origin, text)
    other = chromium.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 900})
    elsewhere = other.new_page()
    begin(elsewhere, origin, text)
    is_called(elsewhere, "This link was opened in another browser")
    picture(elsewhere, screenshots, "enroll-foreign")
    other.close()
    second = context.new_page()
    second.goto(origin + page_of(text))
    is_called(second, "Choose your second factor")


def test_two_tabs_of_one_browser_set_up_one_factor(
    bare: World, origin: str, context: BrowserContext, screenshots: Path
) -> None:
    text = link(bare)
    first, second = context.new_page(), context.new_page()
    begin(first, origin, text)
    second.goto(origin + page_of(text))
    first.get_by_role("button", name="Authenticator app").click()
    first.get_by_label("First code").fill(scan(first).at(int(bare.now)))
    first.get_by_role("button", name="Confirm").click()
    is_called(first, "Recovery codes")
    second.get_by_role("button", name="Authenticator app").click()
    is_called(second, "This page was out of date")
    picture(second, screenshots, "enroll-stale")
    second.get_by_role("link", name="Start again").click()
    is_called(second, "Your second factors")
    assert len(factors(bare)) == 1


@pytest.mark.parametrize(
    ("name", "spoil", "title"),
    [
        ("expired", lambda text: text, "This link has expired"),
        ("forged", lambda text: text[:-4] + "AAAA", "This link is not complete"),
    ],
)
def test_a_link_that_is_no_good_says_so(
    bare: World,
    origin: str,
    context: BrowserContext,
    screenshots: Path,
    name: str,
    spoil: Callable[[str], str],
    title: str,
) -> None:
    text = spoil(link(bare, valid_for=60))
    bare.now += 61 if name == "expired" else 0
    page = context.new_page()
    page.goto(origin + page_of(text))
    is_called(page, title)
    picture(page, screenshots, f"enroll-{name}")


def test_a_form_on_another_site_removes_nothing(world: World, tmp_path: Path, context: BrowserContext) -> None:
    with served(world, tmp_path) as origin:
        page = context.new_page()
        begin(page, origin, link(world))
        page.get_by_label("One-time code").fill(world.code())
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Authenticator app").click()
        page.get_by_label("First code").fill(scan(page).at(int(world.now)))
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Not now").click()
        page.locator("summary").first.click()
        fields = {
            name: page.locator(f"input[name={name}]").first.input_value() for name in ("ticket", "seat", "factor")
        }
        page.goto(origin.replace("localhost", "127.0.0.1") + "/evil")
        page.evaluate(
            """([target, fields]) => {
                const form = document.createElement('form');
                form.method = 'post';
                form.action = target;
                for (const [name, value] of Object.entries(fields)) {
                    const field = document.createElement('input');
                    field.name = name;
                    field.value = value;
                    form.append(field);
                }
                document.body.append(form);
                form.submit();
            }""",
            [f"{origin}/.extauthz/enroll", {**fields, "step": "remove"}],
        )
        is_called(page, "This form was not sent by this page")
        assert len(factors(world)) == 2


def test_without_javascript_an_app_is_set_up(bare: World, origin: str, chromium: Browser) -> None:
    made = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = made.new_page()
    begin(page, origin, link(bare))
    page.get_by_role("button", name="Authenticator app").click()
    page.get_by_label("First code").fill(scan(page).at(int(bare.now)))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Show my recovery codes").click()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.get_by_label("I have kept them").check()
    page.get_by_role("button", name="Continue").click()
    is_called(page, "Your second factors")
    made.close()
