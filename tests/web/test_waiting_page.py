"""The waiting page by its requests: who may open it, what it shows, and what its forms do."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from stepup.proofs import view
from web.conftest import ORIGIN, SAME_ORIGIN, Browser, World, run
from web.held import EVENTS, GLASS, TERMS, WAITING, Desk, with_glass_of, without_glass

from extauthz.approval.course import Operator
from extauthz.approval.terms import Terms
from extauthz.stepup.ticket import open_ticket
from extauthz.web.waiting import MOST_OF_ONE

HTML = {"accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def opened(browser: Browser, ticket: str, headers: Mapping[str, str] = HTML, *, method: str = "GET") -> httpx.Response:
    return browser.request(method, WAITING, params={"ticket": ticket}, headers=headers)


def acted(browser: Browser, ticket: str, act: str, **fields: str) -> httpx.Response:
    return browser.request("POST", WAITING, form={"ticket": ticket, "act": act, **fields}, headers=SAME_ORIGIN)


def ticket_of(response: httpx.Response) -> str:
    assert response.status_code == 303, response.text
    return parse_qs(urlsplit(response.headers["location"]).query)["ticket"][0]


def test_it_shows_what_waits_and_how_many_have_approved(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    run(desk.vote())
    page = opened(browser, ticket)
    assert page.status_code == 200
    for shown in ("Somebody has to approve this", "250,000.00 EUR", "1 of 2", "/pay/a1", "alice"):
        assert shown in page.text
    assert "bob" not in page.text  # who answers is none of the caller's business
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "script-src 'sha256-" in policy


def test_without_a_script_it_asks_again_by_itself(world: World, desk: Desk) -> None:
    browser = world.browser()
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in opened(browser, desk.sent(browser)).text


@pytest.mark.parametrize(("path", "method"), [(WAITING, "GET"), (EVENTS, "GET"), (WAITING, "DELETE")])
def test_another_browser_opens_nothing(world: World, desk: Desk, path: str, method: str) -> None:
    ticket = desk.sent(world.browser())
    for other in (world.browser(), _with_own_nonce(world, desk)):
        response = other.request(method, path, params={"ticket": ticket})
        assert response.status_code == 403
        assert "another browser" in response.text
    assert {one.state for one in run(desk.all())} == {"pending"}


def _with_own_nonce(world: World, desk: Desk) -> Browser:
    browser = world.browser()
    desk.sent(browser)
    return browser


def test_a_ticket_for_another_page_is_none(world: World, desk: Desk) -> None:
    browser = world.browser()
    desk.sent(browser)
    assert opened(browser, world.challenged(browser)).status_code == 400
    assert browser.open(desk.sent(browser)).status_code == 400


def test_when_it_is_approved_the_browser_goes_on(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    run(desk.vote())
    run(desk.vote(by="carol"))
    went = opened(browser, ticket)
    assert (went.status_code, went.headers["location"]) == (303, "/pay/a1?amount=5")
    assert desk.grants() == ["approval"]


def test_what_was_posted_is_not_sent_again_by_us(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, request=view(method="POST"))
    run(desk.vote())
    run(desk.vote(by="carol"))
    page = opened(browser, ticket)
    assert page.status_code == 200
    assert "send it once more" in page.text


def test_what_was_denied_is_told_and_offers_no_form(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    run(desk.vote("deny"))
    page = opened(browser, ticket)
    assert (page.status_code, "This was denied" in page.text, "<form" in page.text) == (200, True, False)


def test_a_denial_says_why_and_from_when_on_to_ask_again(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    run(desk.vote("deny", reason="the limit is 100,000\n<b>ask Zoe</b> \u202efirst"))
    page = opened(browser, ticket).text
    assert "the limit is 100,000\n&lt;b&gt;ask Zoe&lt;/b&gt; [U+202E]first" in page
    assert "bob" not in page  # who was against it is none of the caller's business
    assert "in 1 minute, at <strong>2026-11-21 10:01 UTC</strong>" in page
    assert "Ask again" not in page
    told = opened(browser, ticket, {})
    assert told.json()["approvals"][0]["against"] == ["the limit is 100,000\n<b>ask Zoe</b> \u202efirst"]
    assert told.headers["retry-after"] == "60"
    world.now += 60
    page = opened(browser, ticket).text
    assert "You can ask again now." in page
    assert ">Ask again</a>" in page
    assert "retry-after" not in opened(browser, ticket, {}).headers


def test_a_denial_without_a_reason_says_that_there_is_none(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    run(desk.vote("deny", reason=""))
    assert "No reason was given." in opened(browser, ticket).text


def test_of_many_reasons_the_latest_are_told(world: World, desk: Desk) -> None:
    desk.terms = replace(TERMS, deny_min=7)
    browser = world.browser()
    ticket = desk.sent(browser)
    for number in range(7):
        run(desk.vote("deny", by=f"bob-{number}", reason=f"no {number}"))
    (approval,) = opened(browser, ticket, {}).json()["approvals"]
    assert approval["against"] == [f"no {number}" for number in range(2, 7)]


def test_what_the_operator_cancels_says_why(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    (waits,) = run(desk.all())
    run(desk.approvals.cancel(waits.id, by=Operator(name="roberta"), reason="the plant is closed"))
    page = opened(browser, ticket).text
    assert "the plant is closed" in page
    assert "roberta" not in page


def test_nobody_has_answered_in_time(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    world.now += 901
    assert "Nobody has answered in time" in opened(browser, ticket).text
    world.now += 3600
    assert opened(browser, ticket).status_code == 410


def test_who_waits_withdraws(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    back = ticket_of(acted(browser, ticket, "cancel"))
    assert "This was withdrawn" in opened(browser, back).text
    assert [one.state for one in run(desk.all())] == ["cancelled"]


def test_a_form_of_another_page_withdraws_nothing(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": "null", "sec-fetch-site": "same-site"}):
        sent = browser.request("POST", WAITING, form={"ticket": ticket, "act": "cancel"}, headers=headers)
        assert sent.status_code == 403
    assert [one.state for one in run(desk.all())] == ["pending"]


def test_an_api_asks_how_it_stands_and_withdraws(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    told = opened(browser, ticket, {})
    (approval,) = told.json()["approvals"]
    assert (told.json()["state"], told.headers["retry-after"]) == ("pending", "5")
    assert (approval["approved"], approval["min"], approval["rule"]) == (0, 2, "payments/four-eyes")
    gone = opened(browser, ticket, {}, method="DELETE")
    assert (gone.status_code, gone.json()["state"]) == (200, "cancelled")
    assert "retry-after" not in gone.headers


def events_of(text: str) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def test_the_stream_tells_each_change_and_ends_with_the_answer(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    app = world.app()

    async def watch() -> httpx.Response:
        following = asyncio.create_task(desk.news.follow())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies=browser.cookies) as client:
            stream = asyncio.create_task(client.get(EVENTS, params={"ticket": ticket}))
            await asyncio.sleep(0.05)
            await desk.vote()
            await asyncio.sleep(0.05)
            await desk.vote(by="carol")
            response = await stream
        following.cancel()
        return response

    response = run(watch())
    assert response.headers["content-type"].startswith("text/event-stream")
    told = events_of(response.text)
    assert [one["state"] for one in told] == ["pending", "pending", "approved"]
    assert told[1]["given"] == [{"approved": 1, "min": 2}]


def test_of_a_burst_of_streams_one_caller_has_so_many(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    app = world.app()

    async def burst(calls: int) -> list[int]:
        following = asyncio.create_task(desk.news.follow())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies=browser.cookies) as client:
            asked = [asyncio.create_task(client.get(EVENTS, params={"ticket": ticket})) for _ in range(calls)]
            await asyncio.sleep(0.1)
            for who in ("bob", "carol"):
                await desk.vote(by=who)
            answers = await asyncio.gather(*asked)
            after = await client.get(EVENTS, params={"ticket": ticket})
        following.cancel()
        return [one.status_code for one in (*answers, after)]

    assert run(burst(MOST_OF_ONE + 4)) == MOST_OF_ONE * [200] + 4 * [503] + [200], "and each place is free again"


# --- without an approval


def test_the_glass_is_broken_with_a_reason_and_a_fresh_factor(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    assert "<summary>This can't wait" in opened(browser, ticket).text
    challenge = ticket_of(acted(browser, ticket, "glass", reason="  the plant is on fire "))
    said = browser.open(challenge).text
    assert "go through without an approval" in said
    assert "reviewed afterwards" in said
    proven = browser.answer(challenge, world.code())
    back = ticket_of(proven)
    page = opened(browser, back)
    assert "the plant is on fire" in page.text
    assert [one.state for one in run(desk.all())] == ["pending"]
    ticket_of(acted(browser, back, "break"))
    (approval,) = run(desk.all())
    assert approval.state == "approved"
    assert approval.break_glass is not None
    assert (approval.break_glass.reason, approval.break_glass.proof.factor) == ("the plant is on fire", "otp")
    assert desk.grants() == ["approval"]  # the proof is used up
    assert opened(browser, back).headers["location"] == "/pay/a1?amount=5"


def test_without_a_reason_nothing_is_asked_for(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    for reason in ("", "   ", "x" * 2001):
        page = acted(browser, ticket, "glass", reason=reason)
        assert (page.status_code, "Say why this can&#39;t wait" in page.text) == (422, True)


def test_without_a_proof_the_glass_stays_whole(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    challenge = open_ticket(ticket_of(acted(browser, ticket, "glass", reason="fire")), world.keys)
    back = parse_qs(urlsplit(challenge.return_path).query)["ticket"][0]
    led = acted(browser, back, "break")
    assert led.headers["location"].startswith("/.extauthz/challenge?ticket=")
    assert [one.state for one in run(desk.all())] == ["pending"]


def test_the_proof_of_another_browser_breaks_nothing(world: World, desk: Desk) -> None:
    browser, other = world.browser(), world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    challenge = ticket_of(acted(browser, ticket, "glass", reason="fire"))
    back = ticket_of(browser.answer(challenge, world.code()))
    desk.sent(other)
    for name in ("__Host-extauthz-holder",):
        browser.cookies.set(name, other.cookies[name], domain="app.example.com", path="/")
    assert acted(browser, back, "break").headers["location"].startswith("/.extauthz/challenge")
    assert {one.state for one in run(desk.all())} == {"pending"}


def test_who_may_not_break_it_is_not_offered_it(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser)
    assert "<summary>This can't wait" not in opened(browser, ticket).text
    assert acted(browser, ticket, "glass", reason="fire").status_code == 403


@pytest.mark.parametrize("terms", [without_glass(TERMS), with_glass_of(TERMS, "https://other.example")])
def test_a_rule_that_changed_lets_nobody_through(world: World, desk: Desk, terms: Terms) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    back = ticket_of(browser.answer(ticket_of(acted(browser, ticket, "glass", reason="fire")), world.code()))
    desk.terms = terms
    assert acted(browser, back, "break").status_code == 403
    assert [one.state for one in run(desk.all())] == ["pending"]


def test_what_was_denied_meanwhile_is_not_broken(world: World, desk: Desk) -> None:
    browser = world.browser()
    ticket = desk.sent(browser, glass=GLASS)
    back = ticket_of(browser.answer(ticket_of(acted(browser, ticket, "glass", reason="fire")), world.code()))
    run(desk.vote("deny"))
    assert acted(browser, back, "break").status_code == 403
    assert [one.state for one in run(desk.all())] == ["denied"]
