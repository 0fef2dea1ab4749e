"""The page that a browser proves itself on (design section 4), and what its forms lead to.

The rule: only a form that this page has sent proves anything, and the page says what is confirmed and who asks before
it offers how.
"""

from dataclasses import replace
from functools import partial
from typing import Final, assert_never

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.proof.proving import LockedOut, NotProven, TicketUsed, Unverified
from extauthz.check.proof.recovery import prove_recovery
from extauthz.check.proof.totp import prove_totp
from extauthz.check.proof.webauthn import prove_webauthn
from extauthz.stepup.binding import glass_binding
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.enrolment import ENROL_PATH
from extauthz.stepup.ticket import Ticket
from extauthz.values.decisions import Factor
from extauthz.web import notices
from extauthz.web.enrolment_entry import Entry
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.login import Login
from extauthz.web.offers import Means, offers_for
from extauthz.web.proofs import Proofs, Unproven
from extauthz.web.rendering import Pages, Script, duration

_CLOSE: Final = "close"
_WRONG_CODE: Final = {
    "totp": "That code is not right. Enter the six digits that your app shows now, without blanks.",
    "recovery": "That is none of your recovery codes. Enter one as it is written, with or without hyphens.",
}
_CODE_USED: Final = {
    "totp": "That code was used already. Wait until your app shows the next one.",
    "recovery": "That code was used already. Each one is good once: enter another one of your list.",
}
_KEY_FAILURES: Final = {
    "unknown-credential": "That key is not set up for you here. Use one that is.",
    "user-not-present": "Nobody has touched the key. Try again, and touch it when your browser asks.",
    "user-not-verified": "The key has not checked that it is you. Try again with its PIN or your fingerprint.",
    "counter-not-advanced": "That key seems to have a copy, so it is not taken. Tell your administrator.",
}
_KEY_UNUSABLE: Final = "What your browser sent can't be used. Nothing was confirmed. Try again."


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong with the last try, said beside the form of its factor. `retry_after` in seconds."""

    factor: Factor
    text: str
    status: int = 422
    retry_after: float | None = None


class ChallengePage(msgspec.Struct, frozen=True, kw_only=True):
    """The page under CHALLENGE_PATH."""

    gate: Gate
    proofs: Proofs
    means: Means
    login: Login
    entry: Entry
    pages: Pages

    async def serve(self, request: Request) -> Response:
        """GET shows the forms, POST takes one; one route, so that a wrong method is told of both."""
        try:
            return await (self._take(request) if request.method == "POST" else self._show(request))
        except TurnedAway as away:
            if away.notice is notices.EXPIRED and away.ticket is not None:
                await self.proofs.tell_expired(away.ticket)
            raise

    async def _show(self, request: Request) -> Response:
        texts = request.query_params.getlist("ticket")
        ticket = self.gate.open(request, texts[0] if len(texts) == 1 else "")
        return await self._page(texts[0], _closing(ticket, request.query_params.get("then")))

    async def _take(self, request: Request) -> Response:
        if not is_from_own_page(request):
            raise TurnedAway(notices.NOT_OUR_FORM)
        fields = await read_form(request)
        text = fields.get("ticket", "")
        ticket = _closing(self.gate.open(request, text), fields.get("then"))
        factor = fields.get("factor", "")
        match factor:
            case "totp":
                prove = partial(prove_totp, code=fields.get("code", ""))
                given = await self.proofs.give(request, ticket, factor, prove)
            case "recovery":
                prove = partial(prove_recovery, typed=fields.get("code", ""))
                given = await self.proofs.give(request, ticket, factor, prove)
            case "webauthn":
                party = self.means.relying_party_for(ticket)
                asserted = partial(prove_webauthn, answer=fields.get("answer", ""), ticket=ticket, relying_party=party)
                given = await self.proofs.give(request, ticket, factor, asserted)
            case "oidc":
                return await self.login.leave(ticket)
            case _:
                raise HTTPException(400)
        return given if isinstance(given, Response) else await self._page(text, ticket, _problem(factor, given, ticket))

    async def _page(self, text: str, ticket: Ticket, problem: _Problem | None = None) -> Response:
        offers = await offers_for(ticket, store=self.proofs.store, means=self.means)
        if not offers:
            return await self.entry.missing(text, ticket)
        confirmed = [one for one in ticket.demands if any(one in offer.demands for offer in offers)]
        values = {
            "ticket_text": text,
            "ticket": ticket,
            "demands": confirmed,
            "offers": offers,
            "breaks_glass": any(one.binding == glass_binding(one.rule) for one in confirmed),
            "problem": problem,
            "action_path": CHALLENGE_PATH,
            "enroll_path": ENROL_PATH,
            "may_enroll": any(offer.factor != "oidc" for offer in offers) or self.entry.client(ticket) is not None,
        }
        asks_for_key = any(offer.factor == "webauthn" for offer in offers)
        headers: dict[str, str] = {}
        if problem is not None and problem.retry_after is not None:
            headers["retry-after"] = str(int(problem.retry_after) + 1)
        status = 200 if problem is None else problem.status
        script: Script | None = "webauthn" if asks_for_key else None
        if problem is None:
            self.proofs.tell_shown(ticket)
        return self.pages.render("challenge.html", status=status, values=values, headers=headers, script=script)


def _closing(ticket: Ticket, then: str | None) -> Ticket:
    return replace(ticket, closes=then == _CLOSE)


def _problem(factor: Factor, unproven: Unproven, ticket: Ticket) -> _Problem:
    match unproven:
        case LockedOut(retry_after=wait):
            text = f"Too many wrong codes. Try again in {duration(wait)}."
            return _Problem(factor=factor, text=text, status=429, retry_after=wait)
        case TicketUsed():
            raise TurnedAway(notices.USED, ticket)
        case NotProven(reason="wrong-code"):
            return _Problem(factor=factor, text=_WRONG_CODE[factor])
        case NotProven(reason="code-used"):
            return _Problem(factor=factor, text=_CODE_USED[factor])
        case NotProven(reason="not-enrolled"):
            raise TurnedAway(notices.NOT_ENROLLED, ticket)
        case NotProven():
            raise TurnedAway(notices.NOT_ACCEPTED, ticket)
        case Unverified(reason=reason):
            return _Problem(factor=factor, text=_KEY_FAILURES.get(reason, _KEY_UNUSABLE))
        case _:
            assert_never(unproven)
