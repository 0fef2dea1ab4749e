"""The API for approvals over gRPC: `extauthz.v1.Approvals`, as `proto/extauthz/v1/approvals.proto` says it.

The rules: it does what the API over HTTP does, by the same door and with the same words; every call that fails names
its reason as google.rpc.ErrorInfo.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from grpc import aio

from extauthz._pb.extauthz.v1.approvals_pb2 import (
    JUSTIFIED,
    UNJUSTIFIED,
    Approval,
    ApprovalFilter,
    ApprovalStatus,
    CancelApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
    ListApprovalsResponse,
    ReviewApprovalRequest,
    RevokeApprovalRequest,
    VoteRequest,
    WatchApprovalsRequest,
)
from extauthz.check.approval_viewing import Seen
from extauthz.check.approver_identity import LoggedIn
from extauthz.values.approvals import Stance, State, Verdict
from extauthz.web.approval_door import LARGEST_PAGE, PAGE_SIZE, Door, Wanted, seen_object
from extauthz.web.approval_refusals import Declined, declined_for
from extauthz.web.approval_watch import Watches
from extauthz.wire.grpc_status import details

SERVICE: Final = "extauthz.v1.Approvals"

_AUTHORIZATION: Final = "authorization"
_DETAILS: Final = "grpc-status-details-bin"
_STATES: Final[Mapping[int, State]] = {
    ApprovalStatus.PENDING: "pending",
    ApprovalStatus.APPROVED: "approved",
    ApprovalStatus.DENIED: "denied",
    ApprovalStatus.EXPIRED: "expired",
    ApprovalStatus.CANCELLED: "cancelled",
}
_VERDICTS: Final[Mapping[int, Verdict]] = {JUSTIFIED: "justified", UNJUSTIFIED: "unjustified"}

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)
_Context: TypeAlias = "aio.ServicerContext[Message, Message]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"


class Admits(Protocol):
    """Whether who is at the other end of a connection may call at all."""

    def __call__(self, caller: _Context) -> bool: ...


class ApprovalsRpc(grpc.GenericRpcHandler):
    """What `door` does, over gRPC, for whom `admits` lets in. Belongs to one event loop."""

    def __init__(self, door: Door, watches: Watches, *, admits: Admits) -> None:
        self._door = door
        self._watches = watches
        self._admits = admits
        self._handlers: Mapping[str, _Handler] = {
            f"/{SERVICE}/{name}": handler
            for name, handler in (
                ("List", self._unary(ListApprovalsRequest, self._list)),
                ("Get", self._unary(GetApprovalRequest, self._get)),
                ("Approve", self._unary(VoteRequest, self._vote("approve"))),
                ("Deny", self._unary(VoteRequest, self._vote("deny"))),
                ("Cancel", self._unary(CancelApprovalRequest, self._cancel)),
                ("Revoke", self._unary(RevokeApprovalRequest, self._revoke)),
                ("Review", self._unary(ReviewApprovalRequest, self._review)),
                ("Watch", self._stream(WatchApprovalsRequest, self._watch)),
            )
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        """The handler of a call, `None` if there is no such method."""
        return self._handlers.get(handler_call_details.method)

    def _unary(self, kind: type[_Request], work: Callable[[_Request, LoggedIn], Awaitable[_Response]]) -> _Handler:
        async def serve(request: _Request, context: _Context) -> _Response:
            try:
                return await work(request, await self._enter(context))
            except Exception as error:
                await _abort(context, declined_for(error))
                raise  # aborting has raised

        handler = grpc.unary_unary_rpc_method_handler(serve, kind.FromString, _serialized)
        return cast("_Handler", handler)

    def _stream(self, kind: type[_Request], work: Callable[[_Request, LoggedIn], AsyncIterator[_Response]]) -> _Handler:
        async def serve(request: _Request, context: _Context) -> AsyncIterator[_Response]:
            try:
                async for message in work(request, await self._enter(context)):
                    yield message
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer tells nothing of it
                await _abort(context, declined_for(error))

        handler = grpc.unary_stream_rpc_method_handler(serve, kind.FromString, _serialized)
        return cast("_Handler", handler)

    async def _enter(self, context: _Context) -> LoggedIn:
        if not self._admits(context):
            raise Declined("not-a-caller")
        metadata = context.invocation_metadata() or ()
        sent = [value for name, value in metadata if name == _AUTHORIZATION and isinstance(value, str)]
        return await self._door.enter(sent)

    async def _list(self, request: ListApprovalsRequest, by: LoggedIn) -> ListApprovalsResponse:
        most = request.page_size or PAGE_SIZE
        if most > LARGEST_PAGE:
            raise Declined("malformed", f"`page_size` is above {LARGEST_PAGE}")
        page = await self._door.listed(by, self._wanted(request.filter), most=most, before=request.page_token)
        return ListApprovalsResponse(approvals=map(message_of, page.seen), next_page_token=page.next)

    async def _get(self, request: GetApprovalRequest, by: LoggedIn) -> Approval:
        return message_of(await self._door.shown(by, request.id))

    def _vote(self, stance: Stance) -> Callable[[VoteRequest, LoggedIn], Awaitable[Approval]]:
        async def work(request: VoteRequest, by: LoggedIn) -> Approval:
            seen = await self._door.vote(
                by, request.id, stance=stance, reason=request.reason, code=request.code, channel="grpc"
            )
            return message_of(seen)

        return work

    async def _cancel(self, request: CancelApprovalRequest, by: LoggedIn) -> Approval:
        return message_of(await self._door.cancel(by, request.id, reason=request.reason))

    async def _revoke(self, request: RevokeApprovalRequest, by: LoggedIn) -> Approval:
        return message_of(await self._door.revoke(by, request.id, reason=request.reason))

    async def _review(self, request: ReviewApprovalRequest, by: LoggedIn) -> Approval:
        verdict = _VERDICTS.get(request.verdict)
        if verdict is None:
            raise Declined("malformed", "`verdict` is neither `JUSTIFIED` nor `UNJUSTIFIED`")
        seen = await self._door.review(by, request.id, verdict=verdict, reason=request.reason, code=request.code)
        return message_of(seen)

    def _wanted(self, sent: ApprovalFilter) -> Wanted:
        states = [_STATES.get(number) for number in sent.status]
        if None in states:
            raise Declined("malformed", "`filter.status` has a number that is no status")
        return self._door.wanted(
            states=frozenset(state for state in states if state is not None),
            rule=sent.rule,
            subject=sent.subject,
            issuer=sent.issuer,
            mine=sent.mine,
            unreviewed=sent.unreviewed,
        )

    async def _watch(self, request: WatchApprovalsRequest, by: LoggedIn) -> AsyncIterator[Approval]:
        wanted, place = self._wanted(request.filter), self._watches.admit(by)
        try:
            async for seen in self._watches.watch(by, wanted):
                if seen is not None:
                    yield message_of(seen)
        finally:
            place.leave()


def message_of(seen: Seen) -> Approval:
    """What HTTP tells as JSON, as a message: only the names of enums are written otherwise."""
    told = seen_object(seen)
    broken = told["break_glass"]
    if broken is not None and broken["review"] is not None:
        broken = {**broken, "review": _named(broken["review"], "verdict")}
    votes = [_named(vote, "stance") for vote in told["votes"]]
    return ParseDict({**_named(told, "status"), "votes": votes, "break_glass": broken}, Approval())


def _named(told: Mapping[str, Any], member: str) -> dict[str, Any]:
    return {**told, member: told[member].upper()}


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: _Context, error: Declined) -> None:
    metadata = {} if error.page is None else {"page": error.page}
    if error.max_age is not None:
        metadata |= {"factors": " ".join(sorted(error.factors)), "max_age": f"{error.max_age:g}"}
    retry_after = None if error.retry_after is None else max(1, round(error.retry_after))
    status = details(error.grpc, message=error.detail, reason=error.reason, metadata=metadata, retry_after=retry_after)
    code = next(code for code in grpc.StatusCode if code.value[0] == error.grpc)
    await context.abort(code, status.message, ((_DETAILS, status.SerializeToString(deterministic=True)),))
