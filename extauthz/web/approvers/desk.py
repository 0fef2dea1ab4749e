"""Who is at the approvers' pages: every request of a page or a form begins here.

The rules: a session counts only while nothing that it rests on is revoked; and a form counts only if a page of this
origin has sent it, made for the session that it comes with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import Refused, RevocationsStale, SubjectBlocked
from extauthz.stepup.approver_session import ApproverSession, read_session
from extauthz.stepup.cookies import set_cookie
from extauthz.stepup.keys import KeyRing
from extauthz.values.identity import APPROVER_COOKIE, Identity, Subject, User
from extauthz.web.approvers import notices
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.notices import Notice
from extauthz.web.rendering import Pages

_log = structlog.get_logger(__name__)


class TurnedAway(Exception):
    """The page that is shown instead is `notice`; `then` is where a login leads back to, or what is opened again.

    `ends`: the session of this browser is over, its cookie goes.
    """

    def __init__(self, notice: Notice, *, then: str = "/", ends: bool = False) -> None:
        super().__init__(notice.title)
        self.notice = notice
        self.then = then
        self.ends = ends


class NotLoggedIn(Exception):
    """Nobody is; whoever logs in goes on to `then`, a path of ours."""

    def __init__(self, then: str) -> None:
        super().__init__(then)
        self.then = then


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all pages share. `url` is the origin of the pages, `clock()` seconds since the epoch, `entropy(n)` n random
    bytes; `operators` are the groups of those who may see decisions.
    """

    url: str
    keys: KeyRing
    revocations: RevocationFeed
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    pages: Pages
    operators: frozenset[str] = frozenset()

    @property
    def authority(self) -> str:
        """The host and port of the pages, as browsers send them."""
        return urlsplit(self.url).netloc

    def session(self, request: Request) -> ApproverSession | None:
        """Who is logged in, if anybody is.

        Raises:
            TurnedAway: what they were logged in by is revoked, or nobody can say.
        """
        session = read_session(request.headers.getlist("cookie"), self.keys, now=self.clock())
        if session is not None:
            self.check(session)
        return session

    def seated(self, request: Request) -> ApproverSession:
        """Who is logged in.

        Raises:
            NotLoggedIn: nobody is.
            TurnedAway: as `session`.
        """
        session = self.session(request)
        if session is None:
            raise NotLoggedIn(here(request))
        return session

    def is_operator(self, session: ApproverSession) -> bool:
        """Whether somebody may see decisions."""
        return not self.operators.isdisjoint(session.approver.groups)

    async def sent(self, request: Request) -> tuple[ApproverSession, dict[str, str]]:
        """Who has sent a form, and what it says.

        Raises:
            TurnedAway: it is no form of our pages, or was made for another session.
            HTTPException: it is malformed.
        """
        if not is_from_own_page(request):
            raise TurnedAway(notices.NOT_OUR_FORM)
        session = self.session(request)
        if session is None:
            raise TurnedAway(notices.NOT_LOGGED_IN)
        fields = await read_form(request)
        if not session.made(fields.get("session", "")):
            raise TurnedAway(notices.STALE)
        return session, fields

    def check(self, session: ApproverSession) -> None:
        """Return if the session still counts.

        Raises:
            TurnedAway: something that it rests on is revoked, or nobody can say.
        """
        subject: Subject = session.approver.subject
        identity = Identity(user=User(sub=subject.id, iss=subject.issuer), credentials=session.credentials)
        try:
            self.revocations.check(identity, now=self.clock())
        except RevocationsStale as error:
            _log.error("revocations-stale", error=str(error))
            raise TurnedAway(notices.UNAVAILABLE) from error
        except Refused as error:
            _log.warning("revoked", reason=error.reason, subject=subject.key)
            blocked = isinstance(error, SubjectBlocked)
            raise TurnedAway(notices.BLOCKED if blocked else notices.SIGNED_OUT, ends=True) from error

    def notice(
        self,
        notice: Notice,
        *,
        then: str = "/",
        ends: bool = False,
        home: str = "",
        headers: Mapping[str, str] = {},
    ) -> Response:
        """A page without a form, as `TurnedAway` says it; `home` is the origin of the pages where this is another."""
        values = {"notice": notice, "again": then if notice.again else None, "home": home}
        response = self.pages.render("approvers/notice.html", status=notice.status, values=values, headers=headers)
        if ends:
            response.headers.append("set-cookie", set_cookie(APPROVER_COOKIE, "", max_age=0))
        return response

    def render(
        self, template: str, session: ApproverSession, values: dict[str, object], *, status: int = 200
    ) -> Response:
        """A page for whoever is logged in."""
        common = {
            "session": session,
            "me": session.approver,
            "now": self.clock(),
            "operator": self.is_operator(session),
        }
        return self.pages.render(f"approvers/{template}", status=status, values={**common, **values}, script="live")


def here(request: Request) -> str:
    """The path and query of a request for one of our pages."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")
