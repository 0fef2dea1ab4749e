"""From a challenge without a factor, by a new login at the user's own provider, to a factor that meets it.

Through Envoy, in a real browser, at a certified provider; and who has stolen the session gets nowhere.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from e2e.sites import SiteWithProvider, site_with_provider
from e2e.visitors import Crowd, Site, Visitor
from playwright.sync_api import Browser

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, screenshots: Path) -> Iterator[SiteWithProvider]:
    secrets = tmp_path_factory.mktemp("secret")
    with site_with_provider(POLICIES, screenshots, secrets, first_factor=True) as running:
        yield running


def factors_of(site: Site, sub: str) -> tuple[EnrolledFactor, ...]:
    return site.factors.do(lambda store: store.factors(Subject(ISSUER, sub)))


@pytest.fixture
def crowd(site: SiteWithProvider, browser: Browser) -> Iterator[Crowd]:
    made = Crowd(site, browser)
    yield made
    made.close()


def leave(visitor: Visitor, site: SiteWithProvider) -> None:
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


def wait_until_refused(visitor: Visitor, site: SiteWithProvider) -> None:
    """A revocation is in force within a second."""
    other = visitor.context.new_page()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = other.goto(f"{site.url}/start")
        if answer is not None and answer.status == 401:
            other.close()
            return
    raise AssertionError("the session is still good")


def test_a_login_sets_up_a_key_that_then_opens_what_needed_it(site: SiteWithProvider, crowd: Crowd) -> None:
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
    assert [(one.kind, one.name) for one in factors_of(site, "dora")] == [("webauthn", "Dora's key")]
    dora.page.get_by_role("link", name="Go on where you were").click()
    dora.is_asked()
    dora.use_key()
    dora.is_at("/payees/1")


def test_a_rule_that_takes_none_of_the_factors_leads_to_another_one(site: SiteWithProvider, crowd: Crowd) -> None:
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


def test_a_stolen_session_sets_up_no_factor(site: SiteWithProvider, crowd: Crowd) -> None:
    thief = crowd.visitor("fay")
    leave(thief, site)
    thief.log_in("mallory")
    thief.is_told("That was the login of somebody else")
    thief.shoot("enroll-login-somebody-else")
    assert factors_of(site, "fay") == ()
    # Fay herself can.
    fay = crowd.visitor("fay")
    leave(fay, site)
    fay.log_in("fay")
    set_up_an_app(fay)
    assert [one.kind for one in factors_of(site, "fay")] == ["totp"]


def test_a_session_at_the_provider_is_not_a_new_login(site: SiteWithProvider, crowd: Crowd) -> None:
    """Whoever sits down at a browser that is logged in at both is asked who they are."""
    gus = crowd.visitor("gus")
    leave(gus, site)
    gus.log_in("gus")
    gus.is_told(CHOOSE)
    leave(gus, site)
    gus.page.get_by_role("button", name="Cancel").click()
    gus.is_told("You were not logged in")
    assert factors_of(site, "gus") == ()


def test_a_link_to_the_provider_that_was_sent_to_somebody_sets_up_nothing(site: SiteWithProvider, crowd: Crowd) -> None:
    thief, victim = crowd.visitor("hal"), crowd.visitor("hal")
    leave(thief, site)
    victim.go("/payees/1")
    victim.is_told(NONE_YET)
    with thief.page.expect_request("**/auth?**") as asked:
        leave(thief, site)
    victim.page.goto(asked.value.url)
    victim.log_in("hal")
    victim.is_told("This page belongs to another browser")
    assert factors_of(site, "hal") == ()


def test_a_session_that_is_revoked_while_at_the_provider_sets_up_nothing(site: SiteWithProvider, crowd: Crowd) -> None:
    ida = crowd.visitor("ida")
    leave(ida, site)
    session = Revocation(kind="session", subject=Subject(ISSUER, "ida"), id="session-of-ida", at=time.time())
    site.factors.revoke(session)
    wait_until_refused(ida, site)
    ida.log_in("ida")
    ida.is_told("You are no longer logged in")
    assert factors_of(site, "ida") == ()
