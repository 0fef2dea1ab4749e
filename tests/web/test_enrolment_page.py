"""The enrolment page, request by request: who may open it, what it adds, and what it takes to change anything."""

import html
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from math import inf
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE, alice, demand, ring
from stepup.proofs import challenge as challenge_by
from web.conftest import Browser, World, run
from web.enrolling import US, Person, codes_on, factors, heading, link

from extauthz.check.enrolling import MOST_AUTHENTICATORS
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Kind, Revocation
from extauthz.stepup.authenticators import challenge_of
from extauthz.stepup.enrolment import ENROL_PATH, open_invitation, page_of, read_seat
from extauthz.stepup.lockout import limits_of
from extauthz.stepup.recovery import CODE_BYTES, CODES, make_codes
from extauthz.stepup.webauthn_answer import Ceremony
from extauthz.store.factor_secret import seal_codes
from extauthz.store.protocol import Enrolment
from extauthz.values.identity import ENROLMENT_COOKIE, NONCE_COOKIE, Credential, Subject

CHOOSE, YOURS, PROVE = "Choose your second factor", "Your second factors", "Confirm that it is you"
APP, KEY, CODES_PAGE = "Set up your authenticator app", "Set up a security key or passkey", "Recovery codes"
FOREIGN, USED, EXPIRED = (
    "This link was opened in another browser",
    "This link was used already",
    "This link has expired",
)
STALE = "This page was out of date"
TOO_MANY = "You have as many as there can be"


@pytest.fixture
def bare() -> Iterator[World]:
    """Alice without a factor."""
    made = World()
    yield made
    run(made.store.close())


def challenge(person: Person, world: World, ceremony: Ceremony) -> bytes:
    """The challenge that the page gives to the browser."""
    return challenge_of(_seat_id(person, world), ceremony)


def registers(person: Person, world: World, device: SoftwareAuthenticator, name: str = "My key") -> None:
    person.look("key")
    assert heading(person.page) == KEY
    person.send("key", name=name, answer=device.register(challenge(person, world, "webauthn.create")))


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
    second.browser = _with_keys(bare, second)
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


def test_recovery_codes_are_shown_once(bare: World) -> None:
    person = Person.begins(bare.browser(), link(bare))
    person.sets_up_an_app(bare)
    codes = codes_on(person.send("codes"))
    assert len(set(codes)) == CODES
    assert sum(1 for factor in factors(bare) if factor.kind == "recovery") == CODES
    for view in ("", "codes", "app"):
        assert not any(code in person.look(view).text for code in codes)
    assert f"{CODES} left" in person.look().text


def test_a_form_that_is_sent_twice_makes_codes_once(bare: World) -> None:
    person = Person.begins(bare.browser(), link(bare))
    person.sets_up_an_app(bare)
    offered = person.page
    codes = codes_on(person.send("codes"))
    person.page = offered
    assert heading(person.send("codes")) == STALE
    other = Person.begins(bare.browser(), link(bare))
    assert heading(other.send("prove", code=codes[0])) == YOURS


def test_new_codes_take_the_place_of_old_ones(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    old = codes_on(person.send("codes"))
    person.look("codes")
    assert "10 left" in person.page.text
    new = codes_on(person.send("codes"))
    other = Person.begins(world.browser(), link(world))
    assert other.send("prove", code=old[0]).status_code == 422
    assert heading(other.send("prove", code=new[0])) == YOURS


def test_recovery_codes_are_no_first_factor(bare: World) -> None:
    person = Person.begins(bare.browser(), link(bare))
    assert heading(person.send("codes")) == STALE
    assert factors(bare) == ()


def test_a_key_is_registered_and_proves(bare: World) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    device = SoftwareAuthenticator(count=5)
    registers(person, bare, device, name="Blue key")
    assert heading(person.page) == CODES_PAGE
    (made,) = factors(bare)
    assert (made.kind, made.confirmed, made.name, made.mark) == ("webauthn", True, "Blue key", 5)
    other = Person.begins(bare.browser(relying_party=US), link(bare))
    assert heading(other.page) == PROVE
    assert "One-time code" not in other.page.text
    wrong = SoftwareAuthenticator(credential_id=device.credential_id)
    assert other.send("prove", answer=wrong.sign_in(challenge(other, bare, "webauthn.get"))).status_code == 422
    assert heading(other.send("prove", answer=device.sign_in(challenge(other, bare, "webauthn.get")))) == YOURS
    registers(other, bare, SoftwareAuthenticator(credential_id=b"d" * 32), name="Red key")
    assert {factor.name: factor.mark for factor in factors(bare)} == {"Blue key": 6, "Red key": 0}


def test_each_new_factor_gets_a_name_of_its_own(world: World) -> None:
    person = Person.begins(world.browser(relying_party=US), link(world))
    person.send("prove", code=world.code())
    for _ in range(3):
        person.sets_up_an_app(world)
        person.look()
    for number in range(2):
        suggested = re.search(r'name="name" type="text" maxlength="64" value="([^"]*)"', person.look("key").text)
        assert suggested is not None
        device = SoftwareAuthenticator(credential_id=bytes([number]) * 32)
        registers(person, world, device, name=suggested[1])
    apps = ["Authenticator app", "Authenticator app 2", "Authenticator app 3"]
    assert sorted(factor.name for factor in factors(world)) == ["", *apps, "Security key", "Security key 2"]


def test_a_registration_is_good_once(bare: World) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    person.look("key")
    answer = SoftwareAuthenticator().register(challenge(person, bare, "webauthn.create"))
    person.send("key", name="a", answer=answer)
    person.look("key")
    replayed = person.send("key", name="b", answer=answer)
    assert replayed.status_code == 422
    assert len(factors(bare)) == 1


def test_a_key_is_not_registered_twice(bare: World) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    device = SoftwareAuthenticator()
    registers(person, bare, device)
    registers(person, bare, device)
    assert "one of yours already" in person.page.text
    assert len(factors(bare)) == 1


def test_keys_are_offered_where_a_browser_would_take_them(bare: World) -> None:
    assert "Security key" not in Person.begins(bare.browser(), link(bare)).page.text
    elsewhere = US.model_copy(update={"origins": ("https://login.example.com",)})
    person = Person.begins(bare.browser(relying_party=elsewhere), link(bare))
    assert "Security key" not in person.page.text
    assert heading(person.look("key")) == CHOOSE
    assert person.send("key", name="x", answer="{}").status_code == 400


def test_a_key_that_was_touched_at_a_sibling_page_changes_nothing_here(bare: World) -> None:
    here, sibling = "https://app.example.com", "https://shop.example.com"
    both = US.model_copy(update={"origins": (here, sibling)})
    person, device = Person.begins(bare.browser(relying_party=both), link(bare)), SoftwareAuthenticator()
    person.look("key")
    for origin, had in ((sibling, 0), (here, 1)):
        answer = device.register(challenge(person, bare, "webauthn.create"), origin=origin)
        person.send("key", name="x", answer=answer)
        assert len(factors(bare)) == had
    person = Person.begins(bare.browser(relying_party=both), link(bare))
    for origin, shown in ((sibling, PROVE), (here, YOURS)):
        answer = device.sign_in(challenge(person, bare, "webauthn.get"), origin=origin)
        assert heading(person.send("prove", answer=answer)) == shown


def test_nobody_fills_the_store_with_factors(bare: World) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    for number in range(MOST_AUTHENTICATORS - 1):
        registers(person, bare, SoftwareAuthenticator(credential_id=bytes([number]) * 32), name=f"Key {number}")
    person.look()
    person.sets_up_an_app(bare)
    assert len(factors(bare)) == MOST_AUTHENTICATORS
    person.look()
    assert heading(person.send("app")) == TOO_MANY
    registers(person, bare, SoftwareAuthenticator(credential_id=b"x" * 32))
    assert heading(person.page) == TOO_MANY
    assert len(factors(bare)) == MOST_AUTHENTICATORS
    person.look()
    person.send("remove", factor=factors(bare)[1].id)
    registers(person, bare, SoftwareAuthenticator(credential_id=b"x" * 32))
    assert len(factors(bare)) == MOST_AUTHENTICATORS


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\u202eb", "a\nb"])
def test_a_name_that_deceives_is_refused(bare: World, name: str) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    person.look("key")
    person.send("key", name=name, answer=SoftwareAuthenticator().register(challenge(person, bare, "webauthn.create")))
    assert person.page.status_code == 422
    assert factors(bare) == ()


def test_factors_are_renamed_and_removed_but_for_the_last(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    (phone,) = factors(world)
    assert heading(person.send("rename", factor=phone.id, name=" Old <phone> ")) == YOURS
    assert "Old &lt;phone&gt;" in person.page.text
    assert heading(person.send("remove", factor=phone.id)) == "This is your last one"
    person.look()
    person.sets_up_an_app(world)
    person.look()
    # The seat rests on the old phone; it goes on with what is left.
    assert heading(person.send("remove", factor=phone.id)) == YOURS
    (left,) = factors(world)
    assert left.id != phone.id
    assert heading(person.send("remove", factor=left.id)) == "This is your last one"
    person.look()
    assert heading(person.send("rename", factor=phone.id, name="x")) == STALE


def test_recovery_codes_do_not_make_the_last_app_removable(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    person.send("codes")
    person.look()
    (app, code) = (next(factor for factor in factors(world) if factor.kind == kind) for kind in ("totp", "recovery"))
    assert heading(person.send("remove", factor=app.id)) == "This is your last one"
    person.look()
    assert heading(person.send("remove", factor=code.id)) == STALE


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


def test_while_the_store_is_away_nothing_is_shown_or_changed(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    opened = Person.opens(world.browser(), link(world))
    run(world.store.close())
    for page in (opened.send("begin"), person.send("prove", code=world.code()), person.look()):
        assert page.status_code == 503
        assert "retry-after" in page.headers


def test_a_proof_opens_the_page_for_a_quarter_of_an_hour(world: World) -> None:
    person = Person.begins(world.browser(), link(world, valid_for=86_400))
    person.send("prove", code=world.code())
    world.now += 900
    assert heading(person.send("app")) == "This page was open for too long"
    assert heading(Person.opens(person.browser, person.text).page) == "This page was open for too long"
    assert heading(Person.begins(world.browser(), person.text).page) == FOREIGN
    assert len(factors(world)) == 1


def test_two_tabs_do_not_undo_each_other(world: World) -> None:
    first = Person.begins(world.browser(), link(world))
    first.send("prove", code=world.code())
    second = Person(browser=first.browser, text=first.text, page=first.page)
    (phone,) = factors(world)
    first.send("rename", factor=phone.id, name="One")
    assert heading(second.send("rename", factor=phone.id, name="Two")) == STALE
    assert heading(second.look()) == YOURS
    assert heading(second.send("rename", factor=phone.id, name="Two")) == YOURS
    assert factors(world)[0].name == "Two"


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


def test_recovery_codes_alone_are_no_factor(bare: World) -> None:
    codes = make_codes(bare.entropy(CODES * CODE_BYTES))
    kept = seal_codes(codes, subject=ALICE, keys=bare.keys, now=bare.now, entropy=bare.entropy)
    run(bare.store.enroll(Enrolment(subject=ALICE, factors=kept), now=bare.now))
    browser = bare.browser()
    asked = browser.request("GET", ENROL_PATH, params={"challenge": bare.challenged(browser)})
    assert (asked.status_code, heading(asked)) == (403, "You have no second factor yet")
    person = Person.begins(bare.browser(), link(bare))
    assert heading(person.page) == CHOOSE
    person.sets_up_an_app(bare)
    assert heading(Person.begins(bare.browser(), link(bare)).page) == PROVE


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
    seat = _seat_id(person, world)
    for step in ("app", "codes", "confirm"):
        assert heading(person.send(step, seat=seat)) == STALE
    assert factors(world) == ()


def test_a_challenge_of_another_browser_leads_nowhere(world: World) -> None:
    ticket = world.challenged(world.browser())
    for text in (ticket, link(world), "", ticket[:-4] + "AAAA"):
        assert world.browser().request("GET", ENROL_PATH, params={"challenge": text}).status_code in (400, 403)


def test_a_key_that_can_not_be_shown_here_is_told(bare: World) -> None:
    registers(Person.begins(bare.browser(relying_party=US), link(bare)), bare, SoftwareAuthenticator())
    person = Person.begins(bare.browser(), link(bare))
    assert "can't be used at this address" in html.unescape(person.page.text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "https://sub.app.example.com"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_origin_changes_nothing(world: World, headers: dict[str, str]) -> None:
    person = Person.begins(world.browser(), link(world))
    person.send("prove", code=world.code())
    (phone,) = factors(world)
    person.send("rename", factor=phone.id, name="Evil", headers=headers)
    assert person.page.status_code == 403
    assert factors(world)[0].name != "Evil"
    text = link(world)
    assert Person.opens(world.browser(), text).send("begin", headers=headers).status_code == 403
    assert heading(Person.begins(world.browser(), text).page) == PROVE


def test_pages_are_neither_kept_nor_framed_and_run_no_script_but_theirs(bare: World) -> None:
    person = Person.begins(bare.browser(relying_party=US), link(bare))
    pages = [Person.opens(bare.browser(), link(bare)).page, person.page, person.send("app"), person.look("key")]
    person.look()
    person.sets_up_an_app(bare)
    pages += [person.page, person.send("codes"), person.look()]
    pages.append(Person.begins(bare.browser(relying_party=US), link(bare)).page)
    registers(person, bare, SoftwareAuthenticator())
    pages.append(Person.begins(bare.browser(relying_party=US), link(bare)).page)
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        hashes = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
        assert re.findall(r"script-src '([^']*)'", policy) == [f"sha256-{hash_}" for hash_ in hashes]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"\son[a-z]+=|\sstyle=|<img|<link|src=", page.text)


def test_the_seat_is_a_cookie_that_nobody_else_sees(bare: World) -> None:
    person = Person.opens(bare.browser(), link(bare))
    response = person.browser.request(
        "POST",
        ENROL_PATH,
        form={"ticket": person.text, "step": "begin"},
        headers={"origin": "null", "sec-fetch-site": "same-origin"},
    )
    (cookie,) = response.headers.get_list("set-cookie")
    assert cookie.startswith(f"{ENROLMENT_COOKIE}=")
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")


def test_a_name_is_shown_as_what_it_is(bare: World) -> None:
    text = link(bare, subject=Subject(ALICE.issuer, "ali\u202ece<script>"))
    page = Person.opens(bare.browser(), text).page.text
    assert "ali[U+202E]ce&lt;script&gt;" in page
    assert quote("ali") not in page_of(text)


def _seat_id(person: Person, world: World) -> str:
    cookie = f"{ENROLMENT_COOKIE}={person.browser.cookies[ENROLMENT_COOKIE]}"
    seat = read_seat([cookie], open_invitation(person.text, world.keys), world.keys, world.now)
    assert seat is not None
    return seat.id


def _with_keys(world: World, person: Person) -> Browser:
    browser = world.browser(relying_party=US)
    browser.cookies = person.browser.cookies
    return browser
