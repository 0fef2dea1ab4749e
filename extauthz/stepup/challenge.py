"""From a challenge decision to what the challenged caller is given: the page's address and a cookie."""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from extauthz.errors import Refused
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.return_path import PAGES, return_path
from extauthz.stepup.ticket import TICKET_ID_BYTES, TICKET_SECONDS, Action, Ticket, hash_nonce, sign
from extauthz.values.decisions import Challenge, ChallengeOffer
from extauthz.values.identity import NONCE_COOKIE, Identity
from extauthz.values.origin import NO_ORIGIN, Origin
from extauthz.values.request import Caller, HttpRequest, RequestView

CHALLENGE_PATH: Final = f"{PAGES}challenge"


class NotChallengeable(Refused):
    """There is nobody whom a page could ask: a challenge needs a user with a session, and a request over HTTP."""

    reason = "needs-subject"


def offer(
    decision: Challenge,
    *,
    identity: Identity,
    request: RequestView,
    caller: Caller,
    keys: KeyRing,
    now: float,
    entropy: Callable[[int], bytes],
    origin: Origin = NO_ORIGIN,
) -> ChallengeOffer:
    """The page's address with a ticket for `decision`, and the nonce cookie that the ticket opens with.

    A browser that has a nonce cookie already keeps it, so that a challenge in one tab does not close that in another.
    `origin` is that of the decision, `now` in seconds since the epoch; `entropy(n)` gives n random bytes.

    Raises:
        NotChallengeable: there is no user, no session or no HTTP request.
    """
    user, http = identity.user, request.http
    if user is None or identity.session is None or http is None:
        raise NotChallengeable("challenge: there is no user with a session who could answer it")
    nonce, cookies = nonce_for(http, entropy)
    ticket = Ticket(
        id=make_secret(entropy(TICKET_ID_BYTES)),
        subject=user.subject,
        session=identity.session,
        nonce_hash=hash_nonce(nonce),
        action=Action(method=http.method, authority=http.authority, path=http.path),
        return_path=return_path(request, caller),
        expires_at=now + TICKET_SECONDS,
        demands=decision.demands,
        credentials=identity.credentials,
        origin=origin,
    )
    location = f"{CHALLENGE_PATH}?ticket={quote(sign(ticket, keys))}"
    return ChallengeOffer(id=ticket.id, location=location, cookies=cookies)


def nonce_for(http: HttpRequest, entropy: Callable[[int], bytes]) -> tuple[str, tuple[str, ...]]:
    """The nonce that a ticket for this browser opens with, and the cookie that sets it, unless the browser has it."""
    nonce = read_secret(http.headers.get("cookie", ()), NONCE_COOKIE)
    if nonce is not None:
        return nonce, ()
    nonce = make_secret(entropy(COOKIE_SECRET_BYTES))
    return nonce, (set_cookie(NONCE_COOKIE, nonce),)
