"""What the page offers to whom, where, and who is turned away from it."""

import html
import json
import re
import socket
from math import inf
from pathlib import Path

import pytest
from stepup.authenticator import ORIGIN, RP_ID, SoftwareAuthenticator
from stepup.owner import CODE_LIST, PARTY, Person, signed
from stepup.proofs import ALICE, NOW, alice, challenge, demand, view
from web.conftest import PAGE, SAME_ORIGIN, World, run

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import Kind, Revocation
from extauthz.lookup.oidc import OidcClient
from extauthz.lookup.oidc_config import OidcSettings
from extauthz.stepup.authenticators import challenge_of
from extauthz.stepup.ticket import open_ticket, sign
from extauthz.store.protocol import Selection
from extauthz.values.identity import Credential, Subject
from extauthz.web.offers import Means

SIBLING = "https://shop.example.com"
ALL = challenge(demand(factors=("webauthn", "totp", "oidc", "recovery")))
AGENT = Subject(ALICE.issuer, "agent")
TOKEN = Credential(subjects=(ALICE, AGENT), issued_at=NOW - 60, sid="1", jti="j", digest="d")


def offered(text: str) -> list[str]:
    return re.findall(r'name="factor" value="(\w+)"', text)


@pytest.fixture
def rich(world: World) -> World:
    """Alice has one of each, and this server asks for keys."""
    person = Person()
    person.store, person.keys = world.store, world.keys
    person.plug_in(SoftwareAuthenticator())
    person.write_down()
    world.means = Means(relying_party=PARTY)
    return world


def test_only_what_is_accepted_had_and_configured_is_offered(world: World, rich: World) -> None:
    assert rich is world
    for factors, expected in (
        (("webauthn", "totp", "oidc", "recovery"), ["webauthn", "totp", "recovery"]),
        (("recovery", "webauthn"), ["webauthn", "recovery"]),
        (("oidc", "totp"), ["totp"]),
    ):
        browser = world.browser()
        asked = challenge(demand(factors=factors))
        assert offered(browser.open(world.challenged(browser, asked)).text) == expected
    browser = world.browser()
    assert browser.open(world.challenged(browser, challenge(demand(factors=("oidc",))))).status_code == 403


def test_a_provider_is_offered_to_its_own_users(world: World) -> None:
    settings = OidcSettings(issuer="https://idp.example.com", client_id="x")
    client = OidcClient(settings, base=Path())
    world.means = Means(providers={"https://other.example": client})
    browser = world.browser()
    assert offered(browser.open(world.challenged(browser, ALL)).text) == ["totp"]
    world.means = Means(providers={ALICE.issuer: client})
    browser = world.browser()
    text = browser.open(world.challenged(browser, ALL)).text
    assert offered(text) == ["totp", "oidc"]
    assert "idp.example.com" in text
    run(client.close())


def test_a_key_is_not_asked_for_on_an_origin_where_browsers_would_refuse(rich: World) -> None:
    browser = rich.browser()
    ticket = rich.challenged(browser, ALL, view(authority="shop.example.com"))
    assert offered(browser.open(ticket).text) == ["totp", "recovery"]


def test_the_script_is_named_by_its_hash_and_only_where_it_is(rich: World) -> None:
    browser = rich.browser()
    page = browser.open(rich.challenged(browser, ALL))
    policy = page.headers["content-security-policy"]
    assert re.search(r"; script-src 'sha256-[A-Za-z0-9+/=]{44}'$", policy)
    assert "unsafe" not in policy
    assert page.text.count("<script>") == 1
    plain = browser.open(rich.challenged(browser))
    assert "script-src" not in plain.headers["content-security-policy"]
    assert "<script" not in plain.text


def test_what_a_script_is_given_is_what_the_browser_asks_with(rich: World) -> None:
    browser = rich.browser()
    ticket = rich.challenged(browser, challenge(demand(factors=("webauthn",), user_verification="required")))
    found = re.search(r'data-options="([^"]*)"', browser.open(ticket).text)
    assert found is not None
    options = json.loads(html.unescape(found[1]))
    assert (options["rpId"], options["userVerification"]) == (RP_ID, "required")
    assert len(options["allowCredentials"]) == 1


def test_a_key_and_a_recovery_code_are_proven_by_their_forms(world: World) -> None:
    person, device = Person(), SoftwareAuthenticator()
    person.store, person.keys = world.store, world.keys
    person.plug_in(device)
    person.write_down()
    world.means = Means(relying_party=PARTY)
    browser = world.browser()
    ticket = world.challenged(browser, ALL)
    answer = signed(device, open_ticket(ticket, world.keys))
    form = {"ticket": ticket, "factor": "webauthn", "answer": answer}
    assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == 303
    assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == 409
    form = {"ticket": world.challenged(browser, ALL), "factor": "recovery", "code": CODE_LIST[0]}
    assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == 303
    assert world.grants() == 2


def test_a_key_that_was_touched_at_a_sibling_page_confirms_nothing_here(world: World) -> None:
    """A script at a sibling that keys are taken at, too, asks for the challenge of somebody else's ticket."""
    person, device = Person(), SoftwareAuthenticator()
    person.store, person.keys = world.store, world.keys
    person.plug_in(device)
    world.means = Means(relying_party=PARTY.model_copy(update={"origins": (ORIGIN, SIBLING)}))
    browser = world.browser()
    ticket = world.challenged(browser, ALL)
    challenged = challenge_of(open_ticket(ticket, world.keys).id, "webauthn.get")
    for origin, status, grants in ((SIBLING, 422, 0), (ORIGIN, 303, 1)):
        form = {"ticket": ticket, "factor": "webauthn", "answer": device.sign_in(challenged, origin=origin)}
        assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == status
        assert world.grants() == grants


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"answer": "{}"}, "can&#39;t be used"),
        ({"answer": "x" * 7000}, "can&#39;t be used"),
        ({}, "can&#39;t be used"),
    ],
)
def test_what_no_key_has_signed_is_said_and_can_be_mended(rich: World, said: dict[str, str], reason: str) -> None:
    browser = rich.browser()
    form = {"ticket": rich.challenged(browser, ALL), "factor": "webauthn", **said}
    response = browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN)
    assert response.status_code == 422
    assert reason in response.text
    assert rich.grants() == 0


@pytest.mark.parametrize("factor", ["", "TOTP", "sms", "webauthn "])
def test_a_form_of_no_factor_is_refused(world: World, factor: str) -> None:
    browser = world.browser()
    form = {"ticket": world.challenged(browser), "factor": factor, "code": world.code()}
    assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == 400
    assert world.grants() == 0


@pytest.mark.parametrize("factor", ["webauthn", "oidc", "recovery"])
def test_a_factor_that_is_not_offered_can_not_be_posted(world: World, factor: str) -> None:
    browser = world.browser()
    form = {"ticket": world.challenged(browser), "factor": factor, "code": CODE_LIST[0], "answer": "{}"}
    assert browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).status_code == 403
    assert world.grants() == 0


def test_a_way_that_confirms_a_part_says_which(rich: World) -> None:
    browser = rich.browser()
    asked = challenge(
        demand("p/a", description="The first", factors=("totp", "webauthn")),
        demand("p/b", description="The second", factors=("webauthn",)),
        demand("p/c", description="The third", factors=("oidc",)),
    )
    text = browser.open(rich.challenged(browser, asked)).text
    assert "The third" not in text.partition("<form")[0]
    assert "This way confirms only: The first. " in text
    assert "This way confirms only: The first; The second. " in text


def revoked(kind: Kind, id_: str = "", subject: Subject = ALICE) -> Revocation:
    return Revocation(kind=kind, subject=subject, id=id_, at=NOW)


@pytest.mark.parametrize(
    ("revocation", "title"),
    [
        (revoked("block"), "You are blocked"),
        (revoked("block", subject=AGENT), "You are blocked"),
        (revoked("tokens"), "no longer logged in"),
        (revoked("session", "1"), "no longer logged in"),
        (revoked("token", "j"), "no longer logged in"),
        (revoked("token", "sha256:d"), "no longer logged in"),
    ],
)
def test_who_was_blocked_or_revoked_meanwhile_leaves_no_grant(world: World, revocation: Revocation, title: str) -> None:
    feed = RevocationFeed(world.store, max_staleness=inf, now=lambda: world.now)
    run(feed.load())
    world.revocations = feed
    browser = world.browser()
    ticket = world.challenged(browser, identity=alice(credentials=(TOKEN,)))
    state = sign(open_ticket(ticket, world.keys), world.keys)
    assert browser.open(ticket).status_code == 200
    run(world.store.put_revocation(revocation, now=NOW))
    run(feed.load())
    for response in (
        browser.open(ticket),
        browser.answer(ticket, world.code()),
        browser.request("GET", "/.extauthz/oidc", params={"code": "x", "state": state}),
    ):
        assert response.status_code == 403
        assert title in response.text
    assert world.grants() == 0


@pytest.mark.parametrize(
    ("revocation", "title"),
    [
        (revoked("block"), "You are blocked"),
        (revoked("tokens"), "no longer logged in"),
        (revoked("session", "1"), "no longer logged in"),
    ],
)
def test_a_page_of_a_server_that_has_not_heard_of_it_leaves_no_grant_either(
    world: World, revocation: Revocation, title: str
) -> None:
    browser = world.browser()
    in_session = alice(credentials=(TOKEN,), session=session_of_sid(ALICE.issuer, "1"))
    ticket = world.challenged(browser, identity=in_session)
    run(world.store.put_revocation(revocation, now=NOW))
    response = browser.answer(ticket, world.code())
    assert response.status_code == 403
    assert title in response.text
    assert run(world.store.grants(Selection(), now=NOW)) == ()
    assert run(world.store.withdraw_revocation(revocation.key, now=NOW))
    assert browser.answer(ticket, world.code()).status_code == 303, "neither code nor ticket was burned"


def test_while_nobody_knows_who_is_blocked_nothing_is_proven(world: World) -> None:
    clock = [0.0]
    feed = RevocationFeed(world.store, max_staleness=60.0, now=lambda: world.now, clock=lambda: clock[0])
    run(feed.load())
    world.revocations = feed
    browser = world.browser()
    ticket = world.challenged(browser)
    clock[0] = 61.0
    for response in (browser.open(ticket), browser.answer(ticket, world.code())):
        assert response.status_code == 503
    assert world.grants() == 0


@pytest.mark.parametrize("query", ["", "code=x", "state=", "state=x&code=y", "state=a&state=b&code=c"])
def test_a_callback_without_a_state_of_ours_is_refused(world: World, query: str) -> None:
    assert world.browser().request("GET", f"/.extauthz/oidc?{query}").status_code == 400


def test_a_provider_that_is_away_leaves_the_ticket_as_it_was(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = OidcClient(OidcSettings(issuer=f"http://127.0.0.1:{port}", client_id="x"), base=Path())
    world.means = Means(providers={ALICE.issuer: client})
    browser = world.browser()
    ticket = world.challenged(browser, ALL)
    away = browser.request("POST", PAGE, form={"ticket": ticket, "factor": "oidc"}, headers=SAME_ORIGIN)
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert "Your provider does not answer" in away.text
    assert browser.answer(ticket, world.code()).status_code == 303
    run(client.close())


def test_a_callback_is_only_read(world: World) -> None:
    response = world.browser().request("POST", "/.extauthz/oidc", headers=SAME_ORIGIN)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
