"""Somebody at the enrolment page: a link, a browser, and the forms of the page as they are sent."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE
from web.conftest import SAME_ORIGIN, Browser, World, run

from extauthz.stepup.authenticators import challenge_of
from extauthz.stepup.enrolment import ENROL_PATH, Grounds, invite, open_invitation, page_of, read_seat
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.webauthn_answer import Ceremony
from extauthz.store.protocol import EnrolledFactor
from extauthz.values.identity import ENROLMENT_COOKIE, Subject

CHOOSE, YOURS, PROVE = "Choose your second factor", "Your second factors", "Confirm that it is you"


APP, KEY, CODES_PAGE = "Set up your authenticator app", "Set up a security key or passkey", "Recovery codes"


FOREIGN, USED, EXPIRED = (
    "This link was opened in another browser",
    "This link was used already",
    "This link has expired",
)


STALE = "This page was out of date"


TOO_MANY = "You have as many as there can be"

US = RelyingParty(id="example.com", name="Example", origins=("https://app.example.com",))

_HIDDEN = re.compile(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">')
_SECRET = re.compile(r'<p class="secret"><code>([A-Z2-7 ]+)</code>')
_CODES = re.compile(r"<li><code>([0-9A-Z-]+)</code></li>")


def link(world: World, *, valid_for: float = 3600, subject: Subject = ALICE, grounds: Grounds = "administrator") -> str:
    """The text of a new invitation."""
    return invite(
        subject,
        grounds=grounds,
        issued_at=world.now,
        expires_at=world.now + valid_for,
        keys=world.keys,
        entropy=world.entropy,
    )


def factors(world: World) -> tuple[EnrolledFactor, ...]:
    """Alice's factors."""
    return run(world.store.factors(ALICE))


def heading(response: httpx.Response) -> str:
    """What a page is called."""
    found = re.search(r"<h1>(.*?)</h1>", response.text)
    assert found is not None, response.text
    return html.unescape(found[1])


def codes_on(response: httpx.Response) -> list[str]:
    """The recovery codes that a page shows."""
    return _CODES.findall(response.text)


@dataclass
class Person:
    """Somebody with a link in a browser. `page` is what they see."""

    browser: Browser
    text: str
    page: httpx.Response

    @classmethod
    def opens(cls, browser: Browser, text: str) -> "Person":
        """They open the link."""
        return cls(browser=browser, text=text, page=browser.request("GET", page_of(text)))

    @classmethod
    def begins(cls, browser: Browser, text: str) -> "Person":
        """They open the link and press the button."""
        person = cls.opens(browser, text)
        person.send("begin")
        return person

    def look(self, view: str = "") -> httpx.Response:
        """They open a view of the page."""
        self.page = self.browser.request("GET", page_of(self.text) + (f"&view={view}" if view else ""))
        if self.page.status_code == 303:
            self.page = self.browser.request("GET", self.page.headers["location"])
        return self.page

    def send(
        self, step: str, *, headers: Mapping[str, str] = SAME_ORIGIN, seat: str | None = None, **fields: str
    ) -> httpx.Response:
        """They send a form of the page that they see, and follow where it leads on this page."""
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(self.page.text)}
        form = {"ticket": self.text, "seat": hidden.get("seat", "") if seat is None else seat, "step": step, **fields}
        response = self.browser.request("POST", ENROL_PATH, form=form, headers=headers)
        if response.status_code == 303:
            location = response.headers["location"]
            assert urlsplit(location)[:3] == ("", "", ENROL_PATH)
            assert parse_qs(urlsplit(location).query)["ticket"] == [self.text]
            response = self.browser.request("GET", location)
        self.page = response
        return response

    def secret(self) -> pyotp.TOTP:
        """The app that scans what the page shows."""
        found = _SECRET.search(self.page.text)
        assert found is not None, self.page.text
        return pyotp.TOTP(found[1].replace(" ", ""))

    def sets_up_an_app(self, world: World) -> pyotp.TOTP:
        """They choose an app, scan and type its first code."""
        self.send("app")
        app = self.secret()
        self.send("confirm", code=app.at(int(world.now)))
        return app


def challenge_for(person: Person, world: World, ceremony: Ceremony) -> bytes:
    """The challenge that the page gives to the browser."""
    return challenge_of(seat_id(person, world), ceremony)


def registers(person: Person, world: World, device: SoftwareAuthenticator, name: str = "My key") -> None:
    person.look("key")
    assert heading(person.page) == KEY
    person.send("key", name=name, answer=device.register(challenge_for(person, world, "webauthn.create")))


def seat_id(person: Person, world: World) -> str:
    cookie = f"{ENROLMENT_COOKIE}={person.browser.cookies[ENROLMENT_COOKIE]}"
    seat = read_seat([cookie], open_invitation(person.text, world.keys), world.keys, world.now)
    assert seat is not None
    return seat.id


def with_keys(world: World, person: Person) -> Browser:
    browser = world.browser(relying_party=US)
    browser.cookies = person.browser.cookies
    return browser
