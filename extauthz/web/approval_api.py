"""The API for approvals over HTTP, on the approvers' origin; `web.approval_openapi` describes it.

The rules: nothing that is sent is read before the bearer token was seen, and no cookie counts here, so that no page
makes anybody's browser vote. Every answer is JSON or a stream of it, and every refusal a problem document (RFC 9457).
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauthz.approval.view import absence_object
from extauthz.check.approval_viewing import Seen
from extauthz.check.approver_identity import LoggedIn
from extauthz.values.approvals import Stance, State, Verdict
from extauthz.web.approval_door import LARGEST_PAGE, PAGE_SIZE, Door, Wanted, seen_object
from extauthz.web.approval_openapi import OPENAPI
from extauthz.web.approval_refusals import Declined, declined_for
from extauthz.web.approval_watch import Watches
from extauthz.web.json_api import JsonAnswer, Problem, sent_object
from extauthz.web.streams import PlacedResponse

APPROVALS_PATH: Final = "/v1/approvals"
ABSENCES_PATH: Final = "/v1/absences"
EVENTS_PATH: Final = f"{APPROVALS_PATH}/events"

_FILTER: Final = frozenset({"status", "rule", "subject", "issuer", "mine", "unreviewed"})
_PAGE: Final = frozenset({"limit", "cursor"})
_TRUTHS: Final = {"true": True, "false": False}
_STREAM: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_UNREAD: Final = {
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "media-type",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
}
_RETRY: Final = "retry: 3000\n\n"
_BEAT: Final = ":\n\n"

Work = Callable[[Request, LoggedIn], Awaitable[Response]]


class ApprovalApi:
    """What `door` does, over HTTP. Belongs to one event loop."""

    def __init__(self, door: Door, watches: Watches) -> None:
        self._door = door
        self._watches = watches

    @property
    def routes(self) -> list[Route]:
        """What the approvers' listener serves beside the pages."""
        one = f"{APPROVALS_PATH}/{{id}}"
        return [
            Route("/openapi.json", _describe, methods=["GET"]),
            Route(APPROVALS_PATH, self._guarded(self._list), methods=["GET"]),
            Route(EVENTS_PATH, self._guarded(self._watch), methods=["GET"]),
            Route(one, self._guarded(self._show), methods=["GET"]),
            Route(f"{one}/approve", self._guarded(self._vote("approve")), methods=["POST"]),
            Route(f"{one}/deny", self._guarded(self._vote("deny")), methods=["POST"]),
            Route(f"{one}/cancel", self._guarded(self._cancel), methods=["POST"]),
            Route(f"{one}/revoke", self._guarded(self._revoke), methods=["POST"]),
            Route(f"{one}/review", self._guarded(self._review), methods=["POST"]),
            Route(ABSENCES_PATH, self._guarded(self._away), methods=["GET"]),
            Route(ABSENCES_PATH, self._guarded(self._leave), methods=["POST"]),
            Route(f"{ABSENCES_PATH}/{{id}}", self._guarded(self._return), methods=["DELETE"]),
        ]

    def _guarded(self, work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                by = await self._door.enter(request.headers.getlist("authorization"))
                return await work(request, by)
            except Problem as problem:
                return _refused(Declined(_UNREAD.get(problem.status, "malformed"), str(problem)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer tells nothing of it
                return _refused(declined_for(error))

        return serve

    async def _list(self, request: Request, by: LoggedIn) -> Response:
        query = _query(request, _FILTER | _PAGE)
        limit = query.get("limit", [str(PAGE_SIZE)])[0]
        if not limit.isdecimal() or not limit.isascii() or len(limit) > 3 or not 1 <= int(limit) <= LARGEST_PAGE:
            raise Declined("malformed", f"query: `limit` is no number from 1 to {LARGEST_PAGE}")
        page = await self._door.listed(by, self._wanted(query), most=int(limit), before=query.get("cursor", [""])[0])
        return JsonAnswer({"approvals": [seen_object(one) for one in page.seen], "next": page.next or None})

    async def _show(self, request: Request, by: LoggedIn) -> Response:
        return _answered(await self._door.shown(by, request.path_params["id"]))

    def _vote(self, stance: Stance) -> Work:
        async def work(request: Request, by: LoggedIn) -> Response:
            sent = await sent_object(request, known={"reason", "code"}, required=())
            seen = await self._door.vote(
                by,
                request.path_params["id"],
                stance=stance,
                reason=sent.get("reason", ""),
                code=sent.get("code", ""),
                channel="api",
            )
            return _answered(seen)

        return work

    async def _cancel(self, request: Request, by: LoggedIn) -> Response:
        sent = await sent_object(request, known={"reason"}, required=())
        return _answered(await self._door.cancel(by, request.path_params["id"], reason=sent.get("reason", "")))

    async def _revoke(self, request: Request, by: LoggedIn) -> Response:
        sent = await sent_object(request, known={"reason"}, required=())
        return _answered(await self._door.revoke(by, request.path_params["id"], reason=sent.get("reason", "")))

    async def _review(self, request: Request, by: LoggedIn) -> Response:
        sent = await sent_object(request, known={"verdict", "reason", "code"}, required={"verdict"})
        seen = await self._door.review(
            by,
            request.path_params["id"],
            verdict=_verdict(sent["verdict"]),
            reason=sent.get("reason", ""),
            code=sent.get("code", ""),
        )
        return _answered(seen)

    def _wanted(self, query: Mapping[str, list[str]]) -> Wanted:
        def text(name: str) -> str:
            return query.get(name, [""])[0]

        def truth(name: str) -> bool:
            value = query.get(name, ["false"])[0]
            if value not in _TRUTHS:
                raise Declined("malformed", f"query: `{name}` is neither `true` nor `false`")
            return _TRUTHS[value]

        return self._door.wanted(
            states=frozenset(_state(value) for value in query.get("status", [])),
            rule=text("rule"),
            subject=text("subject"),
            issuer=text("issuer"),
            mine=truth("mine"),
            unreviewed=truth("unreviewed"),
        )

    async def _watch(self, request: Request, by: LoggedIn) -> Response:
        wanted = self._wanted(_query(request, _FILTER))
        return PlacedResponse(self._watches.admit(by), self._events(by, wanted), _STREAM)

    async def _events(self, by: LoggedIn, wanted: Wanted) -> AsyncIterator[str]:
        """Server-sent events (HTML standard, section 9.2): `approval`, and at the end `end` with the problem."""
        yield _RETRY
        try:
            async for seen in self._watches.watch(by, wanted):
                yield _BEAT if seen is None else _event("approval", seen_object(seen))
        except Exception as error:  # noqa: BLE001 - the answer has begun: it is told as its last event
            yield _event("end", _problem(declined_for(error)))

    async def _away(self, _: Request, by: LoggedIn) -> Response:
        return JsonAnswer({"absences": [absence_object(one) for one in await self._door.away(by)]})

    async def _leave(self, request: Request, by: LoggedIn) -> Response:
        sent = await sent_object(request, known={"since", "until", "delegate", "note"}, required={"until"})
        absence = await self._door.leave(
            by,
            since=_moment(sent["since"], "since") if "since" in sent else None,
            until=_moment(sent["until"], "until"),
            delegate=sent.get("delegate"),
            note=sent.get("note", ""),
        )
        return JsonAnswer(absence_object(absence), status_code=HTTPStatus.CREATED)

    async def _return(self, request: Request, by: LoggedIn) -> Response:
        await self._door.return_(by, request.path_params["id"])
        return Response(status_code=HTTPStatus.NO_CONTENT)


async def _describe(_: Request) -> Response:
    return JsonAnswer(OPENAPI)


def _query(request: Request, known: frozenset[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Declined("malformed", f"query: unknown `{name[:60]}`; known are {', '.join(sorted(known))}")
        if name in found and name != "status":
            raise Declined("malformed", f"query: `{name}` is there twice")
        found.setdefault(name, []).append(value)
    return found


def _state(text: str) -> State:
    for state in get_args(State):
        if state == text:
            known: State = state
            return known
    raise Declined("malformed", f"query: `{text[:60]}` is no status; known are {', '.join(get_args(State))}")


def _verdict(text: str) -> Verdict:
    for verdict in get_args(Verdict):
        if verdict == text:
            known: Verdict = verdict
            return known
    raise Declined("malformed", "body: `verdict` is neither `justified` nor `unjustified`")


def _moment(text: str, name: str) -> float:
    """Seconds since the epoch of a date and time with its offset (RFC 3339)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Declined("malformed", f"body: `{name}` is no time; write `2026-11-21T10:00:00Z`")
    return moment.timestamp()


def _answered(seen: Seen) -> Response:
    return JsonAnswer(seen_object(seen))


def _refused(error: Declined) -> Response:
    headers: dict[str, str] = {}
    if error.http is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = _challenge(error)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    return JsonAnswer(_problem(error), status_code=error.http, headers=headers, media_type="application/problem+json")


def _challenge(error: Declined) -> str:
    """What the client should come with instead (RFC 6750 section 3, RFC 9470 section 3)."""
    if error.max_age is not None:
        return f'Bearer error="insufficient_user_authentication", max_age="{int(error.max_age)}"'
    return 'Bearer error="invalid_token"' if error.reason == "unauthenticated" else "Bearer"


def _problem(error: Declined) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": error.http.phrase,
        "status": error.http.value,
        "detail": error.detail,
        "reason": error.reason,
    }
    if error.max_age is not None:
        problem |= {"factors": sorted(error.factors), "max_age": error.max_age}
    if error.page is not None:
        problem["page"] = error.page
    return problem


def _event(name: str, content: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
