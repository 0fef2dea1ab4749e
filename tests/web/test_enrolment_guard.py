"""What it takes to change anything on the enrolment page: a factor, or a ground that still stands."""

import html
import re
from math import inf
from urllib.parse import parse_qs, urlsplit

import pytest
from stepup.proofs import ALICE, alice, demand
from stepup.proofs import challenge as challenge_by
from web.conftest import World, run
from web.enrolling import (
    FOREIGN,
    PROVE,
    STALE,
    US,
    USED,
    YOURS,
    Person,
    codes_on,
    factors,
    heading,
    link,
    seat_id,
)

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Kind, Revocation
from extauthz.stepup.enrolment import ENROL_PATH, open_invitation
from extauthz.stepup.lockout import limits_of
from extauthz.values.identity import Credential, Subject


def test_who_has_a_factor_proves_it_before_anything_is_added(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    assert heading(person.page) == PROVE
    for step in ("app", "confirm", "codes", "rename", "remove"):
        assert heading(person.send(step, code="000000", name="x", factor=factors(world)[0].id)) == STALE
        person.look()
    assert len(factors(world)) == 1
    assert heading(person.look("app")) == PROVE
    assert heading(person.look("codes")) == PROVE
    person.send("prove", code="000000")
    assert person.page.status_code == 422
    assert heading(person.send("prove", code=world.code())) == YOURS
    person.sets_up_an_app(world)
    assert [factor.kind for factor in factors(world)] == ["totp", "totp"]


def test_a_code_that_proved_here_proves_nowhere_else(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    browser = world.browser()
    assert browser.answer(world.challenged(browser), world.code()).status_code == 422


def test_wrong_codes_lock_out_here_as_everywhere(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    for _ in range(5):
        person.send("prove", code="000000")
    assert person.send("prove", code=world.code()).status_code == 429
    assert int(person.page.headers["retry-after"]) in range(1, 32)
    assert run(world.store.attempt(limits_of(ALICE, ""), now=world.now)).wait > 0


def test_a_recovery_code_opens_the_page_once(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    codes = codes_on(person.send("codes"))
    other = Person.begins(world.browser(), link(world))
    assert heading(other.send("prove", code=codes[0].lower())) == YOURS
    third = Person.begins(world.browser(), link(world))
    assert third.send("prove", code=codes[0]).status_code == 422
    assert heading(third.send("prove", code=codes[1].replace("-", " "))) == YOURS


def test_nobody_removes_a_factor_of_somebody_else(world: World) -> None:
    mallory = Subject(ALICE.issuer, "mallory")
    person = Person.begins(world.browser(), link(world, subject=mallory))
    person.sets_up_an_app(world)
    person.look()
    person.sets_up_an_app(world)
    person.look()
    assert heading(person.send("remove", factor=factors(world)[0].id)) == STALE
    assert len(factors(world)) == 1


def test_a_reset_ends_the_page(world: World) -> None:
    """Whoever resets because a device was stolen wants what it has open to end, too, and not to begin again."""
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    run(world.store.reset_factors(ALICE, (), now=world.now))
    assert heading(person.send("app")) == STALE
    world.now += 1
    Person.begins(world.browser(), link(world)).sets_up_an_app(world)
    assert heading(person.look()) == USED
    assert heading(person.send("app")) in (STALE, USED)
    assert len(factors(world)) == 1


def test_who_is_blocked_sets_up_nothing(world: World) -> None:
    feed = RevocationFeed(world.store, max_staleness=inf, now=lambda: world.now)
    run(feed.load())
    world.revocations = feed
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    assert heading(person.page) == YOURS
    fresh = Person.opens(world.browser(), link(world))
    run(world.store.put_revocation(Revocation(kind="block", subject=ALICE, id="", at=world.now), now=world.now))
    run(feed.load())
    for page in (fresh.send("begin"), person.send("app"), person.look()):
        assert (page.status_code, heading(page)) == (403, "You are blocked")
    assert len(factors(world)) == 1


def test_a_proof_opens_the_page_for_a_quarter_of_an_hour(world: World) -> None:
    person = Person.begins(world.browser(), link(world, valid_for=86_400))
    person.send("prove", code=world.code())
    world.now += 900
    assert heading(person.send("app")) == "This page was open for too long"
    assert heading(Person.opens(person.browser, person.text).page) == "This page was open for too long"
    assert heading(Person.begins(world.browser(), person.text).page) == FOREIGN
    assert len(factors(world)) == 1


def test_a_challenged_browser_changes_factors_with_a_proof(world: World) -> None:
    browser = world.browser()
    challenged = browser.open(world.challenged(browser))
    found = re.search(r'href="(/\.extauthz/enroll\?challenge=[^"]+)"', challenged.text)
    assert found is not None
    entered = browser.request("GET", html.unescape(found[1]))
    (text,) = parse_qs(urlsplit(entered.headers["location"]).query)["ticket"]
    assert open_invitation(text, world.keys).grounds == "session"
    assert heading(Person.begins(world.browser(), text).page) == "This page is no longer in use"
    person = Person.opens(browser, text)
    assert heading(person.page) == PROVE
    assert heading(person.send("app")) == STALE
    person.look()
    assert heading(person.send("prove", code=world.code())) == YOURS
    person.sets_up_an_app(world)
    assert len(factors(world)) == 2
    assert '<a class="button" href="/pay/a1?amount=5">Go on where you were</a>' in person.look().text


def test_who_has_a_factor_that_does_not_do_sets_up_another_one(world: World) -> None:
    browser = world.browser(relying_party=US)
    asked = browser.open(world.challenged(browser, challenge_by(demand(factors=("webauthn",)))))
    assert (asked.status_code, heading(asked)) == (403, "You need another second factor")
    found = re.search(r'href="(/\.extauthz/enroll\?challenge=[^"]+)"', asked.text)
    assert found is not None
    entered = browser.request("GET", html.unescape(found[1]))
    (text,) = parse_qs(urlsplit(entered.headers["location"]).query)["ticket"]
    person = Person.opens(browser, text)
    assert heading(person.send("prove", code=world.code())) == YOURS


@pytest.mark.parametrize("revocation", ["session", "tokens", "block"])
@pytest.mark.parametrize("proven", [False, True])
def test_a_seat_that_came_from_a_session_ends_with_it(world: World, revocation: Kind, proven: bool) -> None:
    feed = RevocationFeed(world.store, max_staleness=inf, now=lambda: world.now)
    run(feed.load())
    world.revocations = feed
    token = Credential(subjects=(ALICE,), issued_at=world.now - 60, sid="1")
    browser = world.browser()
    ticket = world.challenged(browser, identity=alice(credentials=(token,)))
    entered = browser.request("GET", ENROL_PATH, params={"challenge": ticket})
    (text,) = parse_qs(urlsplit(entered.headers["location"]).query)["ticket"]
    person = Person.opens(browser, text)
    if proven:
        person.send("prove", code=world.code())
    by_link = Person.begins(world.browser(), link(world))
    of_another = Revocation(kind="session", subject=ALICE, id="2", at=world.now)
    run(world.store.put_revocation(of_another, now=world.now))
    run(feed.load())
    assert heading(person.look()) == (YOURS if proven else PROVE)
    id_ = "1" if revocation == "session" else ""
    run(world.store.put_revocation(Revocation(kind=revocation, subject=ALICE, id=id_, at=world.now), now=world.now))
    run(feed.load())
    told = "You are blocked" if revocation == "block" else "You are no longer logged in"
    for page in (person.send("prove", code=world.code(1)), person.send("app"), person.look()):
        assert (page.status_code, heading(page)) == (403, told)
    assert len(factors(world)) == 1
    # What an administrator gave does not rest on that session.
    assert heading(by_link.look()) == (PROVE if revocation == "session" else told)


def test_a_session_is_not_enough_for_a_first_factor(bare: World) -> None:
    """Who has stolen a token is challenged, too: a factor of theirs would meet the challenge."""
    browser = bare.browser()
    ticket = bare.challenged(browser)
    for page in (browser.open(ticket), browser.request("GET", ENROL_PATH, params={"challenge": ticket})):
        assert (page.status_code, heading(page)) == (403, "You have no second factor yet")
        assert ENROL_PATH not in page.text
    assert factors(bare) == ()


def test_a_session_is_not_enough_for_a_first_factor_after_a_reset_either(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    entered = browser.request("GET", ENROL_PATH, params={"challenge": ticket})
    (text,) = parse_qs(urlsplit(entered.headers["location"]).query)["ticket"]
    run(world.store.reset_factors(ALICE, (), now=world.now))
    person = Person.opens(browser, text)
    assert (person.page.status_code, heading(person.page)) == (403, "You have no second factor yet")
    seat = seat_id(person, world)
    for step in ("app", "codes", "confirm"):
        assert heading(person.send(step, seat=seat)) == STALE
    assert factors(world) == ()


def test_a_challenge_of_another_browser_leads_nowhere(world: World) -> None:
    ticket = world.challenged(world.browser())
    for text in (ticket, link(world), "", ticket[:-4] + "AAAA"):
        assert world.browser().request("GET", ENROL_PATH, params={"challenge": text}).status_code in (400, 403)
