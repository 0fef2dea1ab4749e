"""Enrolment by link: whose it is, how long, and what it brings once."""

import re
from dataclasses import replace
from math import inf

import pytest
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE, ring
from web.conftest import World, run
from web.enrolling import (
    APP,
    CHOOSE,
    CODES_PAGE,
    EXPIRED,
    FOREIGN,
    PROVE,
    STALE,
    US,
    USED,
    Person,
    factors,
    heading,
    link,
    registers,
    with_keys,
)

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Revocation
from extauthz.values.identity import ENROLMENT_COOKIE, NONCE_COOKIE, Subject


def test_a_link_leads_to_an_app_that_counts(bare: World) -> None:
    person = Person.opens(bare.browser(), link(bare))
    assert heading(person.page) == "Set up your second factor"
    assert "alice" in person.page.text
    assert heading(person.send("begin")) == CHOOSE
    assert heading(person.send("app")) == APP
    app = person.secret()
    assert [factor.confirmed for factor in factors(bare)] == [False]
    assert heading(person.send("confirm", code=app.at(int(bare.now)))) == CODES_PAGE
    (made,) = factors(bare)
    assert (made.kind, made.confirmed, made.name) == ("totp", True, "Authenticator app")
    browser = bare.browser()
    assert browser.answer(bare.challenged(browser), app.at(int(bare.now) + 30)).status_code == 303


def test_a_first_code_is_good_once(bare: World) -> None:
    app = Person.begins(bare.browser(), link(bare)).sets_up_an_app(bare)
    browser = bare.browser()
    assert browser.answer(bare.challenged(browser), app.at(int(bare.now))).status_code == 422


def test_a_wrong_first_code_is_said_and_the_secret_stays(bare: World) -> None:
    person = Person.begins(bare.browser(), link(bare))
    person.send("app")
    app = person.secret()
    person.send("confirm", code="000000")
    assert person.page.status_code == 422
    assert "not right" in person.page.text
    assert person.secret().secret == app.secret
    assert heading(person.send("confirm", code=app.at(int(bare.now)))) == CODES_PAGE


def test_opening_a_link_changes_nothing(bare: World) -> None:
    """Scanners of mail and chat open every link before its reader does."""
    text = link(bare)
    for _ in range(3):
        assert Person.opens(bare.browser(), text).page.status_code == 200
    assert heading(Person.begins(bare.browser(), text).page) == CHOOSE


def test_a_link_belongs_to_the_browser_that_begins(bare: World) -> None:
    text = link(bare)
    first = Person.begins(bare.browser(), text)
    second = Person.begins(bare.browser(), text)
    assert (second.page.status_code, heading(second.page)) == (403, FOREIGN)
    for step in ("app", "confirm", "codes", "remove", "prove"):
        assert heading(second.send(step, code="1")) == FOREIGN
    assert heading(first.look()) == CHOOSE


def test_a_link_opens_again_in_its_own_browser(bare: World) -> None:
    text = link(bare)
    person = Person.begins(bare.browser(), text)
    bare.now += 600
    assert heading(person.look()) == CHOOSE
    assert heading(person.send("begin")) == CHOOSE


def test_a_button_that_is_pressed_twice_begins_once(bare: World) -> None:
    """The answer to the first was lost: the browser has no seat, but it is the same one."""
    person = Person.begins(bare.browser(), link(bare))
    person.browser.cookies.delete(ENROLMENT_COOKIE)
    assert heading(person.send("begin")) == CHOOSE
    bare.now += 31
    person.browser.cookies.delete(ENROLMENT_COOKIE)
    assert heading(person.send("begin")) == FOREIGN


def test_a_browser_without_cookies_burns_no_link(bare: World) -> None:
    text = link(bare)
    person = Person.opens(bare.browser(), text)
    person.browser.cookies.delete(NONCE_COOKIE)
    assert heading(person.send("begin")) == "Your browser kept no cookie"
    assert heading(Person.begins(bare.browser(), text).page) == CHOOSE


def test_a_link_that_brought_a_factor_brings_no_second_one(bare: World) -> None:
    text = link(bare)
    person = Person.begins(bare.browser(), text)
    seat = person.browser.cookies[ENROLMENT_COOKIE]
    person.sets_up_an_app(bare)
    assert heading(Person.begins(bare.browser(), text).page) == FOREIGN
    # The cookie of before, kept by somebody: the person has a factor now, and it has to be shown.
    thief = bare.browser()
    thief.cookies.set(ENROLMENT_COOKIE, seat, domain="app.example.com", path="/")
    again = Person.opens(thief, text)
    assert heading(again.page) == PROVE
    assert heading(again.send("app")) == STALE
    assert len(factors(bare)) == 1


def test_a_link_expires(bare: World) -> None:
    text = link(bare, valid_for=60)
    person = Person.opens(bare.browser(), text)
    begun = Person.begins(bare.browser(), link(bare, valid_for=60))
    bare.now += 60
    assert heading(person.send("begin")) == EXPIRED
    assert (person.look().status_code, heading(person.page)) == (410, EXPIRED)
    assert heading(begun.look()) == EXPIRED
    begun.send("app")
    assert factors(bare) == ()


@pytest.mark.parametrize("change", ["flip", "cut", "other key", "challenge", "nothing"])
def test_a_forged_link_opens_nothing(bare: World, change: str) -> None:
    browser = bare.browser()
    text = link(bare)
    if change == "flip":
        text = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
    elif change == "cut":
        text = text[:-8]
    elif change == "other key":
        text = link(replace(bare, keys=ring("other")))
    elif change == "challenge":
        text = bare.challenged(browser)
    else:
        text = ""
    person = Person.begins(browser, text)
    assert (person.page.status_code, heading(person.page)) == (400, "This link is not complete")
    assert heading(person.look()) == "This link is not complete"


def test_an_enrolment_link_is_no_challenge_ticket(bare: World) -> None:
    browser = bare.browser()
    assert browser.open(link(bare)).status_code == 400


def test_a_seat_of_another_link_is_none(bare: World) -> None:
    mine, theirs = link(bare, subject=Subject(ALICE.issuer, "mallory")), link(bare)
    person = Person.begins(bare.browser(), mine)
    other = Person.opens(person.browser, theirs)
    assert heading(other.page) == "Set up your second factor"
    hidden = re.search(r'name="seat" value="([^"]+)"', person.page.text)
    assert hidden is not None
    assert heading(other.send("app", seat=hidden[1])) == FOREIGN
    assert factors(bare) == ()


def test_the_same_name_at_another_issuer_is_somebody_else(bare: World) -> None:
    Person.begins(bare.browser(), link(bare, subject=Subject("https://other.example.com", "alice"))).sets_up_an_app(
        bare
    )
    assert factors(bare) == ()


def test_a_name_with_half_a_letter_sets_up_what_it_likes(bare: World) -> None:
    """JSON can say it, so a token can; no address and no page can."""
    odd = Subject(ALICE.issuer, "alice\udc80")
    person = Person.begins(bare.browser(relying_party=US), link(bare, subject=odd))
    person.sets_up_an_app(bare)
    person.look()
    registers(person, bare, SoftwareAuthenticator())
    assert sorted(one.kind for one in run(bare.store.factors(odd))) == ["totp", "webauthn"]


def test_of_two_links_one_brings_the_first_factor(bare: World) -> None:
    first, second = (Person.begins(bare.browser(), link(bare)) for _ in range(2))
    first.send("app")
    app = first.secret()
    device = SoftwareAuthenticator()
    second.browser = with_keys(bare, second)
    registers(second, bare, device)
    assert heading(second.page) == CODES_PAGE
    assert heading(first.send("confirm", code=app.at(int(bare.now)))) == STALE
    assert heading(first.look()) == PROVE
    assert [factor.kind for factor in factors(bare)] == ["webauthn"]


def test_a_secret_is_shown_at_its_own_link_only(bare: World) -> None:
    victim, thief = (Person.begins(bare.browser(), link(bare)) for _ in range(2))
    victim.send("app")
    app = victim.secret()
    assert heading(thief.look("app")) == CHOOSE
    assert app.secret not in thief.page.text.replace(" ", "")
    assert heading(thief.send("confirm", code=app.at(int(bare.now)))) == STALE


def test_a_link_ends_with_a_sign_out_everywhere(world: World) -> None:
    """Somebody took over the account: what was begun with its sessions is not gone on with."""
    feed = RevocationFeed(world.store, max_staleness=inf, now=lambda: world.now)
    world.revocations = feed
    old = Person.begins(world.browser(), link(world))
    world.now += 10
    run(world.store.put_revocation(Revocation(kind="tokens", subject=ALICE, id="", at=world.now), now=world.now))
    run(feed.load())
    assert old.send("prove", code=world.code()).status_code == 403
    world.now += 10
    assert heading(Person.begins(world.browser(), link(world)).page) == PROVE


def test_a_link_from_before_a_reset_brings_nothing(bare: World) -> None:
    """Whoever has stolen a link and begun, but not ended, is as good as gone when the administrator resets."""
    stolen = Person.begins(bare.browser(relying_party=US), link(bare))
    waiting = Person.begins(bare.browser(), link(bare))
    waiting.send("app")
    app = waiting.secret()
    run(bare.store.reset_factors(ALICE, (), now=bare.now))
    bare.now += 1
    assert heading(stolen.send("app")) == USED
    registers(stolen, bare, SoftwareAuthenticator())
    assert heading(stolen.page) == USED
    assert heading(waiting.send("confirm", code=app.at(int(bare.now)))) in (STALE, USED)
    assert factors(bare) == ()
    assert heading(Person.begins(bare.browser(), link(bare)).page) == CHOOSE
