"""People with browsers in front of a stage, and what a person does on the pages of second factors."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from browsing import picture
from e2e.factor_store import FactorStore
from e2e.stage import Stage
from playwright.sync_api import Browser, BrowserContext, Page, expect

from extauthz.stepup.authenticators import USER_HANDLE_BYTES
from extauthz.stepup.relying_party import RelyingParty

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
    """What runs: Envoy and extauthz, what people have, and where pictures of pages are written."""

    stage: Stage
    url: str
    screenshots: Path

    @property
    def factors(self) -> FactorStore:
        return FactorStore(folder=self.stage.folder)

    @property
    def relying_party(self) -> RelyingParty:
        return RelyingParty(id="localhost", origins=(self.url,))


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
        picture(self.page, self.site.screenshots, name)

    def hold_key(self, *, verifies: bool = True) -> None:
        """A security key that is touched at once."""
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

    def plug_in(self, *, verifies: bool = True) -> None:
        """A security key, registered as the product does it."""
        self.hold_key(verifies=verifies)
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
