"""What approvers see and do on their pages."""

import asyncio
import html
import json
import re
from urllib.parse import urlencode

import pytest
from approval.asking import ANNA, NOW, PROOF, RULE, UMA_ASKING, terms
from approvers.visiting import PICTURE, URL, Visitor, World, first_events, heading, words
from msgspec.structs import replace as changed
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from web.conftest import SAME_ORIGIN, run

from extauthz.approval.terms import Circle
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Revocation
from extauthz.stepup.approver_login import LINK_PATH
from extauthz.values.approvals import BreakGlass
from extauthz.values.identity import APPROVER_COOKIE
from extauthz.web.approvers import notices
from extauthz.web.approvers.elsewhere import Elsewhere
from extauthz.web.notices import Notice

TREASURY = "treasury"
SECRET = b"12345678901234567890"


def test_whoever_is_not_logged_in_sees_nothing(world: World) -> None:
    world.opened()
    for target in ("/", "/approvals/a1", "/absences"):
        response = world.visitor().get(target)
        assert response.status_code == 403
        assert heading(response) == "Approvals"
        assert "acc-1" not in response.text
    assert world.visitor().get("/events").status_code == 403


def test_the_list_holds_what_the_viewer_can_answer(world: World) -> None:
    world.opened()
    anna, dora = world.logged_in("anna", TREASURY), world.logged_in("dora", "board")
    assert "250,000.00 EUR" in words(anna.get("/"))
    assert "Nothing waits for you." in words(dora.get("/"))
    assert "There is nothing like that." in words(dora.get("/?for=everybody"))


def test_the_list_is_narrowed_by_state_and_by_rule(world: World) -> None:
    world.ruled["payments/night"] = terms(min=1)
    world.opened("a1")
    world.opened("a2", rule="payments/night")
    world.opened("a3", rule="payments/night")
    anna = world.logged_in("anna", TREASURY)
    anna.answers("deny", "no", id_="a3")
    for query, found in {
        "": {"a1", "a2"},
        "show=denied": {"a3"},
        "show=all&for=everybody": {"a1", "a2", "a3"},
        "show=all&rule=payments/night": {"a2", "a3"},
        "show=pending&rule=payments/night": {"a2"},
        "show=approved": set(),
        "show=nonsense": {"a1", "a2"},
    }.items():
        assert set(re.findall(r'id="a-(a[0-9])"', anna.get(f"/?{query}").text)) == found, query


def test_a_long_list_is_turned_page_by_page(world: World) -> None:
    for number in range(60):
        world.opened(f"n{number:02}", opened_at=NOW + number)
    anna = world.logged_in("anna", TREASURY)
    first = anna.get("/")
    older = re.search(r'<a id="older" href="([^"]+)"', first.text)
    assert older is not None
    second = anna.get(html.unescape(older[1]))
    shown = [re.findall(r'id="a-(n[0-9]+)"', page.text) for page in (first, second)]
    assert [len(one) for one in shown] == [50, 10]
    assert [*shown[0], *shown[1]] == [f"n{number:02}" for number in range(59, -1, -1)]
    assert anna.get("/?before=nonsense").status_code == 400


def test_an_approval_of_others_is_as_if_it_were_not_there(world: World) -> None:
    world.opened()
    dora = world.logged_in("dora", "board")
    known, unknown = dora.get("/approvals/a1"), dora.get("/approvals/a2")
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert known.status_code == 404
    dora.get("/")
    for act in ("vote", "confirm", "cancel", "revoke", "review"):
        answers = [
            dora.post(f"/approvals/{one}/{act}", stance="deny", verdict="justified", reason="x") for one in ("a1", "a2")
        ]
        assert [(one.status_code, one.text) for one in answers] == 2 * [(404, unknown.text)], act
    assert (world.kept().state, world.kept().votes) == ("pending", ())


def test_two_answers_meet_a_rule_that_asks_for_two(world: World) -> None:
    world.opened()
    anna, ben = world.logged_in("anna", TREASURY), world.logged_in("ben", TREASURY)
    assert anna.answers("approve", "known customer").headers["location"] == "/approvals/a1"
    assert world.kept().state == "pending"
    shown = words(ben.get("/approvals/a1"))
    assert "Approved by anna" in shown
    assert "known customer" in shown
    assert "1 of 2 approved" in shown
    ben.answers("approve")
    approval = world.kept()
    assert approval.state == "approved"
    assert [vote.approver.person for vote in approval.votes] == ["anna", "ben"]
    assert {vote.channel for vote in approval.votes} == {"page"}


def test_nobody_answers_twice_nor_what_they_have_asked_for(world: World) -> None:
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.answers("approve")
    again = anna.post("/approvals/a1/vote", stance="approve", reason="")
    assert again.status_code == 409
    assert "You have answered this already" in words(again)
    uma = world.logged_in("Uma", TREASURY)
    page = uma.get("/approvals/a1")
    assert "You have asked for this yourself" in words(page)
    assert "Approve</button>" not in page.text
    assert uma.post("/approvals/a1/vote", stance="approve", reason="").status_code == 403
    assert len(world.kept().votes) == 1


def test_a_reason_that_is_wanted_is_asked_for_and_what_was_written_stays(world: World) -> None:
    world.ruled[RULE] = terms(min=1, reason_required=True)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    assert anna.answers("deny", "  ").status_code == 422
    long = anna.answers("deny", "x" * 2001)
    assert long.status_code == 422
    assert "x" * 2001 in long.text
    assert anna.answers("deny", "not mine\r\nnor ours").status_code == 303
    assert world.kept().votes[0].reason == "not mine\nnor ours"


def test_what_others_have_written_is_text_and_nothing_else(world: World) -> None:
    evil = "<script>alert(1)</script>\u202e'\"&"
    world.opened(
        picture=changed(
            PICTURE,
            path=f"/{evil}",
            description=evil,
            user=evil,
            show={evil: evil},
            claims={evil: {evil: evil}},
            query={evil: (evil,)},
            actors=(evil,),
            why=evil,
            place={"city": evil},
        )
    )
    anna = world.logged_in("anna", TREASURY)
    for target in ("/", "/approvals/a1"):
        text = anna.get(target).text
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "[U+202E]" in text


def test_the_picture_is_whole(world: World) -> None:
    world.opened()
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    for part in (
        "POST https://payments.example.com:8443/v1/accounts/acc-1/transfers",
        "?amount 250000",
        "Not shown token",
        "312 bytes",
        "DE89 3704 0044 0532 0130 00",
        '["clerk", "night"]',
        "planner for assistant",
        "spiffe://prod.example.org/ns/shop/sa/bot",
        "203.0.113.9",
        "Linköping",
        "variables.amount > 100000.0",
        "high, 0.71",
        "new-device, far-away",
        "sha256:0123456789abcdef",
        "this very request, to the last byte",
    ):
        assert part in shown, part


def test_times_of_a_token_are_times_and_what_says_nothing_is_left_out(world: World) -> None:
    claims = {
        "sub": "uma",
        "iss": "https://idp.example.com",
        "nbf": 1_795_255_200,
        "iat": 1_795_255_200,
        "exp": 1_795_255_800.5,
        "auth_time": 1_795_251_600,
        "azp": "teller-app",
    }
    world.opened(picture=changed(PICTURE, claims=claims))
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    for part in (
        "Token issued at 2026-11-21 10:00 UTC",
        "Token good until 2026-11-21 10:10 UTC",
        "Logged in at 2026-11-21 09:00 UTC",
        "azp teller-app",
    ):
        assert part in shown, part
    for part in ("17952", " nbf ", " sub ", " iss "):
        assert part not in shown, part


@pytest.mark.parametrize("odd", [-1, 1e300, True, "soon", None, [1]])
def test_a_time_that_is_none_is_shown_as_it_is(world: World, odd: object) -> None:
    world.opened(picture=changed(PICTURE, claims={"exp": odd, "nbf": odd, "sub": odd}))
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    said = odd if isinstance(odd, str) else json.dumps(odd)
    for part in (f"Token good until {said}", f"nbf {said}", f"sub {said}"):
        assert part in shown, part


def test_the_port_is_part_of_what_is_asked(world: World) -> None:
    world.opened()
    world.opened("a0", picture=changed(PICTURE, authority=""))
    anna = world.logged_in("anna", TREASURY)
    listed = words(anna.get("/"))
    for where in ("payments.example.com:8443/v1/accounts/acc-1/transfers", "payments.example.com/v1/accounts/acc-1"):
        assert f"POST {where}" in listed


def test_past_answers_to_the_like_are_shown(world: World) -> None:
    world.opened("a0")
    anna = world.logged_in("anna", TREASURY)
    anna.answers("deny", "fraud", id_="a0")
    world.now += 1000
    world.opened(opened_at=world.now, state_at=world.now, expires_at=world.now + 900)
    shown = words(anna.get("/approvals/a1"))
    assert "The same rule and the same subject before" in shown
    assert "fraud" in shown


def test_a_form_counts_only_from_our_page_and_for_its_session(world: World) -> None:
    world.opened()
    anna, ben = world.logged_in("anna", TREASURY), world.logged_in("ben", TREASURY)
    anna.get("/approvals/a1")
    for headers in (
        {"origin": "https://app.example.com", "sec-fetch-site": "cross-site"},
        {"origin": "null", "sec-fetch-site": "same-site"},
        {},
    ):
        refused = anna.post("/approvals/a1/vote", headers=headers, stance="approve")
        assert (refused.status_code, heading(refused)) == (403, notices.NOT_OUR_FORM.title)
    ben.page = anna.page
    foreign = ben.post("/approvals/a1/vote", stance="approve")
    assert (foreign.status_code, heading(foreign)) == (409, notices.STALE.title)
    assert (
        anna.request("POST", "/approvals/a1/vote", form={"stance": "approve"}, headers=SAME_ORIGIN).status_code == 409
    )
    assert world.kept().votes == ()


def test_a_logout_ends_the_session_wherever_its_cookie_is(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)
    anna.get("/")
    kept = anna.cookies[APPROVER_COOKIE]
    out = anna.post("/logout")
    assert (out.status_code, heading(out)) == (200, notices.LOGGED_OUT.title)
    assert APPROVER_COOKIE not in anna.cookies
    thief = world.visitor()
    thief.cookies.set(APPROVER_COOKIE, kept, domain="approvals.example.com", path="/")
    assert heading(thief.get("/")) == notices.SIGNED_OUT.title


@pytest.mark.parametrize(
    ("kind", "notice"), [("block", notices.BLOCKED), ("tokens", notices.SIGNED_OUT)], ids=["blocked", "revoked"]
)
def test_what_is_revoked_ends_the_session(world: World, kind: str, notice: Notice) -> None:
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.get("/approvals/a1")
    world.now += 1
    revocation = Revocation(kind=kind, subject=ANNA.subject, at=world.now)  # type: ignore[arg-type]  # one of its kinds
    run(world.store.put_revocation(revocation, now=world.now))
    run(world.revocations.load())
    assert heading(anna.post("/approvals/a1/vote", stance="approve")) == notice.title
    # The cookie is gone with the answer.
    assert heading(anna.get("/")) == "Approvals"
    assert world.kept().votes == ()


def test_nobody_is_let_in_while_nobody_knows_who_is_blocked(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)
    world.revocations = RevocationFeed(world.store, max_staleness=60)
    anna.app = world.app()
    assert (anna.get("/").status_code, heading(anna.get("/"))) == (503, notices.UNAVAILABLE.title)


def test_a_session_ends_by_itself(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)
    world.now += 3599
    assert anna.get("/").status_code == 200
    world.now += 1
    assert anna.get("/").status_code == 403


def test_a_link_logs_in_once_and_by_a_button_only(world: World) -> None:
    text = world.link("anna", TREASURY)
    target = f"{LINK_PATH}?{urlencode({'link': text})}"
    anna, thief = world.visitor(), world.visitor()
    page = anna.get(target)
    assert heading(page) == "Log in as anna"
    assert APPROVER_COOKIE not in anna.cookies
    thief.get(target)
    assert anna.post(LINK_PATH, link=text).status_code == 303
    assert heading(thief.post(LINK_PATH, link=text)) == notices.LINK_USED.title
    ben = world.logged_in("ben", TREASURY)
    other = world.link("eve")
    assert heading(ben.post(LINK_PATH, link=other)) == notices.LOGGED_IN_ALREADY.title
    assert heading(ben.post(LINK_PATH, link=text.replace(".", ".A"))) == notices.LINK_MALFORMED.title
    assert heading(world.visitor().post(LINK_PATH, link=other)) == notices.NO_COOKIE.title
    world.now += 3600
    assert heading(ben.get(f"{LINK_PATH}?{urlencode({'link': other})}")) == notices.LINK_EXPIRED.title


def test_no_link_puts_anybody_on_call(world: World) -> None:
    world.ruled[RULE] = terms(circle=Circle(groups=frozenset({"on-call:night"})))
    world.opened()
    eve = world.logged_in("eve", "on-call:night")
    assert eve.get("/approvals/a1").status_code == 404


def test_the_pages_answer_under_no_other_name(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)
    for url in ("https://app.example.com", "http://127.0.0.1:9194", f"{URL}:8443"):
        answer = anna.request("GET", "/login", url=url)
        assert (answer.status_code, heading(answer)) == (421, notices.MISDIRECTED.title)
        assert f'<a class="button" href="{URL}/">' in answer.text
        assert anna.request("GET", "/.extauthz/challenge", url=url).status_code == 421


@pytest.mark.parametrize("accepted", ["application/json", "*/*"])
def test_a_program_is_told_which_address_serves_what(world: World, accepted: str) -> None:
    visitor, asks = world.visitor(), {"accept": accepted}
    for answer, status, begins in (
        (
            visitor.request("GET", "/", url="http://127.0.0.1:9194", headers=asks),
            421,
            f"the pages answer as `{URL}` alone",
        ),
        (visitor.request("GET", "/v1/nothing", headers=asks), 404, "there is nothing at this path"),
        (visitor.request("DELETE", "/absences", headers=asks), 405, "method not allowed"),
    ):
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (answer.status_code, told["status"]) == (status, status)
        assert told["detail"].startswith(begins)
        assert told["detail"].endswith(f"; people find the pages at `{URL}/`, there is no API (`approvals.tokens`)")
    assert answer.headers["allow"]


def test_a_listener_for_programs_alone_says_so() -> None:
    alone = Elsewhere(url=None, api=True)
    visitor = Visitor(Starlette(exception_handlers={HTTPException: alone.refused}))
    answer = visitor.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == (
        "there is nothing at this path; there are no pages (`approvals.url`), "
        "programs find the API at `/v1/approvals` and its description at `/openapi.json`"
    )


def broken(world: World) -> None:
    """Uma went through without an answer."""
    world.opened()
    before = world.kept()
    glass = BreakGlass(by=UMA_ASKING, reason="the house is on fire", proof=PROOF, at=NOW)
    new = changed(before, version=2, state="approved", due_at=None, break_glass=glass)
    run(world.store.replace_approval(new, version=1, keep=86_400.0, now=world.now))


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_who_went_through_without_an_answer_is_looked_at(world: World, verdict: str) -> None:
    broken(world)
    anna, uma = world.logged_in("anna", TREASURY), world.logged_in("uma", TREASURY)
    assert "Somebody went through without an answer" in words(anna.get("/"))
    assert "Somebody went through without an answer" not in words(uma.get("/"))
    assert "the house is on fire" in words(anna.get("/approvals/a1"))
    assert anna.post("/approvals/a1/review", verdict=verdict).status_code == 422
    assert anna.post("/approvals/a1/review", verdict="perhaps", reason="it was").status_code == 400
    assert anna.post("/approvals/a1/review", verdict=verdict, reason="I have seen it").status_code == 303
    glass = world.kept().break_glass
    assert glass is not None
    assert glass.review is not None
    assert (glass.review.verdict, glass.review.by.person) == (verdict, "anna")
    assert (world.kept().revoked is not None) == (verdict == "unjustified")
    assert "Somebody went through" not in words(anna.get("/"))


def test_what_was_asked_is_cancelled_by_who_has_asked(world: World) -> None:
    world.opened()
    anna, uma = world.logged_in("anna", TREASURY), world.logged_in("uma", TREASURY)
    anna.get("/approvals/a1")
    assert anna.post("/approvals/a1/cancel", reason="").status_code == 403
    uma.get("/approvals/a1")
    assert uma.post("/approvals/a1/cancel", reason="a mistake").status_code == 303
    assert world.kept().state == "cancelled"
    assert "a mistake" in words(anna.get("/approvals/a1"))


def test_what_was_given_is_taken_back(world: World) -> None:
    world.ruled[RULE] = terms(min=1)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.answers("approve")
    anna.get("/approvals/a1")
    assert anna.post("/approvals/a1/revoke", reason="wrong account").status_code == 303
    assert world.kept().revoked is not None
    assert "Taken back by anna" in words(anna.get("/approvals/a1"))


def test_whoever_stands_in_answers_in_the_place_of_who_is_away(world: World) -> None:
    world.opened()
    anna, eve = world.logged_in("anna", TREASURY), world.logged_in("eve")
    assert eve.get("/approvals/a1").status_code == 404
    anna.get("/absences")
    entered = anna.post("/absences", since="2026-11-18T00:00", until="2026-11-20T00:00", delegate="EVE", note="rest")
    assert entered.status_code == 303
    assert "You stand in for anna" in words(eve.get("/absences"))
    page = eve.get("/approvals/a1")
    assert "You answer in the place of anna anna" in words(page)
    eve.answers("approve")
    (vote,) = world.kept().votes
    assert vote.in_place_of is not None
    assert (vote.approver.person, vote.in_place_of.person) == ("eve", "anna")
    anna.get("/absences")
    assert "eve answers for you" in words(anna.get("/absences"))
    mine = run(world.store.absences(now=world.now))[0].id
    assert heading(eve.post("/absences", end=mine)) == notices.ABSENCE_GONE.title
    assert anna.post("/absences", end=mine).status_code == 303
    assert run(world.store.absences(now=world.now)) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"since": "tomorrow", "until": "2026-11-20T00:00"}, "Write both moments"),
        ({"since": "2026-11-18T00:00+01:00", "until": "2026-11-20T00:00"}, "Write both moments"),
        ({"since": "2026-11-20T00:00", "until": "2026-11-18T00:00"}, "over before it begins"),
        ({"since": "2026-11-18T00:00", "until": "2027-11-20T00:00"}, "at most 60 days"),
        ({"since": "2026-11-18T00:00", "until": "2026-11-20T00:00", "delegate": "ANNA"}, "stand in for yourself"),
    ],
)
def test_an_absence_that_makes_no_sense_is_refused(world: World, fields: dict[str, str], said: str) -> None:
    anna = world.logged_in("anna", TREASURY)
    anna.get("/absences")
    refused = anna.post("/absences", SAME_ORIGIN, **fields)
    assert refused.status_code == 422
    assert said in words(refused)
    assert run(world.store.absences(now=world.now)) == ()


def test_an_open_page_hears_of_news_and_nothing_else(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        following = asyncio.create_task(world.news.follow())
        await asyncio.sleep(0.05)  # the first news are that there may have been some
        listening = asyncio.create_task(first_events(anna, 4))
        await asyncio.sleep(0.05)
        before = await world.store.approval("a1")
        assert before is not None
        await world.store.replace_approval(changed(before, version=2), version=1, keep=1.0, now=world.now)
        pieces = await asyncio.wait_for(listening, 30)
        following.cancel()
        return pieces

    world.opened()
    pieces = run(scene())
    assert pieces[0] == b"200"
    assert set(pieces[2:]) == {b"event: changed\ndata: \n\n"}


def test_streams_end_with_the_server(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        listening = asyncio.create_task(first_events(anna, 99))
        await asyncio.sleep(0.05)
        world.news.let_go()
        return await asyncio.wait_for(listening, 10)

    assert run(scene())[0] == b"200"


def test_one_person_holds_no_more_streams_than_there_may_be(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        streams = [asyncio.create_task(first_events(anna, 99)) for _ in range(16)]
        await asyncio.sleep(0.1)
        refused = await first_events(anna, 1)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return [*refused, *(await first_events(anna, 2))]

    pieces = run(scene())
    assert (pieces[0], pieces[1]) == (b"503", b"200")


@pytest.mark.parametrize("target", ["/approvals/a1/nothing", "/approvals/a2/vote", "/nothing"])
def test_what_is_not_there_is_said_so(world: World, target: str) -> None:
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.get("/approvals/a1")
    assert anna.post(target, stance="approve").status_code == 404


def test_every_answer_forbids_what_the_pages_do_not_do(world: World) -> None:
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    for response in (anna.get("/"), anna.get("/approvals/a1"), anna.get("/nothing"), world.visitor().get("/login")):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert "connect-src 'self'" in anna.get("/").headers["content-security-policy"]


def test_the_cookie_is_for_this_host_alone(world: World) -> None:
    visitor, text = world.visitor(), world.link("anna")
    visitor.get(f"{LINK_PATH}?{urlencode({'link': text})}")
    cookies = visitor.post(LINK_PATH, link=text).headers.get_list("set-cookie")
    (own,) = (cookie for cookie in cookies if cookie.startswith(APPROVER_COOKIE))
    assert own.startswith("__Host-")
    assert all(part in own for part in ("; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"))
