"""From a challenge without a factor, by a new login at the user's own provider, to a factor that meets it.

Through Envoy, in a real browser, at a certified provider; and who has stolen the session gets nowhere.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from browsing import ARGUMENTS
from e2e import bootstrap
from e2e.stage import Script, stage
from e2e.visitors import Crowd, Site, Visitor
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, new_keys, providing
from playwright.sync_api import Browser, sync_playwright
from ports import free_port

from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.identity.revocations import Revocation
from extauthz.store.protocol import EnrolledFactor
from extauthz.values.identity import Subject

POLICIES = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: bank}
spec:
  rules:
    - {name: everybody, effect: allow, when: has(user.sub)}
    - name: payees
      description: Your payees are shown after a second factor
      paths: ["/payees/**"]
      effect: challenge
      challenge: {factors: [totp, webauthn], bind: {scope: [request.path]}}
    - name: vault
      description: The vault opens with a key
      paths: ["/vault"]
      effect: challenge
      challenge: {factors: [webauthn], user_verification: required}
"""
NONE_YET, CHOOSE = "You have no second factor yet", "Choose your second factor"


@dataclass(frozen=True, kw_only=True)
class Bank(Site):
    """A site with a provider beside it."""

    provider: Provider

    def has(self, sub: str) -> tuple[EnrolledFactor, ...]:
        """The factors of `sub`."""
        return self.factors.do(lambda store: store.factors(Subject(ISSUER, sub)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, screenshots: Path) -> Iterator[Bank]:
    envoy, issuer = free_port(), free_port()
    url = f"https://localhost:{envoy}"

    def at_that_port(tree: bootstrap.Tree) -> None:
        tree["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = envoy

    secret = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_text(CLIENT_SECRET)
    oidc = {
        "issuer": f"https://127.0.0.1:{issuer}",
        "client_id": STEP_UP_CLIENT,
        "client_secret_file": str(secret),
        "ca": "ca.pem",
        "algorithms": ["ES256"],
        "subjects": {ISSUER: "sub"},
        "first_factor": True,
    }
    party = {"id": "localhost", "name": "The bank", "origins": [url]}
    configuration = {"stepup": {"webauthn": party, "oidc": [oidc]}}
    with stage(Script(policies=POLICIES, edit=at_that_port, configuration=configuration)) as running:
        pair = running.authority.issue(running.folder / "idp", common_name="idp", addresses=["127.0.0.1"])
        tls = (pair.certificate, pair.key)
        with providing(*new_keys("k1"), port=issuer, tls=tls, callback=f"{url}/.extauthz/oidc") as provider:
            yield Bank(stage=running, url=url, screenshots=screenshots, provider=provider)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def crowd(site: Bank, browser: Browser) -> Iterator[Crowd]:
    made = Crowd(site, browser)
    yield made
    made.close()


def leave(visitor: Visitor, site: Bank) -> None:
    """Be challenged without a factor, and press the button that leads to the provider."""
    visitor.go("/payees/1")
    visitor.is_told(NONE_YET)
    visitor.page.get_by_role("button", name="Log in at").click()
    visitor.page.wait_for_url(f"{site.provider.issuer}/login/**")


def set_up_an_app(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Authenticator app").click()
    app = pyotp.TOTP(visitor.page.locator(".secret code").inner_text().replace(" ", ""))
    visitor.page.get_by_label("First code").fill(app.now())
    visitor.page.get_by_role("button", name="Confirm").click()
    visitor.is_told("Recovery codes")


def wait_until_refused(visitor: Visitor, site: Bank) -> None:
    """A revocation is in force within a second."""
    other = visitor.context.new_page()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = other.goto(f"{site.url}/start")
        if answer is not None and answer.status == 401:
            other.close()
            return
    raise AssertionError("the session is still good")


def test_a_login_sets_up_a_key_that_then_opens_what_needed_it(site: Bank, crowd: Crowd) -> None:
    dora = crowd.visitor("dora")
    dora.hold_key()
    leave(dora, site)
    dora.page.go_back()
    dora.is_told(NONE_YET)
    dora.shoot("enroll-login-first")
    dora.page.get_by_role("button", name="Log in at").click()
    dora.log_in("dora")
    dora.is_told(CHOOSE)
    dora.shoot("enroll-login-choose")
    dora.page.get_by_role("link", name="Security key or passkey").click()
    dora.page.get_by_label("Name").fill("Dora's key")
    dora.page.get_by_role("button", name="Continue").click()
    dora.is_told("Recovery codes")
    dora.page.get_by_role("link", name="Not now").click()
    dora.shoot("enroll-login-yours")
    assert [(one.kind, one.name) for one in site.has("dora")] == [("webauthn", "Dora's key")]
    dora.page.get_by_role("link", name="Go on where you were").click()
    dora.is_asked()
    dora.use_key()
    dora.is_at("/payees/1")


def test_a_rule_that_takes_none_of_the_factors_leads_to_another_one(site: Bank, crowd: Crowd) -> None:
    emil = crowd.visitor("emil")
    emil.hold_key()
    code = site.factors.add_app("emil")
    emil.go("/vault")
    emil.is_told("You need another second factor")
    emil.shoot("enroll-login-another")
    emil.page.get_by_role("link", name="Set up another one").click()
    emil.is_asked()
    emil.enter(code(0))
    emil.is_told("Your second factors")
    emil.page.get_by_role("link", name="Security key or passkey").click()
    emil.page.get_by_role("button", name="Continue").click()
    emil.page.get_by_role("link", name="Not now").click()
    emil.page.get_by_role("link", name="Go on where you were").click()
    emil.use_key()
    emil.is_at("/vault")


def test_a_stolen_session_sets_up_no_factor(site: Bank, crowd: Crowd) -> None:
    thief = crowd.visitor("fay")
    leave(thief, site)
    thief.log_in("mallory")
    thief.is_told("That was the login of somebody else")
    thief.shoot("enroll-login-somebody-else")
    assert site.has("fay") == ()
    # Fay herself can.
    fay = crowd.visitor("fay")
    leave(fay, site)
    fay.log_in("fay")
    set_up_an_app(fay)
    assert [one.kind for one in site.has("fay")] == ["totp"]


def test_a_session_at_the_provider_is_not_a_new_login(site: Bank, crowd: Crowd) -> None:
    """Whoever sits down at a browser that is logged in at both is asked who they are."""
    gus = crowd.visitor("gus")
    leave(gus, site)
    gus.log_in("gus")
    gus.is_told(CHOOSE)
    leave(gus, site)
    gus.page.get_by_role("button", name="Cancel").click()
    gus.is_told("You were not logged in")
    assert site.has("gus") == ()


def test_a_link_to_the_provider_that_was_sent_to_somebody_sets_up_nothing(site: Bank, crowd: Crowd) -> None:
    thief, victim = crowd.visitor("hal"), crowd.visitor("hal")
    leave(thief, site)
    victim.go("/payees/1")
    victim.is_told(NONE_YET)
    with thief.page.expect_request("**/auth?**") as asked:
        leave(thief, site)
    victim.page.goto(asked.value.url)
    victim.log_in("hal")
    victim.is_told("This page belongs to another browser")
    assert site.has("hal") == ()


def test_a_session_that_is_revoked_while_at_the_provider_sets_up_nothing(site: Bank, crowd: Crowd) -> None:
    ida = crowd.visitor("ida")
    leave(ida, site)
    session = Revocation(kind="session", subject=Subject(ISSUER, "ida"), id="session-of-ida", at=time.time())
    site.factors.revoke(session)
    wait_until_refused(ida, site)
    ida.log_in("ida")
    ida.is_told("You are no longer logged in")
    assert site.has("ida") == ()
