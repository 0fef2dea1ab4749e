"""From a ticket and what its browser shows to an outcome, and back to where the browser was going.

The rule: what a page proves is tied to the holder cookie of the browser that has proven it, which is set only then; so
is the cookie by which its device is known from then on.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.check.devices import Devices
from extauthz.check.proof.proving import LockedOut, NotProven, ProofOutcome, Proven, Proving, TicketUsed, Unverified
from extauthz.check.proof.telling import Trial, at_page
from extauthz.identity.config import ClientSettings
from extauthz.record.chronicle import Chronicle
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_cookie, read_secret, set_cookie
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.return_path import PAGES
from extauthz.stepup.ticket import Ticket
from extauthz.store.protocol import CLOCK_SKEW, Redeemed, Redemption, SpentTicket, Store
from extauthz.values.decisions import Factor
from extauthz.values.identity import DEVICE_COOKIE, HOLDER_COOKIE, holder_of_cookie
from extauthz.web.address import browser_address
from extauthz.web.rendering import Pages
from extauthz.wire import host

DONE_PATH: Final = f"{PAGES}done"
"""Where a window that a script has opened ends: it says so to the pages of this origin, and closes."""

Unproven = NotProven | Unverified | LockedOut | TicketUsed
"""Whatever is no proof."""

_log = structlog.get_logger(__name__)


class Proofs(msgspec.Struct, frozen=True, kw_only=True):
    """`clock()` is seconds since the epoch, `entropy(n)` n random bytes."""

    store: Store
    keys: KeyRing
    client: ClientSettings
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    pages: Pages
    devices: Devices
    chronicle: Chronicle

    def trial(self, ticket: Ticket, factor: Factor) -> Trial:
        """What is tried with a ticket, for records."""
        return Trial(
            chronicle=self.chronicle,
            subject=ticket.subject,
            factor=factor,
            by=at_page(ticket),
            origin=ticket.origin,
            challenge=ticket.id,
            since=ticket.opened_at,
        )

    def tell_shown(self, ticket: Ticket) -> None:
        """The page of a challenge was shown."""
        self.chronicle.tell(
            "challenge.shown",
            subject=ticket.subject,
            by=at_page(ticket),
            origin=ticket.origin,
            rule=ticket.demands[0].rule,
            challenge=ticket.id,
        )

    async def tell_expired(self, ticket: Ticket) -> None:
        """Somebody has come too late with a ticket: that is told once, and of none that was met.

        Raises:
            StateUnavailable: the store is out of reach.
        """
        if self.clock() >= ticket.expires_at + CLOCK_SKEW:  # by now nobody remembers whether it was met
            return
        spent = SpentTicket(id=ticket.id, expires_at=ticket.expires_at)
        ended = Redemption(subject=ticket.subject, burn=None, grants=(), ticket=spent)
        if await self.store.redeem(ended, now=self.clock()) is Redeemed.DONE:
            self.chronicle.tell(
                "challenge.expired",
                subject=ticket.subject,
                origin=ticket.origin,
                rule=ticket.demands[0].rule,
                challenge=ticket.id,
                since=ticket.opened_at,
            )

    async def give(
        self, request: Request, ticket: Ticket, factor: Factor, prove: Callable[[Proving], Awaitable[ProofOutcome]]
    ) -> Unproven | Response:
        """What `prove` makes of the proof; where it is one, the way back of `ticket`.

        Raises:
            StateUnavailable: the store is out of reach.
        """
        known = read_secret(request.headers.getlist("cookie"), HOLDER_COOKIE)
        secret = known if known is not None else make_secret(self.entropy(COOKIE_SECRET_BYTES))
        outcome = await prove(
            Proving(
                store=self.store,
                keys=self.keys,
                subject=ticket.subject,
                session=ticket.session,
                holder=holder_of_cookie(secret),
                credentials=ticket.credentials,
                demands=ticket.demands,
                address=browser_address(request, self.client),
                now=self.clock(),
                entropy=self.entropy,
                ticket=SpentTicket(id=ticket.id, expires_at=ticket.expires_at),
            )
        )
        self.trial(ticket, factor).tell(outcome)
        _log.info("proof", outcome=outcome.reason, factor=factor, subject=ticket.subject.key, ticket=ticket.id)
        if not isinstance(outcome, Proven):
            return outcome
        then = DONE_PATH if ticket.closes else ticket.return_path
        response = RedirectResponse(then, status_code=303, headers=self.pages.headers)
        if known is None:
            response.headers.append("set-cookie", set_cookie(HOLDER_COOKIE, secret))
        device = await self._device_cookie(request, ticket)
        if device is not None:
            response.headers.append("set-cookie", device)
        return response

    async def _device_cookie(self, request: Request, ticket: Ticket) -> str | None:
        """The cookie by which this device is known from now on."""
        value = await self.devices.after_proof(
            read_cookie(request.headers.getlist("cookie"), DEVICE_COOKIE),
            ticket.subject,
            host=host.read(ticket.action.authority),
            name=request.headers.get("user-agent", ""),
            now=self.clock(),
            by=at_page(ticket),
        )
        return None if value is None else set_cookie(DEVICE_COOKIE, value, max_age=int(self.devices.lifetime))
