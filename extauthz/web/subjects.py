"""The API on the admin address that does by hand what `extauthz subjects` does.

The rule: nothing that is sent is read before the bearer token was seen. Every answer is JSON, and every refusal a
problem document (RFC 9457).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final, Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauthz.check.bearer import proves_bearer
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.subjects import ByHand, Naming, NobodyNamed, SubjectsRefused, described, described_signal
from extauthz.errors import StateUnavailable
from extauthz.store.revocations import Revoked
from extauthz.web.json_api import RETRY_SECONDS, JsonAnswer, Problem, sent_object
from extauthz.web.openapi import OPENAPI

API_PATH: Final = "/v1"

_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "block": frozenset({"sub", "issuer", "for"}),
    "unblock": frozenset({"sub", "issuer"}),
    "revoke": frozenset({"sub", "issuer", "session", "token", "for"}),
}
_QUERY: Final = frozenset({"sub", "issuer"})

_log = structlog.get_logger(__name__)


class SubjectsApi:
    """Does what whoever has the token that `secret` gives asks for; `by_hand` does it in the store."""

    def __init__(self, by_hand: ByHand, *, secret: Callable[[], str], feed: RevocationFeed | None) -> None:
        self._by_hand = by_hand
        self._secret = secret
        self._feed = feed

    @property
    def routes(self) -> list[Route]:
        """What the admin listener serves beside the probes: the API under API_PATH, and what describes it."""
        return [
            Route("/openapi.json", _describe, methods=["GET"]),
            Route(f"{API_PATH}/subjects", self._guarded(self._list), methods=["GET"]),
            *(
                Route(f"{API_PATH}/subjects/{verb}", self._guarded(work), methods=["POST"])
                for verb, work in (("block", self._block), ("unblock", self._unblock), ("revoke", self._revoke))
            ),
        ]

    def _guarded(self, work: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if not proves_bearer(request.headers.getlist("authorization"), self._secret()):
                _log.warning("admin-refused", path=request.url.path)
                return Problem(
                    HTTPStatus.UNAUTHORIZED,
                    "the bearer token is missing or wrong",
                    headers={"www-authenticate": "Bearer"},
                ).response
            try:
                return JsonAnswer(await work(request))
            except Problem as problem:
                return problem.response
            except (NobodyNamed, SubjectsRefused) as error:
                return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)).response
            except StateUnavailable as error:
                _log.error("state-unavailable", error=str(error))
                return Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the store is out of reach; some of it may have been done, ask again",
                    headers={"retry-after": RETRY_SECONDS},
                ).response
            except Exception:  # noqa: BLE001 - whatever it is, the answer tells nothing of it
                _log.exception("admin-failed", path=request.url.path)
                return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a mistake of ours; the log has more").response

        return serve

    async def _list(self, request: Request) -> object:
        asked = request.query_params.multi_items()
        query = dict(asked)
        if len(query) != len(asked) or not query.keys() <= _QUERY:
            raise Problem(HTTPStatus.BAD_REQUEST, "query: only `sub` and `issuer`, each once")
        revocations, signals = await self._by_hand.listed(query.get("sub"), query.get("issuer"))
        return {
            "revocations": [described(one) for one in revocations],
            "signals": [described_signal(one) for one in signals],
        }

    async def _block(self, request: Request) -> object:
        order = await _order(request, "block")
        return await self._revoked(
            "block", await self._by_hand.block(order["sub"], order.get("issuer"), duration=order.get("for"))
        )

    async def _unblock(self, request: Request) -> object:
        order = await _order(request, "unblock")
        ended = await self._by_hand.unblock(order["sub"], order.get("issuer"))
        await self._known("unblock", ended.subject.key)
        return {"sub": ended.subject.id, "issuer": ended.subject.issuer, "was_blocked": ended.was_blocked}

    async def _revoke(self, request: Request) -> object:
        order = await _order(request, "revoke")
        revoked = await self._by_hand.revoke(
            order["sub"],
            order.get("issuer"),
            session=order.get("session"),
            token=order.get("token"),
            duration=order.get("for"),
        )
        return await self._revoked("revoke", revoked)

    async def _revoked(self, verb: str, revoked: Revoked) -> object:
        await self._known(verb, revoked.revocation.subject.key)
        return described(revoked.revocation) | {"grants": revoked.grants}

    async def _known(self, verb: str, subject: str) -> None:
        """Let this server know it before the answer; others look for news by themselves."""
        _log.info("subject-changed", by="admin-api", verb=verb, subject=subject)
        if self._feed is not None:
            try:
                await self._feed.load()
            except StateUnavailable as error:
                _log.error("state-unavailable", error=str(error))


def naming(issuers: Collection[str]) -> Naming:
    """How members of an order are called in messages."""
    return Naming(issuers=issuers, spelled="{}".format)


async def _order(request: Request, verb: Literal["block", "unblock", "revoke"]) -> Mapping[str, str]:
    """What is asked for; `sub` is there."""
    order = await sent_object(request, known=_MEMBERS[verb], required=())
    if "sub" not in order:
        raise Problem(HTTPStatus.BAD_REQUEST, "body: missing member `sub`; write the `sub` of a user or a SPIFFE ID")
    return order


async def _describe(_: Request) -> Response:
    return JsonAnswer(OPENAPI)
