"""What the enrolment page adds, renames and removes: apps, keys, recovery codes."""

import html
import re

import pytest
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE
from web.conftest import World, run
from web.enrolling import (
    CHOOSE,
    CODES_PAGE,
    PROVE,
    STALE,
    TOO_MANY,
    US,
    YOURS,
    Person,
    challenge_for,
    codes_on,
    factors,
    heading,
    link,
    registers,
)

from extauthz.check.enrolling import MOST_AUTHENTICATORS
from extauthz.stepup.enrolment import ENROL_PATH
from extauthz.stepup.recovery import CODE_BYTES, CODES, make_codes
from extauthz.store.factor_secret import seal_codes
from extauthz.store.protocol import Enrolment


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
    assert other.send("prove", answer=wrong.sign_in(challenge_for(other, bare, "webauthn.get"))).status_code == 422
    assert heading(other.send("prove", answer=device.sign_in(challenge_for(other, bare, "webauthn.get")))) == YOURS
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
    answer = SoftwareAuthenticator().register(challenge_for(person, bare, "webauthn.create"))
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
        answer = device.register(challenge_for(person, bare, "webauthn.create"), origin=origin)
        person.send("key", name="x", answer=answer)
        assert len(factors(bare)) == had
    person = Person.begins(bare.browser(relying_party=both), link(bare))
    for origin, shown in ((sibling, PROVE), (here, YOURS)):
        answer = device.sign_in(challenge_for(person, bare, "webauthn.get"), origin=origin)
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
    person.send(
        "key", name=name, answer=SoftwareAuthenticator().register(challenge_for(person, bare, "webauthn.create"))
    )
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


def test_a_key_that_can_not_be_shown_here_is_told(bare: World) -> None:
    registers(Person.begins(bare.browser(relying_party=US), link(bare)), bare, SoftwareAuthenticator())
    person = Person.begins(bare.browser(), link(bare))
    assert "can't be used at this address" in html.unescape(person.page.text)
