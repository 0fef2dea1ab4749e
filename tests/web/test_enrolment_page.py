"""The enrolment page as a page: its forms, its cookie, its headers, several tabs."""

import re
from base64 import b64encode
from hashlib import sha256
from urllib.parse import quote

import pytest
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE
from web.conftest import World, run
from web.enrolling import PROVE, STALE, US, YOURS, Person, factors, heading, link, registers

from extauthz.stepup.enrolment import ENROL_PATH, page_of
from extauthz.values.identity import ENROLMENT_COOKIE, Subject


def test_while_the_store_is_away_nothing_is_shown_or_changed(world: World) -> None:
    person = Person.begins(world.browser(), link(world))
    opened = Person.opens(world.browser(), link(world))
    run(world.store.close())
    for page in (opened.send("begin"), person.send("prove", code=world.code()), person.look()):
        assert page.status_code == 503
        assert "retry-after" in page.headers


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
