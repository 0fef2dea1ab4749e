"""From a hold to what the caller is given who waits: the address of the waiting page, and cookies.

The rule: the ticket of the page is bound as one of a challenge is. Who waits for an approval may look how it stands and
withdraw it; what the ticket says of going through without one was true when it was made, and is asked again.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from extauthz.errors import Refused
from extauthz.stepup.challenge import nonce_for
from extauthz.stepup.cookies import make_secret, set_cookie
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.return_path import PAGES, return_path
from extauthz.stepup.ticket import TICKET_ID_BYTES, Action, Ticket, Wait, hash_nonce, sign
from extauthz.values.decisions import Hold, HoldOffer
from extauthz.values.identity import HOLDER_COOKIE, Identity
from extauthz.values.origin import NO_ORIGIN, Origin
from extauthz.values.request import Caller, RequestView

WAITING_PATH: Final = f"{PAGES}waiting"
LATER: Final = 3600.0
"""Seconds for which the page still tells how it came out when the approvals could be over."""


class NobodyWaits(Refused):
    """There is nobody to wait: an approval needs a user or a workload, and a request over HTTP."""

    reason = "needs-subject"


def offer(
    decision: Hold,
    *,
    identity: Identity,
    request: RequestView,
    caller: Caller,
    groups: tuple[str, ...],
    holder_secret: str | None,
    keys: KeyRing,
    now: float,
    entropy: Callable[[int], bytes],
    origin: Origin = NO_ORIGIN,
) -> HoldOffer:
    """The page's address with a ticket for the approvals of `decision`, and the cookies that go with it.

    `groups` are those of the caller's that may break the glass, `holder_secret` that of a holder cookie which the
    browser does not have yet, `origin` the decision. `now` in seconds since the epoch; `entropy(n)` gives n random
    bytes.

    Raises:
        NobodyWaits: there is no subject, or no HTTP request.
    """
    subject, http = identity.subject, request.http
    if subject is None or http is None:
        raise NobodyWaits("approve: there is nobody who could wait for an answer")
    nonce, cookies = nonce_for(http, entropy)
    if holder_secret is not None:
        cookies = (*cookies, set_cookie(HOLDER_COOKIE, holder_secret))
    glasses = tuple(demand.break_glass for demand in decision.demands if demand.break_glass is not None)
    breakable = len(glasses) == len(decision.demands)
    ticket = Ticket(
        id=make_secret(entropy(TICKET_ID_BYTES)),
        subject=subject,
        session=identity.session or "",
        nonce_hash=hash_nonce(nonce),
        action=Action(method=http.method, authority=http.authority, path=http.path),
        return_path=return_path(request, caller),
        expires_at=now + max(demand.expires_in for demand in decision.demands) + LATER,
        demands=tuple(glass.demand for glass in glasses) if breakable else (),
        credentials=identity.credentials,
        purpose="waiting",
        origin=origin,
        wait=Wait(
            approvals=decision.approvals,
            person=glasses[0].by.person if breakable else "",
            groups=groups if breakable else (),
        ),
    )
    return HoldOffer(location=address_of(ticket, keys), cookies=cookies)


def address_of(ticket: Ticket, keys: KeyRing) -> str:
    """The path of the waiting page that a ticket opens."""
    return f"{WAITING_PATH}?ticket={quote(sign(ticket, keys))}"
