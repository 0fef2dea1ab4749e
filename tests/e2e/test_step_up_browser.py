"""Every second factor in a real browser, through Envoy: asked, proven, gone on; and what attackers and mishaps get.

Screenshots of each page are written to the folder in SCREENSHOTS, else to a temporary one.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import ARGUMENTS
from e2e import bootstrap
from e2e.factor_store import FactorStore
from e2e.stage import Script, Stage, stage
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, free_port, new_keys, providing
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.identity.revocations import Revocation
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import open_ticket, sign
from extauthz.stepup.webauthn import USER_HANDLE_BYTES
from extauthz.values.identity import Subject

POLICIES = (Path(__file__).parent / "policies" / "step_up.yaml").read_text()
TITLE = "Confirm that it is you"

REGISTER = """async options => {
    const bytes = text =>
        Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), letter => letter.charCodeAt(0));
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    return JSON.stringify((await navigator.credentials.create({ publicKey: options })).toJSON());
}"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What runs: Envoy and extauthz, a provider beside them, and what people have."""

    stage: Stage
    provider: Provider
    url: str
    factors: FactorStore
    screenshots: Path

    @property
    def relying_party(self) -> RelyingParty:
        return RelyingParty(id="localhost", origins=(self.url,))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    envoy, issuer = free_port(), free_port()
    url = f"https://localhost:{envoy}"
    named = os.environ.get("SCREENSHOTS")
    screenshots = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    screenshots.mkdir(parents=True, exist_ok=True)

    def at_that_port(tree: bootstrap.Tree) -> None:
        tree["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = envoy

    oidc = {
        "issuer": f"https://127.0.0.1:{issuer}",
        "client_id": STEP_UP_CLIENT,
        "client_secret_file": "secret",
        "ca": "ca.pem",
        "algorithms": ["ES256"],
        "subjects": {ISSUER: "sub"},
        "acr": {"gold": ["urn:test:gold"]},
        "login_hint": True,
    }
    configuration = {
        "stepup": {"webauthn": {"id": "localhost", "name": "The bank", "origins": [url]}, "oidc": [oidc]},
        "request": {"buffered": True},
    }
    secret = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_text(CLIENT_SECRET)
    oidc["client_secret_file"] = str(secret)
    with stage(Script(policies=POLICIES, edit=at_that_port, configuration=configuration)) as running:
        pair = running.authority.issue(running.folder / "idp", common_name="idp", addresses=["127.0.0.1"])
        tls = (pair.certificate, pair.key)
        with providing(*new_keys("k1"), port=issuer, tls=tls, callback=f"{url}/.extauthz/oidc") as provider:
            yield Site(
                stage=running,
                provider=provider,
                url=url,
                factors=FactorStore(folder=running.folder),
                screenshots=screenshots,
            )


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@dataclass(kw_only=True)
class Visitor:
    """Somebody with a browser without a history, logged in at the application."""

    site: Site
    sub: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def is_at(self, path: str) -> None:
        """The application answers, and says what was asked of it."""
        self.page.wait_for_url(self.site.url + path)
        expect(self.page.locator("body")).to_contain_text(f'"target": "{path}"')

    def is_asked(self) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(TITLE)

    def is_told(self, title: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(title)

    def shoot(self, name: str) -> None:
        self.page.screenshot(path=self.site.screenshots / f"{name}.png", full_page=True)

    def plug_in(self, *, verifies: bool = True) -> None:
        """A security key that is touched at once, registered as the product does it."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        settings = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasUserVerification": verifies,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": settings})
        handle = os.urandom(USER_HANDLE_BYTES)
        self.go("/start")
        options = self.site.factors.registration(self.sub, self.site.relying_party, handle)
        answer = self.page.evaluate(REGISTER, options)
        self.site.factors.add_authenticator(self.sub, self.site.relying_party, handle, answer)

    def use_key(self) -> None:
        self.page.get_by_role("button", name="Use security key or passkey").click()

    def enter(self, code: str) -> None:
        self.page.get_by_label("One-time code").fill(code)
        self.page.get_by_role("button", name="Confirm", exact=True).click()

    def log_in(self, account: str, acr: str = "urn:test:gold") -> None:
        self.page.get_by_label("Account").fill(account)
        self.page.get_by_label("Class").fill(acr)
        self.page.get_by_role("button", name="Log in").click()

    def ticket(self) -> str:
        return parse_qs(urlsplit(self.page.url).query)["ticket"][0]


class Crowd:
    """Makes visitors, and sends them home."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self._site, self._browser = site, browser
        self._contexts: list[BrowserContext] = []

    def visitor(self, sub: str, **settings: object) -> Visitor:
        context = self._browser.new_context(
            ignore_https_errors=True,
            viewport={"width": 800, "height": 900},
            **settings,  # type: ignore[arg-type]  # the types are playwright's
        )
        self._contexts.append(context)
        token = self._site.stage.token(sub, sid=f"session-of-{sub}")
        context.add_cookies([{"name": "session", "value": token, "url": self._site.url}])
        page = context.new_page()
        made = Visitor(site=self._site, sub=sub, context=context, page=page)
        page.on("console", lambda message: made.complaints.append(message.text))
        return made

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def crowd(site: Site, browser: Browser) -> Iterator[Crowd]:
    made = Crowd(site, browser)
    yield made
    made.close()


def test_a_security_key_confirms_what_the_page_says(site: Site, crowd: Crowd) -> None:
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


def test_a_key_that_does_not_know_its_user_is_not_enough_where_the_rule_says_so(site: Site, crowd: Crowd) -> None:
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


def test_the_page_offers_what_the_rule_takes_and_the_user_has(site: Site, crowd: Crowd) -> None:
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


def test_without_scripts_all_other_ways_are_open(site: Site, crowd: Crowd) -> None:
    crowd.visitor("scriptless").plug_in()
    code = site.factors.add_app("scriptless")
    alice = crowd.visitor("scriptless", java_script_enabled=False, color_scheme="dark")
    alice.page.set_viewport_size({"width": 360, "height": 780})
    alice.go("/payees/1")
    expect(alice.page.get_by_text("needs JavaScript")).to_be_visible()
    expect(alice.page.get_by_role("button", name="Use security key")).to_have_count(0)
    alice.shoot("no-script-dark-phone")
    alice.enter(code(0))
    alice.is_at("/payees/1")


def test_a_new_login_at_the_provider_confirms(site: Site, crowd: Crowd) -> None:
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


def test_a_login_that_is_called_off_of_another_or_too_weak_proves_nothing(site: Site, crowd: Crowd) -> None:
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
            alice.log_in(name, acr="urn:test:silver")
        alice.is_told(title)
        alice.shoot(f"login-{name}")
        assert site.factors.grants(name) == ()
        alice.page.get_by_role("link", name="Start again").click()
        alice.is_asked()


def test_a_callback_of_somebody_else_proves_nothing(site: Site, crowd: Crowd) -> None:
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


def test_a_recovery_code_is_good_once(site: Site, crowd: Crowd) -> None:
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


def test_wrong_codes_of_both_kinds_are_counted_together(site: Site, crowd: Crowd) -> None:
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


def test_the_back_button_and_a_replayed_ticket_prove_nothing_again(site: Site, crowd: Crowd) -> None:
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


def test_two_tabs_are_both_met_by_different_factors(site: Site, crowd: Crowd) -> None:
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


def test_an_expired_and_a_foreign_ticket_open_nothing(site: Site, crowd: Crowd) -> None:
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


def test_who_is_blocked_or_signed_out_meanwhile_leaves_no_grant(site: Site, crowd: Crowd) -> None:
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


def test_the_texts_of_all_offers_can_be_read_in_light_and_dark(site: Site, crowd: Crowd) -> None:
    """WCAG 2.2 success criterion 1.4.3: a contrast of at least 4.5 to 1, computed from what the browser paints."""
    owner = crowd.visitor("reader")
    owner.plug_in()
    site.factors.add_app("reader")
    site.factors.add_recovery_codes("reader")
    for scheme in ("light", "dark"):
        alice = crowd.visitor("reader", color_scheme=scheme)
        alice.go("/payees/1")
        alice.page.get_by_text("Use a recovery code").click()
        alice.page.get_by_label("Recovery code").fill("0")
        alice.page.get_by_role("button", name="Confirm with this code").click()
        expect(alice.page.get_by_role("alert")).to_be_visible()
        alice.shoot(f"all-{scheme}")
        assert alice.page.evaluate(CONTRASTS) == [], scheme


CONTRASTS = (Path(__file__).parents[1] / "web" / "contrasts.js").read_text()
