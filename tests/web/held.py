"""Alice waits for an approval: a real store and service around the waiting page, and somebody who answers."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from stepup.proofs import ALICE, NOW, SESSION, alice, demand, view
from web.conftest import Browser, World, keep, run

from extauthz.approval.terms import BreakGlassTerms, Circle, Terms
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals, Pending
from extauthz.check.waiting import Waiting
from extauthz.stepup.binding import glass_binding
from extauthz.stepup.cookies import make_secret, read_secret
from extauthz.stepup.waiting import offer
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Approval, Approver, Picture, Requesters, Stance
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, Hold, HoldOffer
from extauthz.values.identity import HOLDER_COOKIE, Subject, holder_of_cookie
from extauthz.values.request import Caller, RequestView

RULE = "payments/four-eyes"
WAITING = "/.extauthz/waiting"
EVENTS = f"{WAITING}/events"
DUTY = "on-duty"
GLASS = BreakGlassOffer(
    by=Approver(subject=ALICE, person="alice", groups=frozenset({DUTY})),
    demand=demand(RULE, binding=glass_binding(RULE), uses=1, description="Two people of treasury release transfers"),
    valid_for=600.0,
)
TERMS = Terms(
    circle=Circle(groups=frozenset({"treasury"})),
    min=2,
    valid_for=300.0,
    uses=1,
    cooldown=60.0,
    break_glass=BreakGlassTerms(groups=frozenset({DUTY}), factors=frozenset({"otp"}), max_age=300.0, valid_for=600.0),
)


def asks(glass: BreakGlassOffer | None) -> ApprovalDemand:
    return ApprovalDemand(
        rule=RULE,
        binding=f"action:{RULE}",
        min=2,
        expires_in=900.0,
        hold=20.0,
        bind="action",
        subject=ALICE,
        session=SESSION,
        requesters=Requesters(caller="alice", persons=("alice",), subjects=(ALICE,)),
        description="Two people of treasury release transfers above 100,000",
        show={"to": "DE89 3704 0044 0532 0130 00", "amount": "250,000.00 EUR"},
        break_glass=glass,
    )


class Desk:
    """The service behind a world's pages."""

    def __init__(self, world: World, terms: Terms | None = TERMS) -> None:
        self._world = world
        self.terms = terms
        self.news = ApprovalNews(world.store)
        self.approvals = Approvals(
            store=world.store,
            terms_of=lambda _rule, _now: self.terms,
            clock=lambda: world.now,
            entropy=world.entropy,
            keep=86_400.0,
            most_open=50,
            schedules={},
        )
        world.waiting = Waiting(approvals=self.approvals, news=self.news, store=world.store, clock=lambda: world.now)

    async def asked(
        self, cookies: str, *, request: RequestView | None = None, glass: BreakGlassOffer | None = None
    ) -> HoldOffer:
        """What a browser with these cookies is given when it goes where an approval is needed."""
        http = request or view(headers={"cookie": (cookies,)} if cookies else {})
        known = read_secret((cookies,), HOLDER_COOKIE)
        secret = known or make_secret(self._world.entropy(32))
        pending = await self.approvals.ask(asks(glass), holder=holder_of_cookie(secret), picture=picture(), since=None)
        assert isinstance(pending, Pending)
        return offer(
            Hold(rule=RULE, demands=(asks(glass),), approvals=(pending.approval.id,)),
            identity=alice(),
            request=http,
            caller=Caller.NAVIGATION if http.http and http.http.method == "GET" else Caller.FORM_POST,
            groups=(DUTY,),
            holder_secret=None if known else secret,
            keys=self._world.keys,
            now=self._world.now,
            entropy=self._world.entropy,
        )

    def sent(
        self, browser: Browser, *, request: RequestView | None = None, glass: BreakGlassOffer | None = None
    ) -> str:
        """What Envoy does for a navigation that needs an approval: cookies, and the ticket of the address."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        made = run(self.asked(cookies, request=request, glass=glass))
        keep(browser, made)
        return parse_qs(urlsplit(made.location).query)["ticket"][0]

    async def vote(self, stance: Stance = "approve", *, by: str = "bob", reason: str = "seen") -> Approval:
        """Somebody of the treasury answers what waits."""
        (approval,) = await self.all("pending")
        subject = Subject("https://people.example.com", by)
        answered = await self.approvals.vote(
            approval.id,
            Approver(subject=subject, person=by, groups=frozenset({"treasury"})),
            stance=stance,
            reason=reason,
            proof=None,
            channel="page",
        )
        assert isinstance(answered, Approval)
        return answered

    async def all(self, state: str | None = None) -> list[Approval]:
        """All approvals, or those in a state."""
        page = await self.approvals.store.approvals(ApprovalQuery(), most=100)
        return [one for one in page.approvals if state in (None, one.state)]

    def grants(self) -> list[str]:
        """The factors of the grants that Alice has in her session."""
        found = run(self._world.store.look_up(ALICE, SESSION, fingerprint="", now=self._world.now))
        return sorted(grant.factor for grant in found.grants)


def picture() -> Picture:
    asked = asks(None)
    return Picture(user="alice", description=asked.description, show=dict(asked.show), path="/pay/a1")


def without_glass(terms: Terms) -> Terms:
    return replace(terms, break_glass=None)


def with_glass_of(terms: Terms, issuer: str) -> Terms:
    assert terms.break_glass is not None
    return replace(terms, break_glass=replace(terms.break_glass, issuer=issuer))


__all__ = [
    "ALICE",
    "DUTY",
    "EVENTS",
    "GLASS",
    "NOW",
    "RULE",
    "TERMS",
    "WAITING",
    "Desk",
    "with_glass_of",
    "without_glass",
]
