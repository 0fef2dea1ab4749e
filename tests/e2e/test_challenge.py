"""Step-up through a real Envoy: the redirect and the page, the header and the code, and what a proof is good for."""

import html
import re
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from e2e.stage import SHOP, Stage

TRANSFERS = "/v1/accounts/acc-1/transfers"
CLOSURE = "/v1/accounts/acc-1/closure"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "accept": "text/html"}
FORM = {"sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin"}


class Person:
    """Somebody with a second factor: each code that it hands out is of a step of its own."""

    def __init__(self, gateway: Stage, sub: str) -> None:
        self.sub = sub
        self._authenticator: pyotp.TOTP = gateway.enroll(sub)
        self._step = 0

    def code(self) -> str:
        """A code that was not used yet: of this half minute, else of the next one, which is good already."""
        self._step = max(self._step + 1, int(time.time()) // 30)
        assert self._step <= int(time.time()) // 30 + 1, "there are two codes at a time"
        return self._authenticator.generate_otp(self._step)


@pytest.fixture(scope="module")
def people(gateway: Stage) -> dict[str, Person]:
    """One for each test that needs a fresh one."""
    return {sub: Person(gateway, sub) for sub in ("terminal", "browser", "scoped", "once", "stolen", "guessed")}


def _browser(gateway: Stage, sub: str) -> httpx.Client:
    """A client that keeps cookies, for an origin of its own: cookie jars go by the address, not by `Host`."""
    client = gateway.client(host=gateway.url().removeprefix("https://"))
    client.cookies.set("session", gateway.token(sub, sid=f"session-of-{sub}"))
    return client


def test_an_api_caller_is_asked_by_a_header(gateway: Stage) -> None:
    response = gateway.client().post(TRANSFERS, json={"amount": 5000}, headers=gateway.bearer("alice"))
    assert response.status_code == 401
    asked = response.headers["www-authenticate"]
    assert asked.startswith('Bearer error="insufficient_user_authentication"')
    assert 'max_age="300"' in asked
    problem = response.json()
    assert problem["challenge_uri"].startswith("/.extauthz/challenge?ticket=")
    assert problem["demands"] == [{"factors": ["totp"], "max_age": 300}]
    line = gateway.decided(response)
    assert (line["decision"], line["rule"]) == ("challenge", "gateway/large-transfer")


def test_a_challenge_without_anybody_to_ask_is_a_denial(gateway: Stage) -> None:
    for client in (gateway.client(), gateway.client(SHOP)):
        response = client.get("/vault", headers=NAVIGATION)
        assert response.status_code == 401
        assert "location" not in response.headers
        assert gateway.decided(response)["reason"] == "needs-subject"


def test_a_terminal_sends_the_code_with_the_request(gateway: Stage, people: dict[str, Person]) -> None:
    person = people["terminal"]
    headers = gateway.bearer(person.sub)
    client = gateway.client()
    code = person.code()
    allowed = client.post(TRANSFERS, json={"amount": 5000}, headers={**headers, "x-extauthz-otp": code})
    assert allowed.status_code == 200
    assert gateway.service.received[-1].all("x-extauthz-otp") == []
    assert client.post(TRANSFERS, json={"amount": 5000}, headers=headers).status_code == 200
    again = client.post(TRANSFERS, json={"amount": 7000}, headers={**headers, "x-extauthz-otp": code})
    assert again.status_code == 401
    assert gateway.decided(again)["reason"] == "code-used"
    wrong = client.post(TRANSFERS, json={"amount": 7000}, headers={**headers, "x-extauthz-otp": "000000"})
    assert wrong.status_code == 401


def test_who_guesses_codes_is_told_how_long_to_wait(gateway: Stage, people: dict[str, Person]) -> None:
    """Also where the next code is right, and in the details of gRPC."""
    person = people["guessed"]
    headers = {**gateway.bearer(person.sub), "x-extauthz-otp": "000000"}
    client = gateway.client()
    for _ in range(5):
        assert client.get("/v1/statements", headers=headers).json()["reason"] == "wrong-code"
    locked = client.get("/v1/statements", headers={**headers, "x-extauthz-otp": person.code()})
    assert (locked.status_code, locked.json()["reason"]) == (401, "locked-out")
    assert 0 < int(locked.headers["retry-after"]) == locked.json()["retry_after"] <= 30
    assert f"Try again in {locked.headers['retry-after']} seconds." in locked.json()["detail"]
    call = {**headers, "content-type": "application/grpc", "te": "trailers"}
    denied = gateway.client(host="ledger.example.com", http2=True).post("/bank.Ledger/Book", content=b"", headers=call)
    assert denied.headers["grpc-status"] == "16"
    assert "Try again in" in denied.headers["grpc-message"]


def test_a_proof_serves_the_values_that_it_was_given_for(gateway: Stage, people: dict[str, Person]) -> None:
    person = people["scoped"]
    headers = gateway.bearer(person.sub)
    client = gateway.client()
    proven = client.post(TRANSFERS, json={"amount": 1001}, headers={**headers, "x-extauthz-otp": person.code()})
    assert proven.status_code == 200
    for path, amount in ((TRANSFERS, 90000), (TRANSFERS, 1001.5), ("/v1/accounts/acc-2/transfers", 1001)):
        assert client.post(path, json={"amount": amount}, headers=headers).status_code == 401
    assert client.post(TRANSFERS, json={"amount": 1001}, headers=headers).status_code == 200


def test_a_proof_for_one_request_is_used_up_by_it(gateway: Stage, people: dict[str, Person]) -> None:
    person = people["once"]
    headers = gateway.bearer(person.sub)
    client = gateway.client()
    body = {"reason": "moving"}
    closed = client.post(CLOSURE, json=body, headers={**headers, "x-extauthz-otp": person.code()})
    assert closed.status_code == 200
    assert client.post(CLOSURE, json=body, headers=headers).status_code == 401


def test_a_stolen_token_does_not_ride_on_a_proof(gateway: Stage, people: dict[str, Person]) -> None:
    """The same token from a caller that holds something else: here a workload's certificate."""
    person = people["stolen"]
    headers = gateway.bearer(person.sub)
    proven = gateway.client().post(
        TRANSFERS, json={"amount": 5000}, headers={**headers, "x-extauthz-otp": person.code()}
    )
    assert proven.status_code == 200
    stolen = gateway.client(SHOP).post(TRANSFERS, json={"amount": 5000}, headers=headers)
    assert stolen.status_code == 401
    assert gateway.decided(stolen)["decision"] == "challenge"


def test_a_browser_is_led_to_the_page_and_back(gateway: Stage, people: dict[str, Person]) -> None:
    person = people["browser"]
    client = _browser(gateway, person.sub)
    led = client.get("/v1/statements?year=2026", headers=NAVIGATION)
    assert led.status_code == 302
    assert led.headers["cache-control"] == "no-store"
    page = led.headers["location"]
    assert page.startswith("/.extauthz/challenge?ticket=")
    assert all(cookie.startswith("__Host-") for cookie in led.headers.get_list("set-cookie"))

    shown = client.get(page, headers=NAVIGATION)
    assert shown.status_code == 200
    assert "frame-ancestors" in shown.headers["content-security-policy"]
    ticket = parse_qs(urlsplit(page).query)["ticket"][0]
    assert html.unescape(re.findall(r'name="ticket" value="([^"]+)"', shown.text)[0]) == ticket

    form = {"ticket": ticket, "factor": "totp", "code": "123"}
    origin = {**FORM, "origin": gateway.url()}
    assert client.post("/.extauthz/challenge", data=form, headers=origin).status_code == 422
    code = person.code()
    proven = client.post("/.extauthz/challenge", data={**form, "code": code}, headers=origin)
    assert proven.status_code == 303
    assert proven.headers["location"] == "/v1/statements?year=2026"

    assert client.get(proven.headers["location"], headers=NAVIGATION).status_code == 200
    assert gateway.service.received[-1].all("x-authz-subject") == [person.sub]
    assert client.get("/v1/statements", headers=NAVIGATION).status_code == 200

    replayed = client.post("/.extauthz/challenge", data={**form, "code": person.code()}, headers=origin)
    assert replayed.status_code >= 400


def test_a_link_to_the_page_opens_only_in_the_browser_that_was_sent(gateway: Stage, people: dict[str, Person]) -> None:
    sub = people["browser"].sub
    page = _browser(gateway, sub).get(
        "/v1/statements", headers={**NAVIGATION, "cookie": f"session={gateway.token(sub)}"}
    )
    assert page.status_code == 302
    elsewhere = _browser(gateway, sub).get(page.headers["location"], headers=NAVIGATION)
    assert elsewhere.status_code >= 400
    assert "ticket" not in elsewhere.text


def test_a_preflight_is_never_redirected(gateway: Stage) -> None:
    headers = {
        "origin": "https://elsewhere.example.net",
        "access-control-request-method": "GET",
        "cookie": f"session={gateway.token('alice')}",
    }
    response = gateway.client().options("/v1/statements", headers=headers)
    assert response.status_code in (401, 403)
    assert "location" not in response.headers
