"""Somebody who asks for pages and proves, without a browser: what a browser sends, and nothing that it would hide."""

from urllib.parse import parse_qs, urlsplit

import httpx
from e2e.factor_store import FactorStore
from e2e.stage import Stage

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "accept": "text/html"}
PAGE = "/.extauthz/challenge"


class Owner:
    """Somebody with cookies, on one connection, logged in at the application; with an authenticator app whose codes
    are each handed out once, and of which there are two at a time.
    """

    def __init__(
        self, on: Stage, sub: str, *, listener: str = "https", host: str | None = None, token: str | None = None
    ) -> None:
        self.on, self.sub = on, sub
        self._host = host
        self.token = token if token is not None else on.token(sub, sid=f"session-of-{sub}")
        self.authority = host if host is not None else on.url(listener).removeprefix("https://")
        self.client = on.client(host=self.authority, listener=listener)
        self.client.cookies.set("session", self.token)
        self._codes = 0

    def asks(self, path: str, **headers: str) -> httpx.Response:
        """Navigate to `path`."""
        return self.client.get(path, headers={**NAVIGATION, **headers})

    def is_challenged(self, path: str) -> bool:
        return is_challenge(self.asks(path))

    def ticket(self, path: str) -> str:
        """That of the challenge of `path`."""
        return ticket_of(self.asks(path))

    def enroll(self) -> None:
        """Get an authenticator app."""
        self._app = FactorStore(folder=self.on.folder).add_app(self.sub)

    def code(self) -> str:
        """One that was not handed out yet."""
        assert self._codes < 2, "there are two codes at a time"
        self._codes += 1
        return self._app(self._codes - 1)

    def answers(self, ticket: str, code: str, **fields: str) -> httpx.Response:
        """Send the form of the page."""
        sent = {"origin": f"https://{self.authority}", "sec-fetch-site": "same-origin"}
        return self.client.post(PAGE, data={"ticket": ticket, "factor": "totp", "code": code, **fields}, headers=sent)

    def proves(self, path: str) -> None:
        """Meet the challenge of `path`."""
        assert self.answers(self.ticket(path), self.code()).status_code == 303

    def goes_to(self, listener: str) -> "Owner":
        """The same browser at another listener, with the cookies that it has by now: they know no ports."""
        there = Owner(self.on, self.sub, listener=listener, host=self._host, token=self.token)
        there.client.cookies.update(self.cookies)
        return there

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.client.cookies)


def is_challenge(response: httpx.Response) -> bool:
    """Whether a navigation was led to the page."""
    return response.status_code == 302 and response.headers["location"].startswith(f"{PAGE}?ticket=")


def ticket_of(response: httpx.Response) -> str:
    """The ticket that a navigation was led to the page with."""
    assert is_challenge(response), f"{response.status_code}: {response.text}"
    return parse_qs(urlsplit(response.headers["location"]).query)["ticket"][0]
