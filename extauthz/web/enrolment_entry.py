"""Who gets in at the enrolment page: with a link, from a challenge, or by a new login at their own provider.

The rules: opening a link changes nothing, because mail scanners open links; a button takes the seat, and only the
browser that took it goes on. Whoever comes from a challenge is that browser, but the session behind it may be stolen:
without a factor it leads no further than to the provider, and only who has logged in there anew gets a first one.
"""

from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.seating import Seating
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.enrolment import (
    PROVEN_SECONDS,
    SESSION_INVITATION,
    Grounds,
    Invitation,
    Seat,
    invite,
    open_invitation,
    read_seat,
)
from extauthz.stepup.ticket import InvalidTicket, Ticket, hash_nonce
from extauthz.values.identity import NONCE_COOKIE
from extauthz.web import notices
from extauthz.web.enrolment_forms import EnrolmentForms
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.offers import Means

_log = structlog.get_logger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The ways to a seat."""

    gate: Gate
    seating: Seating
    means: Means
    forms: EnrolmentForms

    def open(self, text: str) -> Invitation:
        """The invitation, if nothing that it rests on is revoked by now.

        Raises:
            TurnedAway: it is none, or no good.
        """
        try:
            invitation = open_invitation(text, self.seating.keys)
        except InvalidTicket:
            raise TurnedAway(notices.LINK_MALFORMED) from None
        self.gate.check_credentials(invitation.subject, invitation.credentials)
        return invitation

    def seat(self, request: Request, invitation: Invitation) -> Seat | None:
        """This browser's seat; one that has ended is told from none, which would mean that somebody has the link."""
        fields = request.headers.getlist("cookie")
        seat = read_seat(fields, invitation, self.seating.keys, now=0.0)
        if seat is not None and self.seating.clock() >= seat.until:
            is_link = invitation.grounds == "administrator" and not seat.proven
            raise TurnedAway(notices.LINK_EXPIRED if is_link else notices.LINK_ENDED)
        return seat

    def show(self, request: Request, text: str, invitation: Invitation) -> Response:
        """What everybody sees who opens the link and has no seat."""
        if invitation.grounds != "administrator":
            return self.refuse(invitation)
        if self.seating.clock() >= invitation.expires_at:
            return self.forms.notice(notices.LINK_EXPIRED)
        response = self.forms.render("enroll-begin.html", text, invitation)
        if read_secret(request.headers.getlist("cookie"), NONCE_COOKIE) is None:
            nonce = make_secret(self.seating.entropy(COOKIE_SECRET_BYTES))
            response.headers.append("set-cookie", set_cookie(NONCE_COOKIE, nonce))
        return response

    def refuse(self, invitation: Invitation) -> Response:
        """What is told to a browser without a seat. What comes from a challenge was taken when it was made."""
        if invitation.grounds != "administrator":
            return self.forms.notice(notices.BEGUN_AGAIN)
        _log.warning("foreign-enrolment-link", subject=invitation.subject.key, link=invitation.id)
        return self.forms.notice(notices.LINK_FOREIGN)

    async def begin(self, request: Request, text: str, invitation: Invitation) -> Response:
        """Take the seat, once it is sure that this browser will be known again."""
        if self.seat(request, invitation) is not None:
            return self.forms.to(text)
        if invitation.grounds != "administrator":
            return self.refuse(invitation)
        nonce = read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)
        if nonce is None:
            return self.forms.notice(notices.NO_COOKIE, text)
        if self.seating.clock() >= invitation.expires_at:
            return self.forms.notice(notices.LINK_EXPIRED)
        seat = await self.seating.take_seat(invitation, hash_nonce(nonce))
        if seat is None:
            return self.refuse(invitation)
        _log.info("enrolment-begun", subject=invitation.subject.key, link=invitation.id, grounds=invitation.grounds)
        return self.forms.to(text, seat=seat)

    async def come_from_challenge(self, request: Request) -> Response:
        """Whoever is challenged may change their factors, with one that they have: the ticket says who they are."""
        texts = request.query_params.getlist("challenge")
        text = texts[0] if len(texts) == 1 else ""
        ticket = replace(self.gate.open(request, text), closes=request.query_params.get("then") == "close")
        if any(factor.counts for factor in await self.seating.store.factors(ticket.subject)):
            return await self._sit(ticket, "session", SESSION_INVITATION)
        return self._without_factor(text, ticket)

    async def missing(self, text: str, ticket: Ticket) -> Response:
        """What whoever is challenged sees who has no factor that would do; `text` is the ticket's."""
        if any(factor.counts for factor in await self.seating.store.factors(ticket.subject)):
            return self.forms.missing(text, ticket, provider="")
        return self._without_factor(text, ticket)

    def client(self, ticket: Ticket) -> OidcClient | None:
        """Where a new login of the ticket's subject is enough for a first factor."""
        client = self.means.provider_for(ticket)
        return client if client is not None and client.lets_enroll else None

    async def come_from_login(self, ticket: Ticket) -> Response:
        """The seat of who has just logged in: in this browser, as the subject of this ticket for an enrolment."""
        return await self._sit(ticket, "provider", PROVEN_SECONDS)

    def _without_factor(self, text: str, ticket: Ticket) -> Response:
        client = self.client(ticket)
        if client is None:
            raise TurnedAway(notices.NOT_ENROLLED, ticket)
        return self.forms.missing(text, ticket, provider=urlsplit(client.issuer).netloc)

    async def _sit(self, ticket: Ticket, grounds: Grounds, seconds: float) -> Response:
        """A link that was taken at once, by the browser that the ticket opens in."""
        now = self.seating.clock()
        text = invite(
            ticket.subject,
            grounds=grounds,
            issued_at=now,
            expires_at=now + seconds,
            keys=self.seating.keys,
            entropy=self.seating.entropy,
            tokens=ticket.credentials,
            session=ticket.session,
            return_path="" if ticket.closes else ticket.return_path,
        )
        invitation = self.open(text)
        seat = await self.seating.take_seat(invitation, ticket.nonce_hash)
        _log.info("enrolment-begun", subject=ticket.subject.key, link=invitation.id, grounds=grounds)
        return self.forms.to(text, seat=seat)
