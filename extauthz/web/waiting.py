"""The page that a browser waits on for an approval, and the address at which an API asks about its own.

The rules: only the browser that was sent opens it, as with a challenge; it goes on by itself, with a script or without;
and what changes anything is a form of this page, or a request that no page of another origin can send.
"""

import json
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final, assert_never
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from extauthz.check.proof.telling import tell_opened
from extauthz.check.waiting import Standing, Waiting, fitting_reason
from extauthz.errors import StateUnavailable
from extauthz.record.chronicle import Chronicle
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.cookies import make_secret, read_secret
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.ticket import TICKET_ID_BYTES, TICKET_SECONDS, Ticket, Wait, sign
from extauthz.stepup.waiting import WAITING_PATH, address_of
from extauthz.values.identity import HOLDER_COOKIE, Subject, holder_of_cookie
from extauthz.web import notices
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.json_api import wants_json
from extauthz.web.rendering import Pages, Script
from extauthz.web.streams import PlacedResponse, Places

EVENTS_PATH: Final = f"{WAITING_PATH}/events"
MOST: Final = 2000
MOST_OF_ONE: Final = 8
BEAT: Final = 15.0
"""Seconds after which a stream without news says that it is still there, and looks for itself."""
LOOK_EVERY: Final = 5
"""Seconds after which a page without a script asks again, and an API is told to."""

_RETRY: Final = b"retry: 2000\n\n"
_READS: Final = frozenset({"GET", "HEAD"})


class WaitingPages:
    """What is under WAITING_PATH. Belongs to one event loop; `clock()` is seconds since the epoch, `entropy(n)` n
    random bytes."""

    def __init__(
        self,
        *,
        gate: Gate,
        waiting: Waiting,
        keys: KeyRing,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        pages: Pages,
        chronicle: Chronicle,
    ) -> None:
        self._gate = gate
        self._waiting = waiting
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._pages = pages
        self._chronicle = chronicle
        self._places: Places[Subject] = Places()

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route(WAITING_PATH, self._serve, methods=["GET", "POST", "DELETE"]),
            Route(EVENTS_PATH, self._events, methods=["GET"]),
        ]

    async def _serve(self, request: Request) -> Response:
        """GET shows how it stands, POST takes a form, DELETE withdraws what waits."""
        if request.method == "POST":
            return await self._take(request)
        ticket, wait, text = self._ticket(request)
        if request.method == "DELETE":
            # Never by a page of another origin: the cookie would not come along, and no preflight is answered.
            await self._waiting.cancel(ticket, wait)
        standing = await self._waiting.look(wait)
        if request.method == "DELETE" or wants_json(request):
            return self._told(standing)
        if standing.state == "approved" and ticket.action.method in _READS:
            return RedirectResponse(ticket.return_path, status_code=303, headers=self._pages.headers)
        return self._page(ticket, wait, text, standing)

    def _ticket(self, request: Request) -> tuple[Ticket, Wait, str]:
        texts = request.query_params.getlist("ticket")
        return self._opened(request, texts[0] if len(texts) == 1 else "")

    def _opened(self, request: Request, text: str) -> tuple[Ticket, Wait, str]:
        ticket = self._gate.open(request, text, purpose="waiting")
        assert ticket.wait is not None  # noqa: S101 - one for waiting says for what
        return ticket, ticket.wait, text

    def _told(self, standing: Standing) -> Response:
        """How it stands, for a program."""
        told = {
            "state": standing.state,
            "approvals": [
                {
                    "id": one.approval.id,
                    "rule": one.approval.rule,
                    "state": one.approval.state,
                    "approved": one.given,
                    "min": one.wanted,
                    "expires_at": int(one.approval.expires_at),
                    "against": list(one.against),
                }
                for one in standing.shown
            ],
        }
        seconds = LOOK_EVERY if standing.state == "pending" else math.ceil(self._denied_for(standing))
        waits = {"retry-after": str(seconds)} if seconds else {}
        return JSONResponse(told, headers={**self._pages.headers, **waits})

    def _denied_for(self, standing: Standing) -> float:
        """Seconds for which the same is denied without asking anybody."""
        return max(standing.denied_until - self._clock(), 0.0)

    def _page(
        self, ticket: Ticket, wait: Wait, text: str, standing: Standing, *, problem: str = "", status: int = 200
    ) -> Response:
        pending = standing.state == "pending"
        values = {
            "ticket": ticket,
            "ticket_text": text,
            "standing": standing,
            "denied_for": self._denied_for(standing),
            "left": max(standing.expires_at - self._clock(), 0.0),
            "action_path": WAITING_PATH,
            "events": f"{EVENTS_PATH}?ticket={quote(text)}",
            "look_every": LOOK_EVERY,
            "breakable": pending and bool(ticket.demands),
            "reason": wait.reason,
            "problem": problem,
            "repeats": ticket.action.method in _READS,
        }
        script: Script | None = "waiting" if pending else None
        return self._pages.render("waiting.html", status=status, values=values, script=script)

    async def _take(self, request: Request) -> Response:
        if not is_from_own_page(request):
            raise TurnedAway(notices.NOT_WITHDRAWN)
        fields = await read_form(request)
        ticket, wait, text = self._opened(request, fields.get("ticket", ""))
        match fields.get("act", ""):
            case "cancel":
                await self._waiting.cancel(ticket, wait)
                return self._back(ticket)
            case "glass":
                return await self._prove(ticket, wait, text, fields.get("reason", ""))
            case "break":
                return await self._break(request, ticket, wait, text)
            case _:
                raise HTTPException(400)

    def _back(self, ticket: Ticket) -> Response:
        return RedirectResponse(address_of(ticket, self._keys), status_code=303, headers=self._pages.headers)

    async def _prove(self, ticket: Ticket, wait: Wait, text: str, written: str) -> Response:
        """To the challenge page, which comes back here with the reason in the ticket."""
        reason = fitting_reason(written)
        if not ticket.demands:
            raise TurnedAway(notices.NO_GLASS, ticket)
        if reason is None:
            standing = await self._waiting.look(wait)
            problem = "Say why this can't wait. It is recorded, and somebody will look at it."
            return self._page(ticket, wait, text, standing, problem=problem, status=422)
        back = replace(ticket, wait=replace(wait, reason=reason))
        proving = replace(
            ticket,
            id=make_secret(self._entropy(TICKET_ID_BYTES)),
            purpose="challenge",
            wait=None,
            return_path=address_of(back, self._keys),
            expires_at=self._clock() + TICKET_SECONDS,
        )
        address = f"{CHALLENGE_PATH}?ticket={quote(sign(proving, self._keys))}"
        tell_opened(self._chronicle, proving, approvals=wait.approvals)
        return RedirectResponse(address, status_code=303, headers=self._pages.headers)

    async def _break(self, request: Request, ticket: Ticket, wait: Wait, text: str) -> Response:
        secret = read_secret(request.headers.getlist("cookie"), HOLDER_COOKIE)
        if secret is None:
            return await self._prove(ticket, wait, text, wait.reason)
        unbroken = await self._waiting.break_glass(ticket, wait, holder=holder_of_cookie(secret))
        match unbroken:
            case None:
                return self._back(ticket)
            case "no-reason" | "not-proven":
                return await self._prove(ticket, wait, text, wait.reason)
            case "refused":
                raise TurnedAway(notices.NO_GLASS, ticket)
            case _:
                assert_never(unbroken)

    async def _events(self, request: Request) -> Response:
        """GET: how it stands, whenever that changes, until it is over (server-sent events, HTML standard 9.2)."""
        ticket, wait, _ = self._ticket(request)
        place = self._places.take(ticket.subject, most=MOST, most_of_one=MOST_OF_ONE)
        if place is None:
            return Response(status_code=503, headers={**self._pages.headers, "retry-after": str(LOOK_EVERY)})
        headers = {**self._pages.headers, "x-accel-buffering": "no"}
        return PlacedResponse(place, self._stream(ticket, wait), headers)

    async def _stream(self, ticket: Ticket, wait: Wait) -> AsyncIterator[bytes]:
        news, told = self._waiting.news, b""
        try:
            yield _RETRY
            while True:
                mark = news.mark
                standing = await self._waiting.look(wait)
                said = _event(standing)
                yield b":\n\n" if said == told else said
                told = said
                if standing.state != "pending" or news.is_over:
                    return
                self._gate.check_revocations(ticket)
                left = standing.expires_at - self._clock()
                await news.hear(wait.approvals, since=mark, seconds=min(BEAT, max(left, 0.1)))
        except (TurnedAway, StateUnavailable):
            return  # the browser asks again, and is told why


def _event(standing: Standing) -> bytes:
    given = [{"approved": one.given, "min": one.wanted} for one in standing.shown]
    return f"event: state\ndata: {json.dumps({'state': standing.state, 'given': given})}\n\n".encode()
