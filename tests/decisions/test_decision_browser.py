"""The pages of decisions in a real browser: they show what is decided meanwhile, and can be read everywhere."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from approvers.test_approver_browser import chromium, context
from browsing import picture
from decisions.conftest import Recorded
from decisions.recorded_days import decided, happened
from msgspec.structs import replace
from playwright.sync_api import BrowserContext, Page, expect
from ports import free_port
from web.origin import serve

from extauthz.record.audit_line import DecisionLine, RiskLine, RuleLine, SignalLine, WaitLine
from extauthz.record.instants import rfc3339
from extauthz.stepup.approver_login import LINK_PATH

__all__ = ["chromium", "context"]  # fixtures


@pytest.fixture
def url(world: Recorded, tmp_path: Path) -> Iterator[str]:
    world.now = time.time()
    port = free_port()
    world.url = f"https://localhost:{port}"
    with serve(world.app(), tmp_path, port=port):
        yield world.url


def enters(page: Page, world: Recorded, url: str) -> None:
    """Log in as an operator."""
    text = world.link("olga", "operators")
    page.goto(f"{url}{LINK_PATH}?{urlencode({'link': text})}")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Decisions").click()


def made(world: Recorded, number: int, ago: float, **changes: object) -> DecisionLine:
    """A decision some seconds ago."""
    return decided(number, time=rfc3339(int((world.now - ago) * 1e9)), **changes)


def test_why_was_this_blocked(world: Recorded, url: str, context: BrowserContext, screenshots: Path) -> None:
    world.writes(*(made(world, number, 3000 - 30 * number) for number in range(99)))
    began = int((world.now - 20) * 1e9)
    blocked = made(
        world,
        1002,
        20,
        reason="account-frozen",
        rule="payments/frozen-accounts",
        request_time=divmod(began - 340_000, 1_000_000_000),
        detail="the account acc-13 is frozen since the audit of September",
        rules=[
            RuleLine(rule="payments/frozen-accounts", effect="deny", mode="enforce", result="match"),
            RuleLine(rule="payments/shop-may-transfer", effect="allow", mode="enforce", result="match"),
            RuleLine(rule="payments/night", effect="challenge", mode="shadow", result="error", error="no such key"),
            RuleLine(rule="payments/large-transfer", effect="challenge", mode="enforce", result="no-match"),
        ],
        risk=[
            RiskLine(
                model="payments",
                score=0.71,
                level="high",
                signals=[
                    SignalLine(name="new-device", state="raised", weight=0.5, counted=0.5, reason="never seen before"),
                    SignalLine(
                        name="far-away", state="fading", weight=0.4, counted=0.21, reason="900 km in 2 h", age_s=640
                    ),
                    SignalLine(name="odd-hour", state="quiet", weight=0.3, counted=0.0, reason="its usual time"),
                ],
            )
        ],
        approvals=["ap-1"],
        challenge="c-1",
        trace_id=f"{0xACE:032x}",
        duration_us=184_000.0,
        waits=[
            WaitLine(name="identity", after_us=90.0, duration_us=41_000.0),
            WaitLine(name="store", after_us=41_300.0, duration_us=900.0),
            WaitLine(name="attributes", after_us=42_400.0, duration_us=120_000.0, failed=True),
            WaitLine(name="store", after_us=162_900.0, duration_us=20_100.0),
        ],
    )
    stories = [
        happened("challenge.opened", 3, challenge="c-1", decision_id=blocked.decision_id),
        happened("challenge.shown", 4, challenge="c-1"),
        happened("challenge.met", 9, challenge="c-1"),
    ]
    times = [rfc3339(began + after * 1_000_000_000) for after in (1, 2, 9)]
    world.writes(blocked, *(replace(event, time=at) for event, at in zip(stories, times, strict=True)))
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    enters(page, world, url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")
    expect(page.get_by_role("group", name="Decisions over time")).to_be_visible()
    picture(page, screenshots, "decisions-list")
    # What is decided now appears by itself.
    world.writes(made(world, 5000, 0, reason="fresh-news"))
    expect(page.get_by_text("fresh-news")).to_be_visible()
    page.get_by_label("Decided").select_option("deny")
    page.get_by_label("Subject").fill("user-2")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("payments/frozen-accounts")).to_be_visible()
    expect(page.get_by_text("fresh-news")).to_be_hidden()
    page.get_by_role("row", name="frozen-accounts").get_by_role("link").first.click()
    expect(page.locator("p.said")).to_have_text("the account acc-13 is frozen since the audit of September")
    expect(page.get_by_role("row", name="challenge.met")).to_be_visible()
    page.get_by_text("The record").click()
    picture(page, screenshots, "decisions-one")
    trace = page.locator("#trace")
    expect(trace).to_have_attribute("href", f"https://traces.example.com/trace/{0xACE:032x}?x=1")
    page.get_by_role("link", name="payments/frozen-accounts").click()
    expect(page.locator("table.decisions tbody tr")).to_have_count(1)
    page.goto(f"{url}/decisions?path=/v1/accounts/a1*&decision=deny")
    expect(page.locator("table.decisions tbody tr")).to_have_count(5)
    picture(page, screenshots, "decisions-found")
    page.goto(f"{url}/decisions?subject=nobody&since=2020-01-01T00:00&until=2020-01-02T00:00")
    expect(page.get_by_text("Nothing like that was decided.")).to_be_visible()
    picture(page, screenshots, "decisions-nothing")
    assert complaints == []


def test_what_was_it_at_that_time(world: Recorded, url: str, context: BrowserContext, screenshots: Path) -> None:
    """From a time on a clock to the reason, to all that it was given for, and to what it means."""
    reasons = ("allowed", "allowed", "state-unavailable", "proof-required", "approval-required")
    world.writes(
        *(made(world, number, 7000 - 50 * number, reason=reasons[number % 5]) for number in range(130)),
        *(made(world, 2, 3600 + one, decision_id=f"{2000 + one:032x}", reason="state-unavailable") for one in range(9)),
    )
    page = context.new_page()
    enters(page, world, url)
    at = datetime.fromtimestamp(world.now - 3600, UTC)
    page.get_by_label("From (UTC)").fill(f"{at - timedelta(minutes=1):%H:%M}")
    page.get_by_label("Until (UTC)").fill(f"{at + timedelta(minutes=1):%H:%M}")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_label("From (UTC)")).to_have_value(f"{at - timedelta(minutes=1):%Y-%m-%dT%H:%M}:00")
    picture(page, screenshots, "decisions-at-a-time")
    page.get_by_role("link", name="state-unavailable").first.click()
    expect(page.get_by_label("Reason")).to_have_value("state-unavailable")
    said = page.locator("table.decisions tbody td:last-child").all_inner_texts()
    assert len(said) >= 9
    assert {one.split()[0] for one in said} == {"state-unavailable"}
    picture(page, screenshots, "decisions-for-a-reason")
    page.locator("table.decisions tbody a").first.click()
    expect(page.get_by_text("The store is out of reach, or the caller's deadline too near.")).to_be_visible()
    picture(page, screenshots, "decisions-one-meant")
    page.get_by_role("link", name="for this reason").click()
    expect(page.get_by_label("Reason")).to_have_value("state-unavailable")
    # What else there was is one letter away.
    page.get_by_label("Reason").fill("approval-required")
    page.get_by_label("From (UTC)").fill("3h")
    page.get_by_label("Until (UTC)").fill("")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("table.decisions tbody tr")).to_have_count(26)
    # A list that is held still does not move under the hand.
    page.get_by_role("link", name="Hold still").click()
    world.writes(made(world, 6004, -5, reason="approval-required"))
    page.reload()
    expect(page.locator("table.decisions tbody tr")).to_have_count(26)


def test_a_bar_of_the_plot_leads_to_its_decisions(world: Recorded, url: str, context: BrowserContext) -> None:
    world.writes(*(made(world, number, 600) for number in range(3)), made(world, 50, 1200))
    page = context.new_page()
    enters(page, world, url)
    expect(page.locator("table.decisions tbody tr")).to_have_count(4)
    page.get_by_role("link", name="2 allow, 1 deny").click()
    expect(page.locator("table.decisions tbody tr")).to_have_count(3)


def test_a_draft_is_tried(world: Recorded, url: str, context: BrowserContext, screenshots: Path) -> None:
    blocked = made(world, 2, 60, rules=[RuleLine(rule="old/shut", effect="deny", mode="enforce", result="match")])
    world.writes(blocked)
    page = context.new_page()
    enters(page, world, url)
    page.goto(f"{url}/decisions/{blocked.decision_id}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(url)}"))
    page.get_by_text("Try it against a draft").click()
    picture(page, screenshots, "decisions-draft")
    page.get_by_label("Policies, all that would be in force").fill(
        "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: draft}\nspec:\n  rules:\n"
        "    - {name: open, effect: allow}\n    - {name: night, effect: deny, when: request.method == 'PUT'}\n"
    )
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("region", name="What the draft would decide")).to_contain_text("allow")
    picture(page, screenshots, "decisions-draft-tried")
    page.get_by_label("Policies, all that would be in force").fill("kind: Nonsense")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("alert")).to_have_text("The draft can't be used:")
    picture(page, screenshots, "decisions-draft-wrong")
    # Nothing on these pages can change, so they ask for no news: a GET of what was tried would be refused.
    assert asked == [f"POST /decisions/{blocked.decision_id}/try"] * 2
