"""The pages under `/.extauthz/` that a browser proves itself on (design section 4).

The rules: a page opens only with a ticket of ours, in the browser that holds the ticket's nonce cookie, before it has
expired; and only a form that this page has sent proves anything. Envoy serves them on the application's own origin
with ext_authz switched off there, so nobody has looked at these requests before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from extauthz.check.enrolling import Enrolling
from extauthz.check.proof import LockedOut, NotProven, ProofOutcome, Proven, TicketUsed, prove_totp
from extauthz.errors import StateUnavailable
from extauthz.identity.config import ClientSettings
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.enrolment import ENROL_PATH
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.return_path import PAGES
from extauthz.stepup.ticket import InvalidTicket, Ticket, open_ticket
from extauthz.store.protocol import SpentTicket, Store
from extauthz.values.decisions import ProofFailure
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE, holder_of_cookie
from extauthz.web import notices
from extauthz.web.address import browser_address
from extauthz.web.enrolment import EnrolmentPages
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.notices import Notice
from extauthz.web.rendering import Pages, duration

DONE_PATH: Final = f"{PAGES}done"
"""Where a window that a script has opened ends: it says so to the pages of this origin, and closes."""

_RETRY_SECONDS: Final = "5"
_CLOSE: Final = "close"

_log = structlog.get_logger(__name__)


def create_app(
    *,
    store: Store,
    keys: KeyRing,
    client: ClientSettings,
    clock: Callable[[], float],
    entropy: Callable[[int], bytes],
    relying_party: RelyingParty | None = None,
) -> Starlette:
    """The application. `clock()` is seconds since the epoch, `entropy(n)` n random bytes."""
    templates = Pages()
    pages = _ChallengePages(store=store, keys=keys, client=client, clock=clock, entropy=entropy, pages=templates)
    enrolment = EnrolmentPages(
        enrolling=Enrolling(store=store, keys=keys, clock=clock, entropy=entropy),
        relying_party=relying_party,
        client=client,
        pages=templates,
    )
    app = Starlette(
        routes=[
            Route(CHALLENGE_PATH, pages.serve, methods=["GET", "POST"]),
            Route(ENROL_PATH, enrolment.serve, methods=["GET", "POST"]),
            Route(DONE_PATH, pages.done, methods=["GET"]),
        ],
        exception_handlers={
            HTTPException: pages.refuse_status,
            StateUnavailable: pages.refuse_without_store,
            Exception: pages.refuse_after_failure,
        },
    )
    # A redirect to the same path with a slash would be built from the Host header.
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChallengePages:
    store: Store
    keys: KeyRing
    client: ClientSettings
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    pages: Pages

    async def serve(self, request: Request) -> Response:
        """GET shows the form, POST tries the code; one route, so that a wrong method is told of both."""
        return await (self.prove(request) if request.method == "POST" else self.show(request))

    async def show(self, request: Request) -> Response:
        """GET: the form for the ticket in the address."""
        text = request.query_params.getlist("ticket")
        opened = self._open(request, text[0] if len(text) == 1 else "")
        if isinstance(opened, Response):
            return opened
        if not any("totp" in demand.factors for demand in opened.demands):
            return self._notice(notices.NOT_ACCEPTED, opened)
        factors = await self.store.factors(opened.subject)
        if not any(factor.kind == "totp" and factor.confirmed for factor in factors):
            return self._notice(notices.NOT_ENROLLED, opened)
        return self._form(text[0], opened, status=200, closes=request.query_params.get("then") == _CLOSE)

    async def done(self, _: Request) -> Response:
        """GET: the end of a window that a script has opened. It says nothing of anybody."""
        return self.pages.render("done.html", status=200, values={}, headers=self.pages.done_headers)

    async def prove(self, request: Request) -> Response:
        """POST: try the code."""
        if not is_from_own_page(request):
            return self._notice(notices.NOT_OUR_FORM)
        fields = await read_form(request)
        text = fields.get("ticket", "")
        opened = self._open(request, text)
        if isinstance(opened, Response):
            return opened
        known = read_secret(request.headers.getlist("cookie"), HOLDER_COOKIE)
        secret = known if known is not None else make_secret(self.entropy(COOKIE_SECRET_BYTES))
        outcome = await prove_totp(
            store=self.store,
            keys=self.keys,
            subject=opened.subject,
            session=opened.session,
            holder=holder_of_cookie(secret),
            demands=opened.demands,
            code=fields.get("code", ""),
            address=browser_address(request, self.client),
            now=self.clock(),
            entropy=self.entropy,
            ticket=SpentTicket(id=opened.id, expires_at=opened.expires_at),
        )
        _log.info("proof", outcome=outcome.reason, subject=opened.subject.key, ticket=opened.id)
        response = self._after(outcome, text, opened, closes=fields.get("then") == _CLOSE)
        if isinstance(outcome, Proven) and known is None:
            response.headers.append("set-cookie", set_cookie(HOLDER_COOKIE, secret))
        return response

    def _open(self, request: Request, text: str) -> Ticket | Response:
        """The ticket, if this browser may use it now; else the page that says why not."""
        try:
            ticket = open_ticket(text, self.keys)
        except InvalidTicket:
            return self._notice(notices.MALFORMED)
        # Before anything of the ticket is shown: it may be somebody else's.
        if not ticket.fits(read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)):
            _log.warning("foreign-ticket", subject=ticket.subject.key, ticket=ticket.id)
            return self._notice(notices.FOREIGN, ticket)
        if self.clock() >= ticket.expires_at:
            return self._notice(notices.EXPIRED, ticket)
        return ticket

    def _after(self, outcome: ProofOutcome, text: str, ticket: Ticket, *, closes: bool) -> Response:
        match outcome:
            case Proven():
                then = DONE_PATH if closes else ticket.return_path
                return RedirectResponse(then, status_code=303, headers=self.pages.headers)
            case LockedOut():
                wait = duration(outcome.retry_after)
                error = f"Too many wrong codes. Try again in {wait}."
                return self._form(text, ticket, status=429, error=error, closes=closes, retry_after=outcome.retry_after)
            case TicketUsed():
                return self._notice(notices.USED, ticket)
            case NotProven():
                return self._after_failure(outcome.reason, text, ticket, closes=closes)
            case _:
                assert_never(outcome)

    def _after_failure(self, reason: ProofFailure, text: str, ticket: Ticket, *, closes: bool) -> Response:
        match reason:
            case "wrong-code":
                error = "That code is not right. Enter the six digits that your app shows now, without blanks."
                return self._form(text, ticket, status=422, error=error, closes=closes)
            case "code-used":
                error = "That code was used already. Wait until your app shows the next one."
                return self._form(text, ticket, status=422, error=error, closes=closes)
            case "not-enrolled":
                return self._notice(notices.NOT_ENROLLED, ticket)
            case "factor-not-accepted":
                return self._notice(notices.NOT_ACCEPTED, ticket)
            case _:
                assert_never(reason)

    def _form(
        self,
        text: str,
        ticket: Ticket,
        *,
        status: int,
        closes: bool,
        error: str = "",
        retry_after: float | None = None,
    ) -> Response:
        headers = {} if retry_after is None else {"retry-after": str(int(retry_after) + 1)}
        values = {
            "ticket_text": text,
            "ticket": ticket,
            "error": error,
            "closes": closes,
            "action_path": CHALLENGE_PATH,
        }
        return self.pages.render("challenge.html", status=status, values=values, headers=headers)

    def _notice(
        self, notice: Notice, ticket: Ticket | None = None, *, headers: dict[str, str] | None = None
    ) -> Response:
        again = ticket.return_path if ticket is not None and notice.again else None
        return self.pages.render(
            "notice.html",
            status=notice.status,
            values={"notice": notice, "again": again},
            headers=headers if headers is not None else {},
        )

    async def refuse_status(self, _: Request, error: Exception) -> Response:
        """What has no page, or is not read."""
        status = error.status_code if isinstance(error, HTTPException) else notices.FAILED.status
        headers = {"allow": "GET, HEAD, POST"} if status == notices.WRONG_METHOD.status else {}
        return self._notice(notices.BY_STATUS.get(status, notices.FAILED), headers=headers)

    async def refuse_without_store(self, _: Request, error: Exception) -> Response:
        """The store is out of reach."""
        _log.error("state-unavailable", error=str(error))
        return self._notice(notices.UNAVAILABLE, headers={"retry-after": _RETRY_SECONDS})

    async def refuse_after_failure(self, _: Request, error: Exception) -> Response:
        """A mistake of ours."""
        _log.error("page-failed", exc_info=error)
        return self._notice(notices.FAILED)
