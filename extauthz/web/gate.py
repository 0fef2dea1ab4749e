"""Who may use a ticket: what every page asks before it shows or does anything.

The rule: a page opens only with a ticket of ours, in the browser that holds the ticket's nonce cookie, before it has
expired, and for nobody who was blocked or signed out meanwhile.
"""

from collections.abc import Callable

import msgspec
import structlog
from starlette.requests import Request

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import Refused, RevocationsStale, SubjectBlocked
from extauthz.stepup.cookies import read_secret
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.ticket import InvalidTicket, Purpose, Ticket, open_ticket
from extauthz.values.identity import NONCE_COOKIE, Credential, Identity, Subject, User
from extauthz.web import notices
from extauthz.web.notices import Notice

_log = structlog.get_logger(__name__)


class TurnedAway(Exception):
    """The page that is shown instead is `notice`; `ticket` is whose challenge it is about, if that may be said."""

    def __init__(self, notice: Notice, ticket: Ticket | None = None) -> None:
        super().__init__(notice.title)
        self.notice = notice
        self.ticket = ticket


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """`clock()` is seconds since the epoch; `revocations` is `None` where nobody can revoke anything."""

    keys: KeyRing
    clock: Callable[[], float]
    revocations: RevocationFeed | None = None

    def open(self, request: Request, text: str, *, purpose: Purpose | None = "challenge") -> Ticket:
        """The ticket, if this browser may use it now; one for another `purpose` is none, `None` is any.

        Raises:
            TurnedAway: it may not.
        """
        try:
            ticket = open_ticket(text, self.keys)
        except InvalidTicket:
            raise TurnedAway(notices.MALFORMED) from None
        if purpose not in (None, ticket.purpose):
            raise TurnedAway(notices.MALFORMED)
        # Before anything of the ticket is shown: it may be somebody else's.
        if not ticket.fits(read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)):
            _log.warning("foreign-ticket", subject=ticket.subject.key, ticket=ticket.id)
            raise TurnedAway(notices.FOREIGN, ticket)
        if self.clock() >= ticket.expires_at:
            raise TurnedAway(notices.EXPIRED, ticket)
        self.check_revocations(ticket)
        return ticket

    def check_revocations(self, ticket: Ticket) -> None:
        """Return if nothing that the ticket rests on is revoked by now.

        Raises:
            TurnedAway: it is, or nobody can say.
        """
        self._check(ticket.subject, ticket.credentials, ticket)

    def check_credentials(self, subject: Subject, credentials: tuple[Credential, ...]) -> None:
        """Return if the subject is not blocked by now, and none of these credentials is revoked.

        Raises:
            TurnedAway: it is, or nobody can say.
        """
        self._check(subject, credentials, None)

    def _check(self, subject: Subject, credentials: tuple[Credential, ...], ticket: Ticket | None) -> None:
        if self.revocations is None:
            return
        user = User(sub=subject.id, iss=subject.issuer)
        try:
            self.revocations.check(Identity(user=user, credentials=credentials), now=self.clock())
        except RevocationsStale as error:
            _log.error("revocations-stale", error=str(error))
            raise TurnedAway(notices.UNAVAILABLE) from error
        except Refused as error:
            _log.warning("revoked", reason=error.reason, subject=subject.key, ticket=ticket.id if ticket else None)
            blocked = isinstance(error, SubjectBlocked)
            raise TurnedAway(notices.BLOCKED if blocked else notices.SIGNED_OUT, ticket) from error
