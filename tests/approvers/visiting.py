"""The approvers' pages with a store, people who are asked, and a clock that only a test moves."""

import asyncio
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import urlencode

import httpx
from approval.asking import NOW, PEOPLE, RULE, asked, terms
from kept_records import Records
from starlette.applications import Starlette
from starlette.types import ASGIApp
from stepup.proofs import counted_entropy, ring
from web.conftest import SAME_ORIGIN, run

from extauthz.approval.config import PersonsSettings
from extauthz.approval.on_call import Schedules
from extauthz.approval.persons import Persons
from extauthz.approval.terms import Terms
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.config import ClientSettings
from extauthz.record.chronicle import Chronicle
from extauthz.stepup.approver_login import LINK_PATH, make_link
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.relying_party import RelyingParty
from extauthz.store.memory import MemoryStore
from extauthz.values.approvals import Approval, Picture, Signals, Stance, key_of
from extauthz.values.identity import Subject
from extauthz.web.approvers.app import create_approvers_app
from extauthz.web.approvers.entry import Provided
from extauthz.web.decisions.looking import Looking

URL = "https://approvals.example.com"
TREASURY = "treasury"
PICTURE = Picture(
    user="uma",
    issuer="https://idp.example.com",
    claims={"tenant": "t1", "roles": ["clerk", "night"], "sub": "uma", "auth_time": NOW - 3600, "iat": NOW, "nbf": NOW},
    actors=("planner", "assistant"),
    workload="spiffe://prod.example.org/ns/shop/sa/bot",
    method="POST",
    scheme="https",
    host="payments.example.com",
    authority="payments.example.com:8443",
    path="/v1/accounts/acc-1/transfers",
    query={"amount": ("250000",)},
    masked=("token",),
    body_bytes=312,
    show={"amount": "250,000.00 EUR", "to": "DE89 3704 0044 0532 0130 00"},
    description="Above 100,000 two of the treasury answer",
    why="variables.amount > 100000.0",
    risk=(Signals(model="payments", score=0.71, level="high", signals=("new-device", "far-away")),),
    client_ip="203.0.113.9",
    place={"country": "SE", "city": "Linköping"},
    revision="sha256:0123456789abcdef",
    decision_id="0123456789abcdef0123456789abcdef",
)
_FIELD = re.compile(r'<input type="hidden" name="session" value="([0-9a-f]+)">')


@dataclass(slots=True)
class World:
    """The parts around the pages. `ruled` are the terms of rules in force."""

    store: MemoryStore = field(default_factory=MemoryStore)
    keys: KeyRing = field(default_factory=ring)
    now: float = NOW
    entropy: Callable[[int], bytes] = field(default_factory=counted_entropy)
    ruled: dict[str, Terms] = field(default_factory=lambda: {RULE: terms()})
    schedules: Schedules = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    persons: Persons = field(default_factory=lambda: Persons(PersonsSettings(claim="email")))
    provided: Provided | None = None
    relying_party: RelyingParty | None = None
    url: str = URL
    looking: Looking | None = None
    records: Records = field(default_factory=Records)
    revocations: RevocationFeed = field(init=False)
    news: ApprovalNews = field(init=False)

    def __post_init__(self) -> None:
        self.revocations = RevocationFeed(self.store, max_staleness=inf)
        self.news = ApprovalNews(self.store)
        run(self.revocations.load())

    @property
    def approvals(self) -> Approvals:
        """What the pages write with."""
        return Approvals(
            store=self.store,
            terms_of=lambda rule, _: self.ruled.get(rule),
            clock=lambda: self.now,
            entropy=self.entropy,
            keep=86_400.0,
            most_open=100,
            schedules=self.schedules,
            chronicle=Chronicle(recorder=self.records, clock=lambda: int(self.now * 1e9)),
        )

    def app(self) -> Starlette:
        """The pages."""
        return create_approvers_app(
            url=self.url,
            approvals=self.approvals,
            news=self.news,
            store=self.store,
            keys=self.keys,
            revocations=self.revocations,
            client=ClientSettings(),
            persons=self.persons,
            claims=self.claims,
            clock=lambda: self.now,
            entropy=self.entropy,
            provided=self.provided,
            relying_party=self.relying_party,
            looking=self.looking,
        )

    def opened(self, id_: str = "a1", **changes: Any) -> Approval:
        """An approval that is in the store: what Uma asks for, unless `changes` say otherwise."""
        fields = {"binding": f"b-{id_}", "picture": PICTURE, **changes}
        new = asked(id=id_, **fields)
        key = key_of(subject=new.subject, session=new.session, holder=new.holder, rule=new.rule, binding=new.binding)
        new = asked(id=id_, key=key, **fields)
        run(self.store.open_approval(new, keep=86_400.0, most_open=1000, now=self.now))
        return self.kept(id_)

    def kept(self, id_: str = "a1") -> Approval:
        """The approval as it is in the store."""
        found = run(self.store.approval(id_))
        assert found is not None
        return found

    def link(self, person: str, *groups: str, valid_for: float = 3600.0) -> str:
        """The text of an administrator's link."""
        return make_link(
            Subject(PEOPLE, f"{person}-sub"),
            person=person,
            groups=groups,
            issued_at=self.now,
            expires_at=self.now + valid_for,
            keys=self.keys,
            entropy=self.entropy,
        )

    def visitor(self) -> "Visitor":
        """A new browser."""
        return Visitor(self.app())

    def logged_in(self, person: str, *groups: str) -> "Visitor":
        """The browser of somebody who has used a link."""
        visitor = self.visitor()
        text = self.link(person, *groups)
        visitor.get(f"{LINK_PATH}?{urlencode({'link': text})}")
        response = visitor.post(LINK_PATH, link=text)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        return visitor


class Visitor:
    """A browser's cookies, and requests to the pages; it follows no redirect by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.cookies = httpx.Cookies()
        self.page = ""

    def request(
        self,
        method: str,
        target: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        url: str = URL,
    ) -> httpx.Response:
        """One request over https."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=url, cookies=self.cookies) as client:
                sent = {"accept": "text/html,*/*;q=0.8", **(headers or {})}
                response = await client.request(method, target, data=form, headers=sent)
                self.cookies = client.cookies
                return response

        return run(send())

    def get(self, target: str) -> httpx.Response:
        """Open a page."""
        response = self.request("GET", target)
        self.page = response.text
        return response

    def post(self, target: str, headers: Mapping[str, str] = SAME_ORIGIN, **fields: str) -> httpx.Response:
        """Send a form of the page that was opened last, with what it carries for its session."""
        found = _FIELD.search(self.page)
        carried = {"session": found[1]} if found is not None else {}
        return self.request("POST", target, form={**carried, **fields}, headers=headers)

    def answers(self, stance: Stance, reason: str = "", id_: str = "a1") -> httpx.Response:
        """Open an approval and answer it."""
        self.get(f"/approvals/{id_}")
        return self.post(f"/approvals/{id_}/vote", stance=stance, reason=reason)


def heading(response: httpx.Response) -> str:
    """What a page is called."""
    found = re.search(r"<h1>(.*?)</h1>", response.text)
    assert found is not None, response.text
    return html.unescape(found[1])


def words(response: httpx.Response) -> str:
    """What a page says, without its markup."""
    body = response.text.partition("</header>")[2] or response.text
    return " ".join(html.unescape(re.sub(r"<script>.*?</script>|<[^>]+>", " ", body, flags=re.DOTALL)).split())


async def first_events(visitor: Visitor, count: int) -> list[bytes]:
    """The first so many pieces of the stream of news."""
    pieces: list[bytes] = []
    enough = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            pieces.append(str(message["status"]).encode())
        elif message.get("body"):
            pieces.append(message["body"])
        if len(pieces) >= count:
            enough.set()

    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/events",
        "raw_path": b"/events",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"approvals.example.com"), (b"cookie", cookies.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
    }
    await visitor.app(scope, receive, send)
    return pieces
