"""The `grpcio` transport: the portable one and the reference.

The synchronous `grpc.server`, because it is half as fast again as `grpc.aio`. A Check that needs no look-up is
answered in its worker thread. One that must wait goes to the event loop and keeps its thread meanwhile, for which
another one stands in; so only so many can be held for an approval. One whose turn would come too late is refused by
gRPC's own thread, which takes the calls: its message is not even asked for.

A call comes before its message. So that we wait for that and not gRPC, which would wait without end, each method is for
gRPC one that takes a stream of messages, which is the same on the wire.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2

from extauthz.check.checker import Checker
from extauthz.check.holding import Held
from extauthz.check.opened import Opened
from extauthz.errors import StateUnavailable
from extauthz.transport.admission import longest_turn
from extauthz.transport.callers import Callers
from extauthz.transport.calls import ANSWER_MARGIN, LONGEST_WAIT, Overload, Refusals, caller_gone, too_late
from extauthz.transport.early_messages import EarlyMessages, usable
from extauthz.transport.grpc_calls import OneMessage, caller_trace
from extauthz.transport.grpc_listening import listen
from extauthz.transport.methods import CHECK, HEALTH_CHECK, HEALTH_WATCH, LEAVING, MAX_MESSAGE, SERVICE
from extauthz.transport.tls import Tls
from extauthz.transport.unix_sockets import AS_ALWAYS, Sockets
from extauthz.transport.workers import MADE, Workers

DECIDING = 2
"""Calls that are being decided at a time: one that takes long leaves room for another. With more, gRPC's own thread
waits longer for its turn, and calls wait where nobody sees them."""
WAITING = 48
"""Calls that may wait for a look-up at a time. Each keeps a thread."""
HELD = 128
"""Calls that may be held for an approval at a time, beside those. Each keeps a thread, too."""
_MAY_WAIT: Final = False
"""There are few threads that decide."""
PING_INTERVAL_MS = 200
"""So often a caller may ask whether its connection is still alive."""
_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls without anybody noticing
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: a small message could become any number of bytes
    # Envoy asks every few seconds whether a connection still leads here (`connection_keepalive`). gRPC's own limit is
    # once in five minutes, and at the fourth time it ends the connection, with the calls that are held on it.
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)


_Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


class CallContext(Protocol):
    """The part of `grpc.ServicerContext` that a Check needs."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, `None` if there is none."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """The headers of the call."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What is known of the caller's certificate."""

    def is_active(self) -> bool:
        """Whether somebody waits for the answer."""

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Let this be called when nobody does any more; false if that is so already."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call."""


class AuthorizationServicer:
    """`envoy.service.auth.v3.Authorization` on raw bytes."""

    def __init__(
        self,
        checker: Checker,
        loop: asyncio.AbstractEventLoop,
        *,
        callers: Callers | None = None,
        away: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`callers` says who may call; without it, everybody. `away` is around what a call waits for."""
        self._checker = checker
        self._loop = loop
        self._callers = callers
        self._away = away
        self._waiting = threading.BoundedSemaphore(WAITING)
        self.refusals = Refusals()
        self.asked = False
        """Whether somebody calls."""

    def Check(self, request: bytes, context: CallContext) -> bytes:  # noqa: N802 - the name is Envoy's
        """The bytes of the CheckResponse to the CheckRequest in `request`; never raises, but for a stranger."""
        self._let_in(context)
        trace = caller_trace(context.invocation_metadata())
        started = self._checker.start(request, trace, context.time_remaining, _MAY_WAIT)
        if isinstance(started, bytes):
            return started
        answer = self._finish(started, context)
        while isinstance(answer, Held):
            answer = self._hold(answer, context)
        return answer

    def refuse(self, _: object, context: CallContext) -> bytes:
        """The answer to a Check whose turn would come too late."""
        self._let_in(context)
        error = self.refusals.one_more(Overload.TURN)
        return self._checker.turn_away(
            error, trace=caller_trace(context.invocation_metadata()), remaining=context.time_remaining
        )

    def _let_in(self, context: CallContext) -> None:
        if self._callers is not None and not self._callers.knows(context.auth_context()):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, self._callers.details)
        self.asked = True

    def _finish(self, opened: Opened, context: CallContext, *, patience: float = 0.0) -> bytes | Held:
        """Finish a call, which has so many seconds to find a place among those that wait for a look-up."""
        if not self._waiting.acquire(timeout=patience):
            return self._checker.abandon(opened, self.refusals.one_more(Overload.WAITING))
        try:
            with self._away():
                return self._wait(opened, context.time_remaining())
        finally:
            self._waiting.release()

    def _hold(self, held: Held, context: CallContext) -> bytes | Held:
        """Wait with a call that is held, and decide it anew; but use nothing up for a caller who is gone."""
        holding = self._checker.holding
        assert holding is not None  # noqa: S101 - it holds the call
        waiting = holding.wait(held)
        try:
            future = asyncio.run_coroutine_threadsafe(waiting, self._loop)
        except RuntimeError:  # the loop is closed: we are stopping
            waiting.close()
            return self._checker.let_go(held, StateUnavailable("the server is stopping"))
        with self._away(), suppress(futures.CancelledError):
            if context.add_callback(future.cancel):
                future.result()
        if not context.is_active():
            future.cancel()
            return self._checker.let_go(held, caller_gone())
        resumed = self._checker.resume(held)
        if isinstance(resumed, bytes):
            return resumed
        # It has a thread anyhow, and many holds may end at the same moment, all of them when the server stops.
        return self._finish(resumed, context, patience=longest_turn(context.time_remaining()))

    def _wait(self, opened: Opened, remaining: float | None) -> bytes | Held:
        patience = LONGEST_WAIT if remaining is None else min(remaining, LONGEST_WAIT)
        finishing = self._checker.finish(opened, deadline=time.monotonic() + patience)
        try:
            future = asyncio.run_coroutine_threadsafe(finishing, self._loop)
        except RuntimeError:  # the loop is closed: we are stopping
            finishing.close()
            return self._checker.abandon(opened, StateUnavailable("the server is stopping"))
        try:
            return future.result(timeout=max(patience - ANSWER_MARGIN, 0))
        except (TimeoutError, futures.CancelledError):
            if not future.cancel() and not future.cancelled():
                return future.result()  # it ended in this very moment
            return self._checker.abandon(opened, too_late(opened))


class _AtOnce(futures.ThreadPoolExecutor):
    """Makes calls where they come: in gRPC's own thread, which must not wait for anything."""

    def submit(self, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> "futures.Future[Any]":
        made: futures.Future[Any] = futures.Future()
        made.set_result(fn(*args, **kwargs))
        return made


class _Refusing:
    """`AuthorizationServicer.refuse`, with the mark by which gRPC makes the call at once."""

    def __init__(self, servicer: AuthorizationServicer) -> None:
        self._refuse = servicer.refuse
        self.experimental_thread_pool = _AtOnce()

    def __call__(self, requests: object, context: CallContext) -> bytes:
        return self._refuse(requests, context)


class _TakingEarly(futures.ThreadPoolExecutor):
    """Has the messages of calls asked for when they come."""

    def __init__(self, messages: EarlyMessages) -> None:
        super().__init__()
        self._take = messages.take

    def submit(self, fn: Callable[..., Any], /, *args: object, **_: object) -> "futures.Future[Any]":
        self._take(fn, args)
        return MADE


class _Early:
    """`AuthorizationServicer.Check` for calls whose message is asked for when they come: gRPC asks its pool."""

    def __init__(self, servicer: AuthorizationServicer, workers: Workers) -> None:
        messages = EarlyMessages(CHECK, servicer.Check, workers.submit, workers.unread)
        self.experimental_thread_pool = _TakingEarly(messages)

    def __call__(self, requests: object, context: CallContext) -> bytes:
        raise NotImplementedError


class _Streaming:
    """The same of a method that answers with a stream."""

    experimental_non_blocking = True
    """What it sends it hands to a function."""

    def __init__(self, path: str, method: Callable[..., Any], workers: Workers) -> None:
        self._message = OneMessage(path, lambda message, _: message, workers.waits).call
        self._method = method
        self._workers = workers

    def __call__(
        self, messages: Iterator[object], context: grpc.ServicerContext, send: Callable[[object], None]
    ) -> object:
        message = self._message(messages, context)
        # What is sent waits for a caller who reads it.
        return self._workers.with_caller(partial(self._method, message, context, send), context.cancel)


class _Checks(grpc.GenericRpcHandler):
    """Has Checks decided while that is soon enough, and else refused, which waits for no message."""

    def __init__(self, servicer: AuthorizationServicer, workers: Workers) -> None:
        self._workers = workers
        self._decided: _Handler = grpc.stream_unary_rpc_method_handler(
            _Early(servicer, workers) if usable() else OneMessage(CHECK, servicer.Check, workers.waits).call
        )
        self._refused: _Handler = grpc.stream_unary_rpc_method_handler(_Refusing(servicer))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        """Called in gRPC's own thread when a call comes."""
        if handler_call_details.method != CHECK:
            return None
        return self._decided if self._workers.admits() else self._refused


class _Health(health.HealthServicer):
    """grpc.health.v1, which remembers whether it was `asked`: whoever asks for health sends Checks."""

    asked = False

    def Check(  # noqa: N802 - the name is gRPC's
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        self.asked = True
        return super().Check(request, context)

    def handlers(self, workers: Workers) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        coding = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
        check = grpc.stream_unary_rpc_method_handler(OneMessage(HEALTH_CHECK, self.Check, workers.waits).call, *coding)
        watch = grpc.stream_stream_rpc_method_handler(_Streaming(HEALTH_WATCH, self.Watch, workers), *coding)
        return grpc.method_handlers_generic_handler(health.SERVICE_NAME, {"Check": check, "Watch": watch})


class GrpcioTransport:
    """A `grpc.server` with Authorization and grpc.health.v1 on one address."""

    name: Final = "grpcio"

    def __init__(
        self,
        checker: Checker,
        loop: asyncio.AbstractEventLoop,
        *,
        address: str,
        tls: Tls | None = None,
        sockets: Sockets = AS_ALWAYS,
    ) -> None:
        self._workers = Workers(DECIDING)
        self._holding = checker.holding
        if self._holding is not None:
            self._holding.no_more_than(HELD)
        self._server = grpc.server(self._workers, options=_OPTIONS)  # type: ignore[arg-type] # it is for `submit` alone
        self.callers = None if tls is None else tls.callers
        """Who may call, where certificates say that; it counts the others."""
        self._servicer = AuthorizationServicer(checker, loop, callers=self.callers, away=self._workers.away)
        self._server.add_generic_rpc_handlers((_Checks(self._servicer, self._workers),))
        self._health = _Health()
        self._server.add_generic_rpc_handlers((self._health.handlers(self._workers),))
        self.address = address
        """Where it listens; once it does, with the port that it got if 0 was asked for."""
        self._tls = tls
        self._sockets = sockets

    @property
    def refusals(self) -> Refusals:
        """The calls that it has refused under overload."""
        return self._servicer.refusals

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises:
            ConfigurationError: the address can't be listened on, or the certificate can't be used.
        """
        self.address = listen(self._server, self.address, key="listen.grpc", tls=self._tls, sockets=self._sockets)
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Report NOT_SERVING, so that the callers' health checks look elsewhere, and hold no calls any more."""
        self._health.enter_graceful_shutdown()
        if self._holding is not None:
            self._holding.close()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""
        if (
            self._servicer.asked or self._health.asked
        ) and grace > LEAVING:  # whoever calls now has not heard yet that we go
            await asyncio.sleep(LEAVING)
            grace -= LEAVING
        ended = self._server.stop(grace)
        await asyncio.to_thread(ended.wait)
        self._workers.shutdown()
