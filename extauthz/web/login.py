"""The login at the user's own provider: the way there from a challenge page, and the way back, to what it confirms or
to the enrolment page.

The rule: who comes back is let in by the same gate as who opens the page, and again after the provider was asked,
which takes a while.
"""

from dataclasses import replace
from functools import partial
from typing import Final, assert_never

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.check.proof.oidc import authenticate, prove_oidc
from extauthz.check.proof.proving import LockedOut, NotProven, TicketUsed, Unverified
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.oidc import depart, oidc_demands
from extauthz.stepup.ticket import InvalidTicket, Ticket
from extauthz.web import notices
from extauthz.web.enrolment_entry import Entry
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.offers import Means
from extauthz.web.proofs import Proofs, Unproven

_TOO_WEAK: Final = frozenset({"not-fresh", "wrong-acr", "wrong-amr"})


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """The two requests that a browser makes of us on its way to a provider and back."""

    gate: Gate
    proofs: Proofs
    means: Means
    entry: Entry

    async def leave(self, ticket: Ticket) -> Response:
        """Send the browser to the provider of the ticket's subject.

        Raises:
            TurnedAway: nothing could be proven there.
            IssuerUnavailable: nobody knows where it is.
        """
        client = self._client(ticket)
        departure = depart(
            ticket,
            provider=await client.provider(),
            keys=self.proofs.keys,
            login_hint=client.login_hint(ticket.subject.id),
        )
        return RedirectResponse(departure.location, status_code=303, headers=self.proofs.pages.headers)

    async def come_back(self, request: Request) -> Response:
        """GET: what the provider has sent the browser back with. After a login that is not enough it is sent there
        once more: that may have been an older session's.

        Raises:
            TurnedAway: it proves nothing.
            IssuerUnavailable: the provider does not say what it is good for.
            StateUnavailable: the store is out of reach.
        """
        states = request.query_params.getlist("state")
        ticket = self.gate.open(request, states[0] if len(states) == 1 else "", purpose=None)
        client = self._client(ticket)
        try:
            authenticated = await authenticate(
                request.query_params.multi_items(),
                ticket=ticket,
                client=client,
                keys=self.proofs.keys,
                now=self.proofs.clock(),
            )
        except InvalidTicket:
            raise TurnedAway(notices.MALFORMED) from None
        if isinstance(authenticated, Unverified):
            if authenticated.reason in _TOO_WEAK and not ticket.insists:
                return await self.leave(replace(ticket, insists=True))
            if ticket.purpose == "challenge":
                self.proofs.trial(ticket, "oidc").tell(authenticated)
            raise TurnedAway(_notice_for(authenticated), ticket)
        self.gate.check_revocations(ticket)
        if ticket.purpose == "enrolment":
            return await self.entry.come_from_login(ticket)
        given = await self.proofs.give(request, ticket, "oidc", partial(prove_oidc, authenticated=authenticated))
        if isinstance(given, Response):
            return given
        raise TurnedAway(_notice_for(given), ticket)

    def _client(self, ticket: Ticket) -> OidcClient:
        if ticket.purpose == "enrolment":
            client = self.entry.client(ticket)
        else:
            client = self.means.provider_for(ticket) if oidc_demands(ticket) else None
        if client is None:
            raise TurnedAway(notices.NOT_ACCEPTED, ticket)
        return client


def _notice_for(unproven: Unproven) -> notices.Notice:
    match unproven:
        case TicketUsed():
            return notices.USED
        case Unverified(reason="refused"):
            return notices.LOGIN_CALLED_OFF
        case Unverified(reason="wrong-subject"):
            return notices.LOGIN_OF_ANOTHER
        case Unverified(reason=reason) if reason in _TOO_WEAK:
            return notices.LOGIN_TOO_WEAK
        case Unverified() | NotProven() | LockedOut():
            return notices.LOGIN_UNUSABLE
        case _:
            assert_never(unproven)
