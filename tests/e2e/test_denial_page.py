"""The page that a person sees in place of what was asked for, in a real browser through a real Envoy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import picture
from e2e.stage import Script, Stage, stage
from playwright.sync_api import Browser, ConsoleMessage, expect

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


@pytest.fixture(scope="module")
def denying() -> Iterator[Stage]:
    """The shipped gateway, and policies that let nobody through; Alice has an authenticator."""
    with stage(Script(policies=POLICIES)) as running:
        running.enroll("alice")
        yield running


def test_a_denied_person_can_read_why_on_any_screen(denying: Stage, browser: Browser, screenshots: Path) -> None:
    """A long reason is broken, not cut."""
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 600})
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
    picture(page, screenshots, "denied")
    page.goto(f"{denying.url()}/%2f")
    expect(page.get_by_role("heading", level=1)).to_have_text("This can't be read")
    picture(page, screenshots, "denied-malformed")
    context.close()


def test_a_challenged_form_leads_to_the_challenge_by_keyboard(
    denying: Stage, browser: Browser, screenshots: Path
) -> None:
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
    picture(page, screenshots, "challenged-form")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Prove who you are")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/.extauthz/challenge**")
    expect(page.get_by_label("One-time code")).to_be_visible()
    context.close()
