"""The challenge page as a browser meets it, attacks included."""

import asyncio
import re
from collections.abc import Mapping, MutableMapping

import pytest
from stepup.proofs import ALICE, NOW, challenge, demand, view
from web.conftest import ORIGIN, PAGE, SAME_ORIGIN, World, run

from extauthz.identity.config import ClientSettings
from extauthz.values.identity import DEVICE_COOKIE, HOLDER_COOKIE, NONCE_COOKIE, holder_of_cookie


def test_the_right_code_leaves_a_grant_and_leads_back(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    assert browser.open(ticket).status_code == 200
    response = browser.answer(ticket, world.code())
    assert (response.status_code, response.headers["location"]) == (303, "/pay/a1?amount=5")
    (grant,) = asyncio.run(world.store.look_up(ALICE, "sid:1", fingerprint="", now=NOW)).grants
    assert grant.binding == "action:payments/large"
    assert grant.factor == "otp"
    assert grant.expires_at == NOW + 300
    assert grant.holder == holder_of_cookie(browser.cookies[HOLDER_COOKIE])


def test_the_holder_cookie_is_host_only_and_out_of_reach_of_scripts(world: World) -> None:
    browser = world.browser()
    response = browser.answer(world.challenged(browser), world.code())
    cookie, device = response.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    assert (name, device.partition("=")[0]) == (HOLDER_COOKIE, DEVICE_COOKIE)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}; Path=/; Secure; HttpOnly; SameSite=Lax", rest)


def test_a_browser_keeps_its_holder_cookie(world: World) -> None:
    browser = world.browser()
    browser.answer(world.challenged(browser), world.code())
    first = browser.cookies[HOLDER_COOKIE]
    response = browser.answer(world.challenged(browser), world.code(ahead=1))
    assert response.status_code == 303
    assert HOLDER_COOKIE not in response.headers["set-cookie"]
    grants = asyncio.run(world.store.look_up(ALICE, "sid:1", fingerprint="", now=NOW)).grants
    assert {grant.holder for grant in grants} == {holder_of_cookie(first)}


def test_a_holder_cookie_that_we_did_not_make_is_replaced(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    browser.cookies.set(HOLDER_COOKIE, "chosen-by-somebody", domain="app.example.com", path="/")
    response = browser.answer(ticket, world.code())
    assert response.headers["set-cookie"].startswith(f"{HOLDER_COOKIE}=")


def test_the_page_says_what_is_confirmed_and_who_asks(world: World) -> None:
    browser = world.browser()
    decision = challenge(
        demand(
            description="A transfer above 1,000",
            show={"to": "<b>acc-7</b>", "amount": "5,000\u202e00", "note": "\udcff"},
            max_age=600.0,
            uses=1,
        )
    )
    text = browser.open(world.challenged(browser, decision)).text
    assert "without an approval" not in text
    for expected in (
        "A transfer above 1,000",
        "&lt;b&gt;acc-7&lt;/b&gt;",
        "5,000[U+202E]00",
        "[U+DCFF]",
        "10 minutes, once",
        "GET app.example.com/pay/a1",
        "alice",
        "https://idp.example.com",
    ):
        assert expected in text
    assert "<script" not in text
    assert re.search(r"(src|href)=\"https?:", text) is None


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_every_answer_is_framed_by_nobody_kept_by_nobody_and_runs_no_script(world: World, method: str) -> None:
    for path in (PAGE, "/.extauthz/", "/.extauthz/nothing"):
        headers = world.browser().request(method, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"


def test_success_is_not_kept_either(world: World) -> None:
    browser = world.browser()
    assert browser.answer(world.challenged(browser), world.code()).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("code", ["000000", "", "12345", "1234567", "12 345", "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_a_wrong_code_asks_again_and_leaves_nothing(world: World, code: str) -> None:
    browser = world.browser()
    response = browser.answer(world.challenged(browser), code)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert 'aria-invalid="true"' in response.text
    assert world.grants() == 0


def test_one_spelling_of_a_code(world: World) -> None:
    browser = world.browser()
    ticket, code = world.challenged(browser), world.code()
    for spelling in (f" {code}", f"{code} ", f"{code[:3]} {code[3:]}", f"{code}\n", f"+{code}", f"0{code}"):
        assert browser.answer(ticket, spelling).status_code == 422
    assert world.grants() == 0
    assert browser.answer(ticket, code).status_code == 303


def test_too_many_wrong_codes_lock_out_and_say_for_how_long(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    for _ in range(5):
        assert browser.answer(ticket, "000000").status_code == 422
    response = browser.answer(ticket, world.code())
    assert response.status_code == 429
    assert response.headers["retry-after"] == "31"
    assert "30 seconds" in response.text
    world.now += 31
    assert browser.answer(ticket, world.code()).status_code == 303


def test_an_address_that_guesses_for_many_is_locked_out(world: World) -> None:
    browser = world.browser()
    sent = {**SAME_ORIGIN, "x-forwarded-for": "192.0.2.1, 198.51.100.7"}
    statuses = []
    for round_ in range(8):
        world.now = NOW + 1000 * round_ * round_
        ticket = world.challenged(browser)
        statuses += [browser.answer(ticket, "000000", sent).status_code for _ in range(5)]
    assert 429 in statuses
    tallies = world.store._limits._tallies
    assert "address:198.51.100.7" in tallies
    assert not any("192.0.2.1" in key for key in tallies)


def test_the_address_is_counted_through_trusted_hops(world: World) -> None:
    browser = world.browser(client=ClientSettings(trusted_hops=1, xff="untouched"))
    sent = {**SAME_ORIGIN, "x-forwarded-for": "192.0.2.1, 2001:db8:1:2:3::4"}
    browser.answer(world.challenged(browser), "000000", sent)
    assert "address:2001:db8:1:2::/64" in world.store._limits._tallies


def test_ticket_replay_serves_nothing(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    assert browser.answer(ticket, world.code()).status_code == 303
    response = browser.answer(ticket, world.code(ahead=1))
    assert response.status_code == 409
    assert "Start again" in response.text
    assert world.grants() == 1


def test_a_totp_step_is_good_once(world: World) -> None:
    browser = world.browser()
    assert browser.answer(world.challenged(browser), world.code()).status_code == 303
    response = browser.answer(world.challenged(browser), world.code())
    assert response.status_code == 422
    assert "used already" in response.text
    assert world.grants() == 1


def test_a_challenge_link_sent_to_somebody_else_opens_nothing(world: World) -> None:
    attacker, victim = world.browser(), world.browser()
    ticket = world.challenged(attacker)
    world.challenged(victim)
    for browser in (victim, world.browser()):
        shown = browser.open(ticket)
        assert shown.status_code == 403
        assert "another browser" in shown.text
        assert "alice" not in shown.text
        assert browser.answer(ticket, world.code()).status_code == 403
    assert world.grants() == 0


def test_login_csrf_a_form_from_elsewhere_is_not_read(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    elsewhere: list[Mapping[str, str]] = [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"origin": "http://app.example.com"},
        {"origin": "https://app.example.com:8443"},
        {"origin": "https://app.example.com@evil.example"},
        {"origin": "https://[", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": ORIGIN},
        {"sec-fetch-site": "none"},
    ]
    for headers in elsewhere:
        assert browser.answer(ticket, world.code(), headers).status_code == 403, headers
    assert world.grants() == 0


def test_an_older_browser_names_its_origin(world: World) -> None:
    browser = world.browser()
    assert browser.answer(world.challenged(browser), world.code(), {"origin": ORIGIN}).status_code == 303


def test_two_tabs_both_work(world: World) -> None:
    browser = world.browser()
    first, second = world.challenged(browser), world.challenged(browser)
    assert browser.answer(first, world.code()).status_code == 303
    assert browser.answer(second, world.code(ahead=1)).status_code == 303
    assert world.grants() == 2


def test_an_expired_ticket_leads_back_to_the_start(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    world.now += 300
    for response in (browser.open(ticket), browser.answer(ticket, world.code())):
        assert response.status_code == 410
        assert 'href="/pay/a1?amount=5"' in response.text
    assert world.grants() == 0


@pytest.mark.parametrize("ticket", ["", "x", "t2.a.b.c", "t2." + "a" * 30_000])
def test_a_text_that_is_no_ticket_is_refused(world: World, ticket: str) -> None:
    browser = world.browser()
    assert browser.open(ticket).status_code == 400
    assert browser.answer(ticket, "000000").status_code == 400
    assert browser.request("GET", PAGE).status_code == 400


def test_a_ticket_given_twice_is_refused(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    assert browser.request("GET", f"{PAGE}?ticket={ticket}&ticket={ticket}").status_code == 400
    body = f"ticket={ticket}&code=000000&code={world.code()}".encode()
    form = {**SAME_ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert browser.request("POST", PAGE, content=body, headers=form).status_code == 400


def test_who_is_not_enrolled_is_told_whom_to_ask() -> None:
    world = World()
    world.enroll(confirmed=False)
    browser = world.browser()
    ticket = world.challenged(browser)
    for response in (browser.open(ticket), browser.answer(ticket, world.code())):
        assert response.status_code == 403
        assert "Ask your administrator" in response.text
    assert world.grants() == 0


def test_a_rule_that_takes_no_code_is_not_met_by_one(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser, challenge(demand(factors=("webauthn",))))
    assert browser.open(ticket).status_code == 403
    assert browser.answer(ticket, world.code()).status_code == 403
    assert world.grants() == 0


def test_one_code_meets_every_demand_that_takes_one(world: World) -> None:
    browser = world.browser()
    decision = challenge(demand("p/a"), demand("p/b", factors=("webauthn",)), demand("p/c", uses=1))
    assert browser.answer(world.challenged(browser, decision), world.code()).status_code == 303
    grants = asyncio.run(world.store.look_up(ALICE, "sid:1", fingerprint="", now=NOW)).grants
    assert sorted((grant.binding, grant.uses) for grant in grants) == [("action:p/a", None), ("action:p/c", 1)]


def test_methods_sizes_and_types_that_a_form_does_not_have_are_refused(world: World) -> None:
    browser = world.browser()
    form = {**SAME_ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert browser.request("PUT", PAGE).status_code == 405
    assert browser.request("PUT", PAGE).headers["allow"] == "GET, HEAD, POST"
    assert browser.request("POST", PAGE, content=b"ticket=" + b"a" * 40_000, headers=form).status_code == 413
    assert (
        browser.request("POST", PAGE, content=b"{}", headers={**form, "content-type": "application/json"}).status_code
        == 415
    )
    for body in (b"ticket", b"ticket=%ff%fe", b"\xff=1", b"&".join(b"a%d=1" % i for i in range(20))):
        assert browser.request("POST", PAGE, content=body, headers=form).status_code == 400
    for path in ("/.extauthz", "/.extauthz/", "/.extauthz/challenge/", "/"):
        assert browser.request("GET", path).status_code == 404


def test_a_store_that_is_gone_is_our_fault_and_says_so(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    asyncio.run(world.store.close())
    for response in (browser.open(ticket), browser.answer(ticket, world.code())):
        assert response.status_code == 503
        assert "retry-after" in response.headers
        assert "Our side" in response.text


def test_a_mistake_of_ours_tells_nothing_about_itself(world: World) -> None:
    def broken(_: int) -> bytes:
        raise RuntimeError("secret detail")

    browser = world.browser()
    ticket = world.challenged(browser)
    world.entropy = broken
    response = world.browser().answer(ticket, world.code())
    assert response.status_code == 403  # another browser
    same = world.browser()
    same.cookies.update(browser.cookies)
    response = same.answer(ticket, world.code())
    assert response.status_code == 500
    assert "secret detail" not in response.text


def test_the_nonce_cookie_must_be_one_and_well_formed(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    nonce = browser.cookies[NONCE_COOKIE]
    fresh = world.browser()
    for cookies in (f"{NONCE_COOKIE}={nonce}; {NONCE_COOKIE}={nonce}", f"{NONCE_COOKIE}=", f"{NONCE_COOKIE}={nonce}="):
        assert fresh.request("GET", PAGE, params={"ticket": ticket}, headers={"cookie": cookies}).status_code == 403
    assert (
        fresh.request(
            "GET", PAGE, params={"ticket": ticket}, headers={"cookie": f"a=b; {NONCE_COOKIE}={nonce}"}
        ).status_code
        == 200
    )


def test_a_request_whose_query_hides_another_place_leads_home(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser, request=view(raw_path="//evil.example/", raw_query=""))
    response = browser.answer(ticket, world.code())
    assert response.headers["location"] == "/"


def test_a_browser_that_leaves_in_the_middle_of_a_form_is_no_failure_of_ours(world: World) -> None:
    sent: list[dict[str, object]] = []

    async def leave() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(dict(message))

    headers = {**SAME_ORIGIN, "host": "app.example.com", "content-type": "application/x-www-form-urlencoded"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": PAGE,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    run(world.app()(scope, leave, send))
    assert sent[0]["status"] == 400
