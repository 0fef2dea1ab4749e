"""Attacks on step-up through a real Envoy, each by the name of what it must not reach; two servers share one store."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

import pytest
from e2e.bank import HOST, PARTNER, Bank, banking
from e2e.factor_store import FactorStore
from e2e.owners import NAVIGATION, PAGE, Owner, ticket_of
from e2e.stage import Stage

from extauthz.stepup.ticket import open_ticket
from extauthz.values.identity import HOLDER_COOKIE


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    with banking(tmp_path_factory.mktemp("partner")) as running:
        yield running


def test_a_stolen_bearer_beside_a_fresh_proof_is_challenged(bank: Bank) -> None:
    owner, mallory = bank.owner("robbed"), bank.owner("mallory")
    owner.proves("/vault")
    mallory.proves("/vault")
    bearer = bank.stage.client(host=HOST)
    for cookie, said in (
        ("", 401),
        (f"{HOLDER_COOKIE}={'A' * 43}", 401),
        (f"{HOLDER_COOKIE}=A; {HOLDER_COOKIE}=B", 400),
    ):
        refused = bearer.get("/vault", headers={"authorization": f"Bearer {owner.token}", "cookie": cookie})
        assert refused.status_code == said, cookie
    assert Owner(bank.stage, owner.sub, host=HOST, token=owner.token).is_challenged("/vault"), (
        "the session cookie alone"
    )
    mallory.client.cookies.set("session", owner.token)
    assert mallory.is_challenged("/vault"), "with the holder of a proof of one's own"
    assert owner.asks("/vault").status_code == 200


def test_a_stolen_bearer_of_somebody_without_a_browser_is_challenged_at_another_address(bank: Bank) -> None:
    """Also where it claims to come from the owner's address."""
    owner = bank.owner("at-home")
    headers = {"authorization": f"Bearer {owner.token}"}
    home, away = bank.from_address("127.0.0.1"), bank.from_address("127.0.0.2")
    assert home.get("/vault", headers={**headers, "x-extauthz-otp": owner.code()}).status_code == 200
    assert home.get("/vault", headers=headers).status_code == 200
    for claimed in ({}, {"x-forwarded-for": "127.0.0.1"}, {"x-forwarded-for": "127.0.0.1, 127.0.0.1"}):
        assert away.get("/vault", headers={**headers, **claimed}).status_code == 401


def test_a_challenge_link_mailed_to_a_victim_does_not_lift_the_senders_session(bank: Bank) -> None:
    """The sender has the victim's token, and lacks the second factor, which the victim is to give."""
    victim = bank.owner("victim")
    sender = Owner(bank.stage, "victim", host=HOST, token=victim.token)
    mailed = sender.ticket("/vault")
    assert victim.is_challenged("/vault"), "the victim's own browser has a nonce of its own"
    code = victim.code()
    for shown in (victim.client.get(PAGE, params={"ticket": mailed}), victim.answers(mailed, code)):
        assert shown.status_code == 403
        assert "belongs to another browser" in shown.text
        assert "victim" not in shown.text
    assert FactorStore(folder=bank.stage.folder).grants("victim") == ()
    # Even a victim who goes on from there lifts nothing but what this browser asks for.
    assert victim.answers(victim.ticket("/vault"), code).status_code == 303
    assert victim.asks("/vault").status_code == 200
    assert sender.is_challenged("/vault")


def test_the_same_sub_at_another_issuer_has_no_part_in_the_proof(bank: Bank) -> None:
    """The same name, session id and browser; only who says so differs."""
    owner = bank.owner("namesake")
    owner.proves("/vault")
    token = bank.partner.token("namesake", {"iss": PARTNER, "sid": "session-of-namesake"}, now=time.time())
    other = Owner(bank.stage, "namesake", host=HOST, token=token)
    other.client.cookies.update(owner.cookies)
    other.client.cookies.set("session", token)
    ticket, code = other.ticket("/vault"), owner.code()
    assert "You have no second factor yet" in other.client.get(PAGE, params={"ticket": ticket}).text
    assert other.answers(ticket, code).status_code == 403
    coded = bank.stage.client(host=HOST).get(
        "/vault", headers={"authorization": f"Bearer {token}", "x-extauthz-otp": code}
    )
    assert (coded.status_code, coded.json()["reason"]) == (401, "not-enrolled")
    assert owner.asks("/vault").status_code == 200


def test_a_proof_lifts_no_other_session_of_the_same_person(bank: Bank) -> None:
    """Who logs out and in again in the same browser, and a token that was made anew without a session."""
    owner = bank.owner("returning")
    owner.proves("/vault")
    for claims in ({"sid": "another"}, {}):
        owner.client.cookies.set("session", bank.stage.token("returning", **claims))
        assert owner.is_challenged("/vault")
    owner.client.cookies.set("session", owner.token)
    assert owner.asks("/vault").status_code == 200


def test_a_ticket_of_one_rule_serves_no_other(bank: Bank) -> None:
    owner = bank.owner("elsewhere")
    owner.proves("/payees/1")
    assert owner.asks("/payees/2").status_code == 200
    for path in ("/vault", "/mandates", "/closure"):
        assert owner.is_challenged(path)
    code = owner.code()
    for ticket in (owner.ticket("/mandates"), f"{owner.ticket('/mandates')[:-4]}AAAA"):
        assert owner.answers(ticket, code).status_code in (400, 403), "a code is no key, whatever the form says"
    assert owner.answers(owner.ticket("/vault"), code).status_code == 303


def test_a_code_a_ticket_and_a_use_are_good_once_on_every_replica(bank: Bank) -> None:
    here = bank.owner("racer")
    first = here.ticket("/closure")
    there = here.goes_to("replica")
    second = there.ticket("/closure")
    code = here.code()
    assert here.answers(first, code).status_code == 303
    used = there.answers(second, code)
    assert (used.status_code, "used already" in used.text) == (422, True)
    replayed = there.answers(first, here.code())
    assert (replayed.status_code, "was used already" in replayed.text) == (409, True)
    there = here.goes_to("replica")
    assert there.asks("/closure").status_code == 200
    assert here.is_challenged("/closure")
    assert there.is_challenged("/closure")


def test_a_form_that_is_sent_many_times_at_once_proves_once(bank: Bank) -> None:
    """Half of them to each server, with the right code."""
    here = bank.owner("doubled")
    ticket, code = here.ticket("/vault"), here.code()
    tabs = [here.goes_to(listener) for listener in ("https", "replica") * 5]
    with ThreadPoolExecutor(len(tabs)) as at_once:
        answered = list(at_once.map(lambda tab: tab.answers(ticket, code).status_code, tabs))
    assert set(answered) <= {303, 409, 422, 429}
    assert answered.count(303) == len(FactorStore(folder=bank.stage.folder).grants("doubled")) == 1


def test_a_request_that_was_changed_after_its_proof_is_challenged(bank: Bank) -> None:
    owner = bank.owner("changed")
    path, body, json = "/closure?to=acc-1", b'{"amount": 5}', {"content-type": "application/json"}
    asked = owner.client.post(path, content=body, headers=json)
    ticket = asked.json()["challenge_uri"].partition("=")[2]
    assert owner.answers(ticket, owner.code()).status_code == 303
    for method, target, content, headers in (
        ("POST", path, b'{"amount": 6}', json),
        ("POST", path, b'{"amount":5}', json),
        ("POST", path, b"", json),
        ("POST", "/closure?to=acc-2", body, json),
        ("POST", "/closure?to=acc-1&to=acc-2", body, json),
        ("POST", "/closure", body, json),
        ("PUT", path, body, json),
        ("POST", path, body, {"content-type": "text/plain"}),
        ("POST", path, body, {**json, "x-http-method-override": "DELETE"}),
        ("POST", path, body, {**json, "host": f"{HOST}:444"}),
    ):
        refused = owner.client.request(method, target, content=content, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (401, "proof-required"), (method, target, headers)
    assert owner.client.post(path, content=body, headers=json).status_code == 200
    assert owner.client.post(path, content=body, headers=json).status_code == 401


def test_guesses_are_counted_by_all_replicas_together(bank: Bank) -> None:
    here = bank.owner("guessed")
    ticket = here.ticket("/vault")
    there = here.goes_to("replica")
    for asked in (here, there, here, there, here):
        assert asked.answers(ticket, "000000").status_code == 422
    for asked in (there, here):
        locked = asked.answers(ticket, here.code())
        assert (locked.status_code, "Too many wrong codes" in locked.text) == (429, True)
    assert FactorStore(folder=bank.stage.folder).grants("guessed") == ()


def test_a_guesser_is_locked_out_by_address_whatever_address_is_claimed(bank: Bank) -> None:
    """Few guesses at each of many people; and the next address is nobody's burden."""
    people = [bank.owner(f"spread-{number}") for number in range(8)]
    guesser = bank.from_address("127.0.0.5")

    def guess(at: Owner, number: int) -> str:
        claimed = {"x-forwarded-for": f"192.0.2.{number}", "x-extauthz-otp": "000000"}
        answer = guesser.get("/vault", headers={"authorization": f"Bearer {at.token}", **claimed})
        return str(answer.json()["reason"])

    reasons = [guess(at, number) for number in range(4) for at in people]
    assert reasons == ["wrong-code"] * 30 + ["locked-out"] * 2
    headers = {"authorization": f"Bearer {people[0].token}", "x-extauthz-otp": people[0].code()}
    assert guesser.get("/vault", headers=headers).json()["reason"] == "locked-out"
    assert bank.from_address("127.0.0.6").get("/vault", headers=headers).status_code == 200


def test_a_code_in_the_header_has_one_spelling(bank: Bank) -> None:
    owner = bank.owner("speller")
    code, client = owner.code(), bank.from_address("127.0.0.1")
    full_width = "".join(chr(ord("\uff10") + int(digit)) for digit in code)
    arabic = "".join(chr(ord("\u0660") + int(digit)) for digit in code)
    spellings = [f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}", f"+{code}", f"0{code}", f"{code}.0", f"{code},"]
    spellings += [f"{code},{code}", f'"{code}"', f"{code[:3]}_{code[3:]}", full_width, arabic, f"{code}\u00a0"]
    bearer = (b"authorization", f"Bearer {owner.token}".encode())
    for lines in (*((spelling,) for spelling in spellings), (code, code)):
        sent = [(b"x-extauthz-otp", line.encode()) for line in lines]
        assert client.get("/vault", headers=[bearer, *sent]).status_code in (400, 401), lines
    assert client.get("/vault", headers=[bearer, (b"x-extauthz-otp", code.encode())]).status_code == 200


def test_a_code_in_the_header_is_no_key_and_reaches_no_service(bank: Bank) -> None:
    """Where a rule takes keys only it is refused, where no proof is needed it is not looked at, and goes no further."""
    owner = bank.owner("downgraded")
    client = bank.stage.client(host=HOST, listener="underscored")
    headers = {"authorization": f"Bearer {owner.token}", "x-extauthz-otp": owner.code()}
    refused = client.get("/mandates", headers=headers)
    assert (refused.status_code, refused.json()["reason"]) == (401, "factor-not-accepted")
    for name in ("x-extauthz-otp", "X-EXTAUTHZ-OTP", "x_extauthz_otp", "x-extauthz_otp"):
        coded = {"authorization": headers["authorization"], name: headers["x-extauthz-otp"]}
        assert client.get("/free", headers=coded).status_code == 200
        names = [given for given, _ in bank.stage.service.received[-1].headers]
        assert "x-extauthz-otp" not in [given.replace("_", "-") for given in names], name
    assert client.get("/vault", headers=headers).status_code == 200, "it was not used up by any of that"


ELSEWHERE = [
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "/%2fevil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "/%252f%252fevil.example",
    "/x/..//evil.example",
    "/./evil.example//",
    "/%09/evil.example",
    "/%0d%0alocation:%20https:%2f%2fevil.example",
    "/;//evil.example",
    "/x@evil.example",
    "/javascript:alert(1)",
    "https://evil.example/",
    "https://open.example.test@evil.example/",
    "/?next=//evil.example",
    "/#//evil.example",
    "/.extauthz/../x",
    "/.extauthz;/challenge",
]


def test_an_open_redirect_in_any_spelling_leads_nowhere_else(bank: Bank) -> None:
    """Every path is challenged there. What comes of each is a refusal, or a way back that stays on the origin."""
    owner = Owner(bank.stage, "traveller", host="open.example.test")
    keys, led = FactorStore(folder=bank.stage.folder).keys, 0
    for target in ELSEWHERE:
        status, location = _navigate(bank.stage, target, owner.token)
        assert status in (302, 400, 403, 404), target
        if status == 302:
            led += 1
            assert location.startswith(f"{PAGE}?ticket="), target
            back = open_ticket(location.partition("=")[2], keys).return_path
            there = urlsplit(urljoin(f"https://open.example.test{PAGE}", back))
            assert (there.scheme, there.netloc) == ("https", "open.example.test"), target
            assert not there.path.startswith("/.extauthz"), target
    assert led >= 3, "some of them only look like another place"


def test_an_open_redirect_of_a_form_or_a_referrer_leads_home(bank: Bank) -> None:
    owner = bank.owner("posting")
    keys = FactorStore(folder=bank.stage.folder).keys
    for referrer in (
        "https://evil.example/x",
        f"https://{HOST}//evil.example/",
        f"https://{HOST}@evil.example/",
        "javascript:x",
    ):
        headers = {**NAVIGATION, "referer": referrer, "accept": "application/json", "sec-fetch-mode": "cors"}
        asked = owner.client.post("/vault", headers=headers)
        ticket = asked.json()["challenge_uri"].partition("=")[2]
        assert open_ticket(ticket, keys).return_path == "/", referrer
    proven = owner.answers(owner.ticket("/vault?a=1"), owner.code(), then="//evil.example")
    assert (proven.status_code, proven.headers["location"]) == (303, "/vault?a=1")


def test_nothing_on_the_way_to_a_proof_is_kept_framed_or_referred(bank: Bank) -> None:
    owner = bank.owner("watched")
    led = owner.asks("/vault")
    ticket = ticket_of(led)
    cors = {"sec-fetch-mode": "cors", "accept": "application/json"}
    form = {**NAVIGATION, "content-type": "application/x-www-form-urlencoded"}
    told = [
        led,
        owner.client.get("/vault", headers=cors),
        owner.client.post("/vault", headers=form),
        owner.client.get(PAGE, params={"ticket": ticket}),
        owner.answers(ticket, "000000"),
        owner.answers(ticket, owner.code()),
        owner.answers(ticket, owner.code()),
        owner.client.get(PAGE, params={"ticket": "none"}),
        owner.client.put(PAGE),
        owner.client.get("/.extauthz/oidc", params={"state": ticket, "code": "x"}),
        owner.client.get("/.extauthz/done"),
        owner.client.get("/.extauthz/nothing"),
    ]
    assert [one.status_code for one in told] == [302, 401, 401, 200, 422, 303, 409, 400, 405, 403, 200, 404]
    for one in told:
        assert one.headers["cache-control"] == "no-store", one.url
        if one.headers.get("content-type", "").startswith("text/html"):
            assert "frame-ancestors 'none'" in one.headers["content-security-policy"], one.url
            # A page in the place of the application's leads to ours, which then knows where to go back to.
            assert one.headers["referrer-policy"] == ("same-origin" if one.url.path == "/vault" else "no-referrer")
            assert one.headers["x-content-type-options"] == "nosniff", one.url


def _navigate(on: Stage, target: str, token: str) -> tuple[int, str]:
    """What comes back for a request line that no client of good manners would send: status and `Location`."""
    lines = [f"GET {target} HTTP/1.1", "host: open.example.test", f"cookie: session={token}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in NAVIGATION.items()]
    with (
        socket.create_connection(("127.0.0.1", on.admin.port("https")), timeout=15) as connection,
        on.context().wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b"".join(iter(lambda: secured.recv(65536), b"")).partition(b"\r\n\r\n")[0].decode("latin-1")
    status, *fields = head.split("\r\n")
    told = dict(field.split(": ", 1) for field in fields)
    return int(status.split(" ")[1]), told.get("location", "")
