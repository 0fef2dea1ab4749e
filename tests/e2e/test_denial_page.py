"""The page that a person sees in place of what was asked for, in a real browser through a real Envoy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from e2e.stage import Script, Stage, stage
from playwright.sync_api import Browser, ConsoleMessage, expect, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
POLICIES = f"""
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: pages}}
spec:
  rules:
    - name: frozen
      paths: ["/frozen"]
      effect: deny
      deny: {{reason: {"account-frozen-" * 3}today}}
    - name: people-pay
      paths: ["/pay"]
      when: has(user.sub)
      effect: allow
    - name: paying-is-proven
      paths: ["/pay"]
      effect: challenge
      challenge: {{factors: [totp]}}
"""
# Every text that is shown, with its colour and the first colour behind it that covers.
TEXTS = """() => {
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(', 0)')) return colour;
    }
  };
  return [...document.querySelectorAll('h1, p, a, dt, dd')].filter((one) => one.innerText.trim())
    .map((one) => [one.innerText, getComputedStyle(one).color, behind(one)]);
}"""


@pytest.fixture(scope="module")
def denying() -> Iterator[Stage]:
    """The shipped gateway, and policies that let nobody through; Alice has an authenticator."""
    with stage(Script(policies=POLICIES)) as running:
        running.enroll("alice")
        yield running


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One for the module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of `rgb(r, g, b)`."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_a_denied_person_can_read_why_on_any_screen(
    denying: Stage, browser: Browser, scheme: Literal["light", "dark"], width: int
) -> None:
    context = browser.new_context(
        ignore_https_errors=True, color_scheme=scheme, viewport={"width": width, "height": 600}
    )
    page = context.new_page()
    told: list[str] = []

    def note(message: ConsoleMessage) -> None:
        told.append(message.text)

    page.on("console", note)
    response = page.goto(f"{denying.url()}/frozen")
    assert response is not None
    assert response.status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("This is not allowed")
    expect(page.get_by_role("main")).to_contain_text(response.headers["x-extauthz-decision-id"])
    assert page.title() == "This is not allowed"
    assert not [line for line in told if "Content Security Policy" in line], "the style is not the one that is allowed"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "a long reason is broken, not cut"
    texts = page.evaluate(TEXTS)
    assert len(texts) == 6
    assert min(_contrast(colour, behind) for _, colour, behind in texts) >= 4.5  # WCAG 2.2, 1.4.3
    context.close()


def test_a_challenged_form_leads_to_the_challenge_by_keyboard(denying: Stage, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True)
    context.add_cookies([{"name": "session", "value": denying.token("alice"), "url": denying.url()}])
    page = context.new_page()
    # A form of the application's.
    page.route(
        "**/form", lambda route: route.fulfill(body='<form method="post" action="/pay">', content_type="text/html")
    )
    page.goto(f"{denying.url()}/form")
    with page.expect_navigation() as posted:
        page.evaluate("document.forms[0].submit()")
    assert posted.value is not None
    assert posted.value.status == 401
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm that it is you")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Prove who you are")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/.extauthz/challenge**")
    expect(page.get_by_label("One-time code")).to_be_visible()
    context.close()
