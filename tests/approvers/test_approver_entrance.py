"""Who gets to the approvers' pages, for how long, and under which name; what others are told."""

from urllib.parse import urlencode

import pytest
from approval.asking import ANNA, RULE, terms
from approvers.visiting import TREASURY, URL, Visitor, World, heading
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from web.conftest import SAME_ORIGIN, run

from extauthz.approval.terms import Circle
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Revocation
from extauthz.stepup.approver_login import LINK_PATH
from extauthz.values.identity import APPROVER_COOKIE
from extauthz.web.approvers import notices
from extauthz.web.approvers.elsewhere import Elsewhere
from extauthz.web.notices import Notice


def test_whoever_is_not_logged_in_sees_nothing(world: World) -> None:
    world.opened()
    for target in ("/", "/approvals/a1", "/absences"):
        response = world.visitor().get(target)
        assert response.status_code == 403
        assert heading(response) == "Approvals"
        assert "acc-1" not in response.text
    assert world.visitor().get("/events").status_code == 403


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
