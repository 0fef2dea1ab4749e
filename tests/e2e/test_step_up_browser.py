"""Every second factor in a real browser, through Envoy: asked, proven, gone on; and what attackers and mishaps get."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.sites import SiteWithProvider, site_with_provider
from e2e.visitors import Crowd
from playwright.sync_api import Browser, expect

from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.identity.revocations import Revocation
from extauthz.stepup.ticket import open_ticket, sign
from extauthz.values.identity import Subject

POLICIES = (Path(__file__).parent / "policies" / "step_up.yaml").read_text()
SNIPPET = Path(__file__).parents[2] / "docs" / "spa.js"
APPLICATION = """<!doctype html>
<meta charset="utf-8"><title>Shop</title>
<button id="order">Order</button><output id="said"></output>
<script type="module">
import { fetchWithChallenge } from "/spa.js";
document.getElementById("order").onclick = async () => {
  const body = '{"amount": 5000, "to": "Café"}';
  const headers = { "content-type": "application/json" };
  const answer = await fetchWithChallenge("/orders", { method: "POST", headers, body });
  document.getElementById("said").textContent = `${answer.status} ${(await answer.json()).target}`;
};
</script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, screenshots: Path) -> Iterator[SiteWithProvider]:
    secrets, buffered = tmp_path_factory.mktemp("secret"), {"buffered": True}
    told = {"acr": {"gold": ["urn:test:gold"]}, "login_hint": True}
    with site_with_provider(POLICIES, screenshots, secrets, request=buffered, **told) as running:
        yield running


@pytest.fixture
def crowd(site: SiteWithProvider, browser: Browser) -> Iterator[Crowd]:
    made = Crowd(site, browser)
    yield made
    made.close()


def test_a_security_key_confirms_what_the_page_says(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("key-owner")
    alice.plug_in()
    alice.go("/transfers/acc-1?amount=5000")
    alice.is_asked()
    for said in ("Above 1,000", "acc-1", "5000", "key-owner", ISSUER, "2 minutes, once"):
        expect(alice.page.get_by_text(said).first).to_be_visible()
    expect(alice.page.get_by_role("button", name="Use security key")).to_be_focused()
    expect(alice.page.get_by_label("One-time code")).to_have_count(0)
    alice.shoot("webauthn")
    alice.page.keyboard.press("Enter")
    alice.is_at("/transfers/acc-1?amount=5000")
    assert alice.complaints == []
    assert site.factors.grants("key-owner") == (), "it was for one use, and that is over"
    alice.go("/transfers/acc-1?amount=5000")
    alice.is_asked()


def test_a_key_that_does_not_know_its_user_is_not_enough_where_the_rule_says_so(
    site: SiteWithProvider, crowd: Crowd
) -> None:
    alice = crowd.visitor("unverified")
    alice.plug_in(verifies=False)
    alice.go("/transfers/acc-1?amount=5000")
    alice.use_key()
    expect(alice.page.get_by_role("alert")).to_contain_text("Your key was not used")
    alice.shoot("webauthn-called-off")
    assert site.factors.grants("unverified") == ()
    alice.go("/payees/of-mine")
    alice.use_key()
    alice.is_at("/payees/of-mine")
    assert [grant.factor for grant in site.factors.grants("unverified")] == ["user"]
    alice.go("/transfers/acc-1?amount=5000")
    alice.is_asked()


def test_the_page_offers_what_the_rule_takes_and_the_user_has(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("rich")
    code = site.factors.add_app("rich")
    site.factors.add_recovery_codes("rich")
    alice.plug_in()
    alice.go("/payees/1")
    alice.is_asked()
    for name in ("Use security key or passkey", "Confirm", "Log in again"):
        expect(alice.page.get_by_role("button", name=name, exact=True)).to_be_visible()
    expect(alice.page.get_by_role("button", name="Confirm with this code")).not_to_be_visible()
    alice.shoot("all")
    alice.page.get_by_text("Use a recovery code").click()
    expect(alice.page.get_by_label("Recovery code")).to_be_visible()
    alice.shoot("all-with-recovery")
    alice.enter("000000")
    expect(alice.page.get_by_role("alert")).to_contain_text("not right")
    expect(alice.page.get_by_label("One-time code")).to_be_focused()
    alice.shoot("all-wrong-code")
    alice.enter(code(0))
    alice.is_at("/payees/1")

    bob = crowd.visitor("poor")
    bob.go("/payees/1")
    expect(bob.page.get_by_role("button")).to_have_count(1)
    expect(bob.page.get_by_role("button", name="Log in again")).to_be_focused()
    bob.shoot("oidc")
    bob.go("/transfers/acc-1?amount=5000")
    bob.is_told("You have no second factor yet")
    bob.shoot("not-enrolled")


def test_without_scripts_all_other_ways_are_open(site: SiteWithProvider, crowd: Crowd) -> None:
    crowd.visitor("scriptless").plug_in()
    code = site.factors.add_app("scriptless")
    alice = crowd.visitor("scriptless", java_script_enabled=False)
    alice.go("/payees/1")
    expect(alice.page.get_by_text("needs JavaScript")).to_be_visible()
    expect(alice.page.get_by_role("button", name="Use security key")).to_have_count(0)
    alice.shoot("no-script")
    alice.enter(code(0))
    alice.is_at("/payees/1")


def test_a_new_login_at_the_provider_confirms(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("member")
    alice.go("/mandates/7")
    alice.is_asked()
    alice.page.keyboard.press("Enter")
    alice.page.wait_for_url(f"{site.provider.issuer}/login/**")
    before = time.time()
    alice.log_in("member")
    alice.is_at("/mandates/7")
    (grant,) = site.factors.grants("member")
    assert (grant.factor, grant.rule) == ("mfa gold", "vault/mandate")
    assert before - 5 < grant.issued_at <= time.time()
    assert grant.expires_at == grant.issued_at + 300
    alice.go("/mandates/8")
    alice.is_asked()


def test_a_window_of_a_script_closes_after_the_login_too(crowd: Crowd) -> None:
    alice = crowd.visitor("spa")
    alice.go("/start")
    with alice.context.expect_page() as opened:
        alice.page.evaluate(
            """async () => {
                window.said = new Promise(done => {
                    new BroadcastChannel("extauthz").onmessage = event => done(event.data.type);
                });
                const answer = await fetch("/mandates/spa");
                window.open((await answer.json()).challenge_uri + "&then=close", "_blank", "popup");
            }"""
        )
    popup = replace(alice, page=opened.value)
    popup.page.get_by_role("button", name="Log in again").click()
    with popup.page.expect_event("close"):
        popup.log_in("spa")
    assert alice.page.evaluate("window.said") == "proven"
    assert alice.page.evaluate("fetch('/mandates/spa').then(answer => answer.status)") == 200


def test_a_single_page_application_repeats_its_post_after_the_challenge(site: SiteWithProvider, crowd: Crowd) -> None:
    """docs/spa.js as it is there. The proof is for one request: what is repeated is the same to the last byte."""
    alice = crowd.visitor("orders")
    code = site.factors.add_app("orders")
    alice.page.route("**/app", lambda route: route.fulfill(body=APPLICATION, content_type="text/html"))
    alice.page.route("**/spa.js", lambda route: route.fulfill(path=SNIPPET, content_type="text/javascript"))
    alice.go("/app")
    said = alice.page.locator("#said")
    with alice.page.expect_popup() as opened:
        alice.page.get_by_role("button", name="Order").click()
    popup = replace(alice, page=opened.value)
    popup.is_asked()
    popup.shoot("pop-up")
    popup.enter("000000")
    expect(popup.page.get_by_role("alert")).to_contain_text("not right")
    assert not [one for one in site.stage.service.received if one.target == "/orders"]
    with popup.page.expect_event("close"):
        popup.enter(code(0))
    expect(said).to_have_text("200 /orders")
    (order,) = [one for one in site.stage.service.received if one.target == "/orders"]
    assert (order.method, order.body) == ("POST", '{"amount": 5000, "to": "Café"}'.encode())
    assert site.factors.grants("orders") == (), "it was for one use, and that is over"
    with alice.page.expect_popup() as opened:
        alice.page.get_by_role("button", name="Order").click()
    opened.value.close()
    expect(said).to_have_text("401 undefined")


def test_a_login_that_is_called_off_of_another_or_too_weak_proves_nothing(site: SiteWithProvider, crowd: Crowd) -> None:
    for name, title in (
        ("called-off", "You were not logged in"),
        ("another", "That was the login of somebody else"),
        ("weak", "That login was not enough"),
    ):
        alice = crowd.visitor(name)
        alice.go("/mandates/1")
        alice.page.get_by_role("button", name="Log in again").click()
        if name == "called-off":
            alice.page.get_by_role("button", name="Cancel").click()
        elif name == "another":
            alice.log_in("mallory")
        else:
            for _ in range(2):  # the first one could have been an older session's
                alice.log_in(name, acr="urn:test:silver")
        alice.is_told(title)
        alice.shoot(f"login-{name}")
        assert site.factors.grants(name) == ()
        alice.page.get_by_role("link", name="Start again").click()
        alice.is_asked()


def test_a_weaker_session_at_the_provider_is_not_in_the_way_of_a_stronger_login(crowd: Crowd) -> None:
    """The provider takes `acr_values` for a wish, and answers from the session that it has."""
    alice = crowd.visitor("stronger")
    alice.go("/mandates/1")
    alice.page.get_by_role("button", name="Log in again").click()
    for _ in range(2):
        alice.log_in("stronger", acr="urn:test:silver")
    alice.page.get_by_role("link", name="Start again").click()
    alice.page.get_by_role("button", name="Log in again").click()
    alice.log_in("stronger")
    alice.is_at("/mandates/1")


def test_a_callback_of_somebody_else_proves_nothing(site: SiteWithProvider, crowd: Crowd) -> None:
    """Login CSRF: an answer of the provider to the attacker, opened in the browser of the victim."""
    attacker, victim = crowd.visitor("attacker"), crowd.visitor("victim")
    caught: list[str] = []
    attacker.page.on("request", lambda sent: caught.append(sent.url) if "/.extauthz/oidc?" in sent.url else None)
    attacker.go("/mandates/1")
    attacker.page.get_by_role("button", name="Log in again").click()
    attacker.page.wait_for_url(f"{site.provider.issuer}/login/**")
    attacker.context.clear_cookies(name="__Host-extauthz-nonce")  # so that the code stays good
    attacker.log_in("attacker")
    attacker.is_told("This page belongs to another browser")
    victim.go("/mandates/1")
    victim.page.goto(caught[0])
    victim.is_told("This page belongs to another browser")
    assert site.factors.grants("attacker") == site.factors.grants("victim") == ()


def test_a_recovery_code_is_good_once(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("lost")
    codes = site.factors.add_recovery_codes("lost")
    for number, spelled in enumerate((codes[0].lower().replace("-", " "), codes[1])):
        alice.go(f"/payees/{number}")
        alice.page.get_by_text("Use a recovery code").click()
        alice.page.get_by_label("Recovery code").fill(spelled)
        alice.page.get_by_role("button", name="Confirm with this code").click()
        alice.is_at(f"/payees/{number}")
    alice.go("/payees/again")
    alice.page.get_by_text("Use a recovery code").click()
    alice.page.get_by_label("Recovery code").fill(codes[0])
    alice.page.get_by_role("button", name="Confirm with this code").click()
    expect(alice.page.get_by_role("alert")).to_contain_text("none of your recovery codes")
    expect(alice.page.get_by_label("Recovery code")).to_be_focused()
    alice.shoot("recovery-wrong")
    assert [grant.factor for grant in site.factors.grants("lost")] == ["kba", "kba"]


def test_wrong_codes_of_both_kinds_are_counted_together(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("guesser")
    code, codes = site.factors.add_app("guesser"), site.factors.add_recovery_codes("guesser")
    alice.go("/payees/1")
    for _ in range(3):
        alice.enter("000000")
        expect(alice.page.get_by_role("alert")).to_contain_text("not right")
    for _ in range(2):
        if not alice.page.get_by_label("Recovery code").is_visible():
            alice.page.get_by_text("Use a recovery code").click()
        alice.page.get_by_label("Recovery code").fill("0000-0000-0000-0000")
        alice.page.get_by_role("button", name="Confirm with this code").click()
        expect(alice.page.get_by_role("alert")).to_contain_text("none of your recovery codes")
    alice.enter(code(0))
    expect(alice.page.get_by_role("alert")).to_contain_text("Too many wrong codes")
    alice.shoot("locked-out")
    alice.page.get_by_text("Use a recovery code").click()
    alice.page.get_by_label("Recovery code").fill(codes[0])
    alice.page.get_by_role("button", name="Confirm with this code").click()
    expect(alice.page.get_by_role("alert")).to_contain_text("Too many wrong codes")
    assert site.factors.grants("guesser") == ()


def test_the_back_button_and_a_replayed_ticket_prove_nothing_again(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("back")
    alice.plug_in()
    alice.go("/payees/1")
    address = alice.page.url
    alice.use_key()
    alice.is_at("/payees/1")
    alice.page.go_back()
    alice.is_asked()
    alice.use_key()
    alice.is_told("This confirmation was used already")
    alice.shoot("used")
    alice.page.goto(address)
    alice.page.get_by_role("button", name="Log in again").click()
    alice.log_in("back")
    alice.is_told("This confirmation was used already")
    assert len(site.factors.grants("back")) == 1


def test_two_tabs_are_both_met_by_different_factors(site: SiteWithProvider, crowd: Crowd) -> None:
    alice = crowd.visitor("tabs")
    alice.plug_in()
    other = replace(alice, page=alice.context.new_page())
    alice.go("/payees/1")
    other.go("/payees/2")
    other.page.get_by_role("button", name="Log in again").click()
    other.page.wait_for_url(f"{site.provider.issuer}/login/**")
    alice.use_key()
    alice.is_at("/payees/1")
    other.log_in("tabs")
    other.is_at("/payees/2")
    assert sorted(grant.factor for grant in site.factors.grants("tabs")) == ["hwk", "mfa"]


def test_an_expired_and_a_foreign_ticket_open_nothing(site: SiteWithProvider, crowd: Crowd) -> None:
    alice, eve = crowd.visitor("expired"), crowd.visitor("eve")
    site.factors.add_app("expired")
    alice.go("/payees/1")
    eve.page.goto(alice.page.url)
    eve.is_told("This page belongs to another browser")
    expect(eve.page.locator("body")).not_to_contain_text("expired")
    keys = site.factors.keys
    late = sign(replace(open_ticket(alice.ticket(), keys), expires_at=time.time() - 1), keys)
    for page in ("challenge?ticket=", "oidc?code=x&state="):
        alice.go(f"/.extauthz/{page}{late}")
        alice.is_told("This confirmation has expired")


def test_who_is_blocked_or_signed_out_meanwhile_leaves_no_grant(site: SiteWithProvider, crowd: Crowd) -> None:
    for kind, title in (("block", "You are blocked"), ("session", "You are no longer logged in")):
        alice = crowd.visitor(f"{kind}ed")
        code = site.factors.add_app(alice.sub)
        alice.go("/payees/1")
        tab = replace(alice, page=alice.context.new_page())
        tab.go("/payees/1")
        tab.page.get_by_role("button", name="Log in again").click()
        tab.page.wait_for_url(f"{site.provider.issuer}/login/**")
        revoked = Revocation(
            kind=kind,  # type: ignore[arg-type]  # it is one of them
            subject=Subject(ISSUER, alice.sub),
            id="" if kind == "block" else f"session-of-{alice.sub}",
            at=time.time(),
        )
        site.factors.revoke(revoked)
        time.sleep(1)  # that long it may take until every server knows
        alice.enter(code(0))
        alice.is_told(title)
        alice.shoot(f"revoked-{kind}")
        tab.log_in(alice.sub)
        tab.is_told(title)
        assert site.factors.grants(alice.sub) == ()
