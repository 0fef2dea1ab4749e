"""A first factor by a new login at the user's own provider, a certified one: who gets it, and who does not."""

import html
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, new_keys, providing
from starlette.types import Receive, Scope, Send
from stepup.proofs import ALICE, alice, challenge, demand
from web.conftest import PAGE, SAME_ORIGIN, Browser, World, run
from web.enrolling import CHOOSE, PROVE, Person, factors, heading, link

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Kind, Revocation
from extauthz.lookup.oidc import OidcClient
from extauthz.lookup.oidc_config import OidcSettings
from extauthz.stepup.enrolment import ENROL_PATH, open_invitation
from extauthz.stepup.oidc import CALLBACK_PATH
from extauthz.stepup.ticket import open_ticket, sign
from extauthz.values.identity import ENROLMENT_COOKIE, Credential
from extauthz.web.offers import Means

NONE_YET = "You have no second factor yet"
ELSEWHERE = "This page is no longer in use"
NOT_HERE = "This can't be confirmed here"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing(*new_keys("k1")) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The pages beside a provider where the users of ALICE's issuer log in, too."""

    world: World
    provider: Provider
    folder: Path
    first_factor: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Each has an event loop of its own here, to which a client belongs."""
        settings = OidcSettings(
            issuer=self.provider.issuer,
            client_id=STEP_UP_CLIENT,
            client_secret_file=self.folder / "secret",
            algorithms=("ES256",),
            subjects={ALICE.issuer: "sub"},
            first_factor=self.first_factor,
        )
        client = OidcClient(settings, base=self.folder)
        means = Means(providers={ALICE.issuer: client})
        try:
            await replace(self.world, means=means).app()(scope, receive, send)
        finally:
            await client.close()

    def browser(self) -> Browser:
        """A new one."""
        return Browser(self)

    def same(self, browser: Browser) -> Browser:
        """The same one, before the servers of this scene."""
        made = self.browser()
        made.cookies = browser.cookies
        return made

    def leaves(self, browser: Browser, *, factors: tuple[str, ...] = ("totp",)) -> str:
        """Somebody in Alice's session is challenged, and presses the button: where at the provider they are sent."""
        asked = browser.open(self.world.challenged(browser, challenge(demand(factors=factors))))
        assert (asked.status_code, heading(asked)) == (403, NONE_YET)
        sent = self.presses(browser, asked)
        assert sent.status_code == 303, sent.text
        return sent.headers["location"]

    def presses(self, browser: Browser, page: httpx.Response) -> httpx.Response:
        """The button of the page that says that there is no factor yet."""
        fields = re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]+)">', page.text)
        form = {name: html.unescape(value) for name, value in fields}
        assert form.keys() - {"then"} == {"challenge", "step"}, page.text
        return browser.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN)

    def logs_in(self, location: str, **said: str) -> str:
        """Where somebody is sent back to who logs in at the provider."""
        with httpx.Client() as elsewhere:
            return self.provider.log_in(elsewhere, location, **{"account": ALICE.id, **said})

    def comes_back(self, browser: Browser, location: str) -> httpx.Response:
        """The browser goes where the provider sends it, and on at the enrolment page."""
        assert urlsplit(location).path == CALLBACK_PATH
        answer = browser.request("GET", location)
        if answer.status_code != 303 or self.provider.issuer in answer.headers["location"]:
            return answer
        assert urlsplit(answer.headers["location"]).path == ENROL_PATH
        return browser.request("GET", answer.headers["location"])

    def seated(self, browser: Browser, location: str | None = None) -> Person:
        """Alice at the enrolment page, after a login at `location`, which she was sent to."""
        page = self.comes_back(browser, self.logs_in(self.leaves(browser) if location is None else location))
        found = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert found is not None, page.text
        return Person(browser=browser, text=html.unescape(found[1]), page=page)


@pytest.fixture
def scene(provider: Provider, tmp_path: Path) -> Iterator[Scene]:
    """Alice without a factor, at the time that the provider has, too."""
    (tmp_path / "secret").write_text(CLIENT_SECRET)
    made = Scene(world=World(now=time.time()), provider=provider, folder=tmp_path)
    yield made
    run(made.world.store.close())


def no_factor_nor_seat(scene: Scene, browser: Browser) -> None:
    assert factors(scene.world) == ()
    assert ENROLMENT_COOKIE not in browser.cookies


def test_a_new_login_leads_to_a_first_factor_and_back_to_what_needs_it(scene: Scene) -> None:
    browser = scene.browser()
    person = scene.seated(browser)
    assert heading(person.page) == CHOOSE
    assert open_invitation(person.text, scene.world.keys).grounds == "provider"
    app = person.sets_up_an_app(scene.world)
    assert [(one.kind, one.confirmed) for one in factors(scene.world)] == [("totp", True)]
    assert 'href="/pay/a1?amount=5">Go on where you were</a>' in person.look().text
    later = app.at(int(scene.world.now) + 30)
    assert browser.answer(scene.world.challenged(browser), later).status_code == 303


def test_a_window_of_a_script_is_not_led_back_into_the_application(scene: Scene) -> None:
    browser = scene.browser()
    ticket = scene.world.challenged(browser)
    for path, name in ((PAGE, "ticket"), (ENROL_PATH, "challenge")):
        asked = browser.request("GET", path, params={name: ticket, "then": "close"})
        person = scene.seated(browser, scene.presses(browser, asked).headers["location"])
        assert open_invitation(person.text, scene.world.keys).return_path == ""
    person.sets_up_an_app(scene.world)
    page = person.look().text
    assert "All done? Close this page." in page
    assert "Go on where you were" not in page


def test_the_provider_is_asked_for_a_new_login(scene: Scene) -> None:
    asked = parse_qs(urlsplit(scene.leaves(scene.browser())).query)
    assert asked["max_age"] == ["0"]
    assert asked["code_challenge_method"] == ["S256"]
    assert {"nonce", "state", "code_challenge"} <= asked.keys()
    state = open_ticket(asked["state"][0], scene.world.keys)
    assert (state.subject, state.purpose, state.demands) == (ALICE, "enrolment", ())


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ({"account": "mallory"}, "That was the login of somebody else"),
        ({"account": "ALICE"}, "That was the login of somebody else"),
        ({"error": "access_denied"}, "You were not logged in"),
    ],
)
def test_who_has_stolen_a_token_gets_no_first_factor(scene: Scene, said: dict[str, str], title: str) -> None:
    """The thief is challenged in Alice's session, and can log in as nobody else than themselves, or not anew."""
    thief = scene.browser()
    location = scene.leaves(thief)
    page = scene.comes_back(thief, scene.logs_in(location, **said))
    assert (page.status_code, heading(page)) == (403, title)
    no_factor_nor_seat(scene, thief)


def test_an_old_login_gives_no_first_factor_however_often_it_is_shown(scene: Scene) -> None:
    thief = scene.browser()
    page = scene.comes_back(thief, scene.logs_in(scene.leaves(thief), ago="120"))
    asked_again = page.headers["location"]
    assert parse_qs(urlsplit(asked_again).query)["prompt"] == ["login"]
    page = scene.comes_back(thief, scene.logs_in(asked_again, ago="120"))
    assert (page.status_code, heading(page)) == (403, "That login was not enough")
    no_factor_nor_seat(scene, thief)


def test_a_stolen_token_opens_no_form_of_the_page(scene: Scene) -> None:
    thief = scene.browser()
    ticket = scene.world.challenged(thief)
    state = parse_qs(urlsplit(scene.leaves(thief)).query)["state"][0]
    for text in (ticket, state):
        for step in ("begin", "app", "confirm", "key", "codes", "prove"):
            form = {"ticket": text, "step": step, "seat": "", "code": "000000"}
            answer = thief.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN)
            assert (answer.status_code, heading(answer)) == (400, "This link is not complete")
    # What is asked of the provider is no ticket of a challenge, and leads to no other question.
    for path, name in ((PAGE, "ticket"), (ENROL_PATH, "challenge")):
        assert thief.request("GET", path, params={name: state}).status_code == 400
    form = {"challenge": state, "step": "login"}
    assert thief.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN).status_code == 400
    no_factor_nor_seat(scene, thief)


def test_a_login_that_somebody_else_was_lured_into_seats_nobody(scene: Scene) -> None:
    """The thief sends the provider's address to Alice, who logs in: her browser was not the one that was sent."""
    thief, victim = scene.browser(), scene.browser()
    scene.world.challenged(victim)
    page = scene.comes_back(victim, scene.logs_in(scene.leaves(thief)))
    assert (page.status_code, heading(page)) == (403, "This page belongs to another browser")
    no_factor_nor_seat(scene, victim)


def test_an_answer_of_the_provider_to_somebody_else_seats_nobody(scene: Scene) -> None:
    """Login CSRF, and a code of Alice's that is put beside the state of the thief."""
    thief, victim = scene.browser(), scene.browser()
    of_thief, of_victim = scene.logs_in(scene.leaves(thief), account="mallory"), scene.logs_in(scene.leaves(victim))
    assert heading(scene.comes_back(victim, of_thief)) == "This page belongs to another browser"
    code, state = (parse_qs(urlsplit(one).query)[name][0] for one, name in ((of_victim, "code"), (of_thief, "state")))
    mixed = httpx.URL(of_thief).copy_merge_params({"code": code, "state": state})
    assert scene.comes_back(thief, str(mixed)).status_code == 403
    no_factor_nor_seat(scene, thief)


def test_a_login_that_confirms_something_sets_up_nothing(scene: Scene) -> None:
    """Who is lured into confirming an action by a login has not asked for a factor, and the other way round."""
    browser = scene.browser()
    ticket = scene.world.challenged(browser, challenge(demand(factors=("oidc",))))
    form = {"ticket": ticket, "factor": "oidc"}
    location = browser.request("POST", PAGE, form=form, headers=SAME_ORIGIN).headers["location"]
    answer = browser.request("GET", scene.logs_in(location))
    assert (answer.status_code, answer.headers["location"]) == (303, "/pay/a1?amount=5")
    assert scene.world.grants() == 1
    no_factor_nor_seat(scene, browser)
    scene.seated(scene.browser())
    assert scene.world.grants() == 1


def test_an_answer_of_the_provider_is_good_once(scene: Scene) -> None:
    browser = scene.browser()
    back = scene.logs_in(scene.leaves(browser))
    assert heading(scene.comes_back(browser, back)) == CHOOSE
    browser.cookies.delete(ENROLMENT_COOKIE)
    assert scene.comes_back(browser, back).status_code == 403
    no_factor_nor_seat(scene, browser)


def test_the_seat_after_a_login_is_the_browser_s_alone(scene: Scene) -> None:
    person = scene.seated(scene.browser())
    other = Person.opens(scene.browser(), person.text)
    assert heading(other.page) == ELSEWHERE
    assert heading(other.send("begin")) == heading(other.send("app")) == ELSEWHERE
    assert ENROLMENT_COOKIE not in other.browser.cookies


def test_without_the_switch_a_first_factor_takes_a_link(scene: Scene) -> None:
    off = replace(scene, first_factor=False)
    browser = off.browser()
    ticket = off.world.challenged(browser)
    for page in (browser.open(ticket), browser.request("GET", ENROL_PATH, params={"challenge": ticket})):
        assert (page.status_code, heading(page)) == (403, NONE_YET)
        assert "Ask your administrator" in page.text
        assert "<form" not in page.text
    form = {"challenge": ticket, "step": "login"}
    asked = browser.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN)
    assert (asked.status_code, heading(asked)) == (403, NOT_HERE)
    # Nor for who was sent off before it was switched.
    before = scene.browser()
    back = scene.logs_in(scene.leaves(before))
    assert heading(off.comes_back(off.same(before), back)) == NOT_HERE
    no_factor_nor_seat(scene, before)


def test_who_has_a_factor_has_to_show_it_whoever_logs_in(scene: Scene) -> None:
    browser = scene.browser()
    location = scene.leaves(browser)
    scene.world.enroll()
    assert heading(scene.comes_back(browser, scene.logs_in(location))) == PROVE
    ticket = scene.world.challenged(browser)
    form = {"challenge": ticket, "step": "login"}
    sent = browser.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN)
    page = scene.comes_back(browser, scene.logs_in(sent.headers["location"]))
    assert heading(page) == PROVE
    assert len(factors(scene.world)) == 1


def test_a_seat_after_a_login_ends_after_a_quarter_of_an_hour(scene: Scene) -> None:
    person = scene.seated(scene.browser())
    scene.world.now += 899
    assert heading(person.send("app")) == "Set up your authenticator app"
    scene.world.now += 1
    for page in (person.look(), person.send("confirm", code="123456")):
        assert (page.status_code, heading(page)) == (410, "This page was open for too long")
    assert not any(factor.confirmed for factor in factors(scene.world))


def test_of_a_login_and_a_link_one_brings_the_first_factor(scene: Scene) -> None:
    by_login = scene.seated(scene.browser())
    by_login.send("app")
    app = by_login.secret()
    Person.begins(scene.browser(), link(scene.world)).sets_up_an_app(scene.world)
    assert by_login.send("confirm", code=app.at(int(scene.world.now))).status_code == 409
    assert len(factors(scene.world)) == 1


def test_a_reset_ends_what_a_login_has_begun(scene: Scene) -> None:
    person = scene.seated(scene.browser())
    run(scene.world.store.reset_factors(ALICE, (), now=scene.world.now))
    assert heading(person.send("app")) == "This link was used already"
    assert factors(scene.world) == ()


@pytest.mark.parametrize("kind", ["session", "tokens", "block"])
@pytest.mark.parametrize("at", ["the provider", "the page"])
def test_a_session_that_ends_takes_its_enrolment_along(scene: Scene, kind: Kind, at: str) -> None:
    world = scene.world
    feed = world.revocations = RevocationFeed(world.store, max_staleness=inf, now=lambda: world.now)
    run(feed.load())
    browser = scene.browser()
    token = Credential(subjects=(ALICE,), issued_at=world.now - 60, sid="1")
    asked = browser.open(world.challenged(browser, identity=alice(credentials=(token,))))
    location = scene.presses(browser, asked).headers["location"]
    back = scene.logs_in(location)
    page = scene.comes_back(browser, back) if at == "the page" else None
    revocation = Revocation(kind=kind, subject=ALICE, id="1" if kind == "session" else "", at=world.now)
    run(world.store.put_revocation(revocation, now=world.now))
    run(feed.load())
    if page is None:
        page = scene.comes_back(browser, back)
    else:
        found = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert found is not None
        page = Person(browser=browser, text=html.unescape(found[1]), page=page).send("app")
    told = "You are blocked" if kind == "block" else "You are no longer logged in"
    assert (page.status_code, heading(page)) == (403, told)
    assert factors(world) == ()


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
def test_nobody_is_sent_off_by_a_form_of_another_site(scene: Scene, headers: dict[str, str]) -> None:
    browser = scene.browser()
    form = {"challenge": scene.world.challenged(browser), "step": "login"}
    sent = browser.request("POST", ENROL_PATH, form=form, headers=headers)
    assert (sent.status_code, heading(sent)) == (403, "This form was not sent by this page")


def test_an_expired_or_changed_challenge_sends_nobody_off(scene: Scene) -> None:
    browser = scene.browser()
    ticket = scene.world.challenged(browser)
    of_mallory = replace(open_ticket(ticket, scene.world.keys), subject=replace(ALICE, id="mallory"))
    forged = sign(of_mallory, scene.world.keys).rpartition(".")[0] + "." + ticket.rpartition(".")[2]
    for text in (forged, "", link(scene.world)):
        form = {"challenge": text, "step": "login"}
        assert browser.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN).status_code == 400
    scene.world.now += 300
    form = {"challenge": ticket, "step": "login"}
    assert browser.request("POST", ENROL_PATH, form=form, headers=SAME_ORIGIN).status_code == 410


def test_while_the_provider_is_away_nobody_is_seated(scene: Scene, provider: Provider) -> None:
    browser = scene.browser()
    asked = browser.open(scene.world.challenged(browser))
    gone = replace(scene, provider=replace(provider, port=9))
    sent = gone.presses(gone.same(browser), asked)
    assert (sent.status_code, heading(sent)) == (503, "Your provider does not answer")
    no_factor_nor_seat(scene, browser)


def test_two_tabs_that_log_in_set_up_one_factor(scene: Scene) -> None:
    browser = scene.browser()
    first, second = scene.seated(browser), scene.seated(browser)
    assert heading(first.look()) == heading(first.send("app")) == ELSEWHERE
    second.sets_up_an_app(scene.world)
    assert len(factors(scene.world)) == 1
