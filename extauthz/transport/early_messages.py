"""Checks by grpcio whose message gRPC's own thread asks for when they come, so that no thread of ours waits for it.

The public way has the thread that decides ask for it, and wait until gRPC's own thread hears of the message: both take
turns twice for each call, which is a fifth of what a Check costs. This needs parts of grpc's server that it shows to
nobody. The rule: only what passes through here depends on them, and in any other version than those it was tried with,
or where they are not as they are known (`usable`), calls go the public way, that of `grpc_calls.OneMessage`.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

import grpc

from extauthz.transport.framing import no_message
from extauthz.transport.grpc_calls import Unread

try:
    from grpc import _server
    from grpc._cython import cygrpc  # type: ignore[attr-defined] # its types name nothing of it
except ImportError:  # `usable` tells
    _server = cygrpc = None  # type: ignore[assignment]

_Run: TypeAlias = Callable[..., Any]
_MESSAGE: Final = "the message, asked for early"
"""What gRPC remembers of a call while this is under way."""
_NO_FLAGS: Final = 0
_FIRST: Final = 1, 80
_LAST: Final = 1, 85
"""The versions of grpc that this was tried with: how its server calls what is here can't be seen from outside, and were
it another way, no Check would be answered."""
_PARTS: Final = {
    "_unary_response_in_pool": "rpc_event state behavior argument_thunk request_deserializer response_serializer",
    "_possibly_finish_call": "state token",
    "_status": "rpc_event state serialized_response",
    "_Context": "rpc_event state request_deserializer",
}
"""What is used of grpc's server, and what it takes."""


def usable() -> bool:
    """Whether grpc is of a version that this was tried with, and its server has the parts that are used here."""
    try:
        major, minor = (int(number) for number in grpc.__version__.split(".")[:2])
        taken = {name: " ".join(inspect.signature(getattr(_server, name)).parameters) for name in _PARTS}
    except (AttributeError, TypeError, ValueError):
        return False
    return (
        _FIRST <= (major, minor) <= _LAST
        and taken == _PARTS
        and hasattr(cygrpc, "ReceiveMessageOperation")
        and {"condition", "due"} <= vars(_server._RPCState()).keys()  # type: ignore[no-untyped-call]
    )


@final
class EarlyMessages:
    """The calls of one method that takes one message and gives one; `make` has the threads make them."""

    def __init__(self, path: str, method: Callable[..., Any], make: Callable[..., Any], unread: Unread) -> None:
        self.method: Final = method
        self.make: Final = make
        self.unread: Final = unread
        self._path = path

    def take(self, run: _Run, arguments: tuple[Any, ...]) -> None:
        """Ask for the message of a call that has come; `run` with these is gRPC's own way to make it."""
        respond: _Run = arguments[0]
        rpc_event, state = arguments[1], arguments[2]
        call = _Call(self, run, respond, rpc_event, state)
        rpc_event.call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), call)
        state.due.add(_MESSAGE)
        self.unread.add(call, rpc_event.call.cancel)

    def without_message(self, _: object, context: grpc.ServicerContext) -> None:
        """End a call whose caller has sent no message."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, no_message(self._path).details)


@final
class _Call:
    """A call, from when it comes until it is answered."""

    __slots__ = ("_calls", "_respond", "_rpc_event", "_run", "_state")

    def __init__(self, calls: EarlyMessages, run: _Run, respond: _Run, rpc_event: Any, state: Any) -> None:  # noqa: ANN401
        self._calls = calls
        self._run = run
        self._respond = respond
        self._rpc_event = rpc_event
        self._state = state

    def __call__(self, event: Any) -> object:  # noqa: ANN401
        """Called in gRPC's own thread when the message is there, or none will come."""
        calls, state = self._calls, self._state
        calls.unread.remove(self)
        message = event.batch_operations[0].message()
        if message is None:
            calls.make(self._the_public_way, calls.without_message)
        else:
            calls.make(self._answer, message)
        with state.condition:
            return _server._possibly_finish_call(state, _MESSAGE)

    def _answer(self, message: bytes) -> None:
        rpc_event, state = self._rpc_event, self._state
        context = _server._Context(rpc_event, state, None)
        if not context.is_active():  # its caller has gone, and nothing is decided for nobody
            return
        try:
            answer = self._calls.method(message, context)
        except Exception as error:  # noqa: BLE001 - gRPC answers for its calls
            self._the_public_way(_Raising(error).call)
        else:
            _server._status(rpc_event, state, answer)

    def _the_public_way(self, behavior: Callable[..., Any]) -> None:
        self._run(self._respond, self._rpc_event, self._state, behavior, bool, None, None)


@final
class _Raising:
    """A method whose call has raised an error already."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def call(self, _: object, __: grpc.ServicerContext) -> object:
        """Raise it where gRPC takes it for its own."""
        raise self._error
