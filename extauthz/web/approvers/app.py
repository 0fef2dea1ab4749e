"""The approvers' pages (design section 4): which address is whose, and what is shown where there is no page.

The rules: they have one origin of their own, so that no application's script can press their buttons, and answer under
no other name; whatever goes wrong ends in a page of ours that tells nothing of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from extauthz.approval.persons import Persons
from extauthz.check.approval_absences import Absences
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approval_viewing import Viewing
from extauthz.check.approvals import Approvals
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import IssuerUnavailable, StateUnavailable
from extauthz.identity.config import ClientSettings
from extauthz.stepup.approver_login import LINK_PATH, LOGGED_IN_PATH, LOGIN_PATH
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.return_path import PAGES
from extauthz.store.protocol import Store
from extauthz.web.approvers import notices
from extauthz.web.approvers.away import ABSENCES_PATH, Away
from extauthz.web.approvers.confirming import Confirming
from extauthz.web.approvers.desk import Desk, NotLoggedIn, TurnedAway
from extauthz.web.approvers.elsewhere import Elsewhere
from extauthz.web.approvers.entry import Entry, Provided
from extauthz.web.approvers.live import Live
from extauthz.web.approvers.one import OneApproval
from extauthz.web.approvers.overview import Overview
from extauthz.web.json_api import wants_json
from extauthz.web.offers import Means
from extauthz.web.pages import create_app
from extauthz.web.rendering import Pages

if TYPE_CHECKING:
    from extauthz.web.decisions.looking import Looking

EVENTS_PATH: Final = "/events"
_RETRY_SECONDS: Final = "5"

_log = structlog.get_logger(__name__)


def create_approvers_app(
    *,
    url: str,
    approvals: Approvals,
    news: ApprovalNews,
    store: Store,
    keys: KeyRing,
    revocations: RevocationFeed,
    client: ClientSettings,
    persons: Persons,
    claims: tuple[str, ...],
    clock: Callable[[], float],
    entropy: Callable[[int], bytes],
    provided: Provided | None = None,
    relying_party: RelyingParty | None = None,
    beside: Sequence[BaseRoute] = (),
    looking: "Looking | None" = None,
) -> Starlette:
    """The application, at the origin `url`. `clock()` is seconds since the epoch, `entropy(n)` n random bytes.

    `provided` is where approvers log in, `relying_party` as whom security keys are asked for if `url` is one of its
    origins. `beside` is what is served for programs: it answers for itself. `looking` is how operators find decisions.
    """
    pages = Pages("approvers/approvers.css", "approvers/decisions/decisions.css")
    desk = Desk(
        url=url,
        keys=keys,
        revocations=revocations,
        clock=clock,
        entropy=entropy,
        pages=pages,
        operators=frozenset() if looking is None else looking.groups,
    )
    viewing = Viewing(approvals=approvals)
    entry = Entry(desk=desk, store=store, persons=persons, claims=claims, provided=provided)
    one = OneApproval(
        desk=desk, viewing=viewing, confirming=Confirming(desk=desk, store=store, chronicle=approvals.chronicle)
    )
    away = Away(desk=desk, absences=Absences(approvals=approvals))
    elsewhere = Elsewhere(url=url, api=bool(beside))
    rest = _Rest(desk=desk, entry=entry, elsewhere=elsewhere)
    # What takes a second factor is what takes it everywhere, with the means of this origin.
    means = Means(
        relying_party=relying_party,
        providers={} if provided is None else {provided.settings.issuer: provided.client},
    )
    factors = create_app(
        store=store,
        keys=keys,
        client=client,
        clock=clock,
        entropy=entropy,
        means=means,
        revocations=revocations,
        chronicle=approvals.chronicle,
    )
    app = Starlette(
        routes=[
            Route("/", Overview(desk=desk, viewing=viewing).serve, methods=["GET"]),
            Route("/approvals/{id}", one.show, methods=["GET"]),
            Route("/approvals/{id}/confirm", one.confirm, methods=["POST"]),
            Route("/approvals/{id}/{act}", one.act, methods=["POST"]),
            Route(ABSENCES_PATH, away.serve, methods=["GET", "POST"]),
            Route(EVENTS_PATH, Live(desk, news).serve, methods=["GET"]),
            Route(LOGIN_PATH, entry.login, methods=["GET", "POST"]),
            Route(LOGGED_IN_PATH, entry.come_back, methods=["GET"]),
            Route(LINK_PATH, entry.link, methods=["GET", "POST"]),
            Route("/logout", entry.logout, methods=["POST"]),
            Route("/favicon.ico", rest.no_picture, methods=["GET"]),
            *_of_decisions(desk, looking),
            *beside,
        ],
        middleware=[Middleware(_OneOrigin, desk=desk, factors=factors, beside=tuple(beside), elsewhere=elsewhere)],
        exception_handlers={
            TurnedAway: rest.turn_away,
            NotLoggedIn: rest.let_log_in,
            HTTPException: rest.refuse_status,
            StateUnavailable: rest.refuse_without_store,
            IssuerUnavailable: rest.refuse_without_provider,
            Exception: rest.refuse_after_failure,
        },
    )
    # A redirect to the same path with a slash would be built from the Host header.
    app.router.redirect_slashes = False
    return app


def _of_decisions(desk: Desk, looking: "Looking | None") -> list[Route]:
    """The pages for operators, if there are any."""
    if looking is None:
        return []
    # Imported for a server that has these pages: they read records, and no other server does.
    from extauthz.web.decisions.routes import decision_routes

    return decision_routes(desk, looking)


class _OneOrigin:
    """Answers under the one name of the pages; hands what takes a second factor to the pages that do.

    Programs may call this server by another name: they bring their token, and no cookie counts for them.
    """

    def __init__(
        self, app: ASGIApp, *, desk: Desk, factors: ASGIApp, beside: Sequence[BaseRoute], elsewhere: Elsewhere
    ) -> None:
        self._app = app
        self._desk = desk
        self._factors = factors
        self._beside = beside
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        hosts = request.headers.getlist("host")
        if any(route.matches(scope)[0] is not Match.NONE for route in self._beside):
            await self._app(scope, receive, send)
        elif [host.lower() for host in hosts] != [self._desk.authority]:
            page = self._desk.notice(notices.MISDIRECTED, home=self._desk.url)
            answer = self._elsewhere.misdirected() if wants_json(request) else page
            await answer(scope, receive, send)
        elif scope["path"].startswith(PAGES):
            await self._factors(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    desk: Desk
    entry: Entry
    elsewhere: Elsewhere

    async def no_picture(self, _: Request) -> Response:
        """GET: what browsers ask for beside every page; there is none."""
        return Response(status_code=204, headers={**self.desk.pages.headers, "cache-control": "max-age=86400"})

    async def turn_away(self, _: Request, error: Exception) -> Response:
        """Who may not use the page, and why."""
        assert isinstance(error, TurnedAway)  # noqa: S101 - it is called for nothing else
        return self.desk.notice(error.notice, then=error.then, ends=error.ends)

    async def let_log_in(self, request: Request, error: Exception) -> Response:
        """Who is not logged in."""
        assert isinstance(error, NotLoggedIn)  # noqa: S101 - it is called for nothing else
        return self.entry.login_page(request, error.then, status=403)

    async def refuse_status(self, request: Request, error: Exception) -> Response:
        """What has no page, or is not read."""
        if wants_json(request):
            return self.elsewhere.refused(request, error)
        status = error.status_code if isinstance(error, HTTPException) else notices.FAILED.status
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
        headers = {"allow": ", ".join(sorted(allowed.split(", ")))} if allowed else {}
        return self.desk.notice(notices.BY_STATUS.get(status, notices.FAILED), headers=headers)

    async def refuse_without_store(self, _: Request, error: Exception) -> Response:
        """The store is out of reach."""
        _log.error("state-unavailable", error=str(error))
        return self.desk.notice(notices.UNAVAILABLE, headers={"retry-after": _RETRY_SECONDS})

    async def refuse_without_provider(self, _: Request, error: Exception) -> Response:
        """The provider is out of reach."""
        _log.error("issuer-unavailable", error=str(error))
        return self.desk.notice(notices.PROVIDER_AWAY, headers={"retry-after": _RETRY_SECONDS})

    async def refuse_after_failure(self, _: Request, error: Exception) -> Response:
        """A mistake of ours."""
        _log.error("page-failed", exc_info=error)
        return self.desk.notice(notices.FAILED)
