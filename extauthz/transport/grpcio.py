"""The `grpcio` transport: the portable one and the reference.

The synchronous `grpc.server`, because it is half as fast again as `grpc.aio`. A Check that needs no look-up is
answered in its worker thread. One that must wait goes to the event loop and keeps its thread meanwhile, so the calls
that may wait are fewer than the threads: what needs no look-up is always served.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz.check.checker import Checker, Opened, Unidentified
from extauthz.errors import ConfigurationError, IssuerUnavailable, Overloaded, Refused, StateUnavailable
from extauthz.record.decision import TRACE_HEADERS, Trace
from extauthz.transport import unix_sockets

SERVICE = "envoy.service.auth.v3.Authorization"
THREADS = 64
WAITING = 48
MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of what is taken in, so that what is too large to be read (`wire.size`) is denied in so many words. Above this
gRPC itself refuses, and the answer is an error; Envoy's `max_request_bytes` bounds the body."""
ANSWER_MARGIN = 0.02
"""Seconds before the caller's deadline at which a call that still waits is answered with a denial."""
LONGEST_WAIT = 10.0
"""Seconds a call without a deadline may wait."""
_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls without anybody noticing
    ("grpc.max_receive_message_length", MAX_MESSAGE),
)


class CallContext(Protocol):
    """The part of `grpc.ServicerContext` that a Check needs."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, `None` if there is none."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """The headers of the call."""


class AuthorizationServicer:
    """`envoy.service.auth.v3.Authorization` on raw bytes."""

    def __init__(self, checker: Checker, loop: asyncio.AbstractEventLoop) -> None:
        self._checker = checker
        self._loop = loop
        self._waiting = threading.BoundedSemaphore(WAITING)

    def Check(self, request: bytes, context: CallContext) -> bytes:  # noqa: N802 - the name is Envoy's
        """The bytes of the CheckResponse to the CheckRequest in `request`; never raises."""
        started = self._checker.start(request, trace=_trace(context))
        if isinstance(started, bytes):
            return started
        if not self._waiting.acquire(blocking=False):
            return self._checker.abandon(started, Overloaded("too many calls wait for a look-up"))
        try:
            return self._wait(started, context.time_remaining())
        finally:
            self._waiting.release()

    def _wait(self, opened: Opened, remaining: float | None) -> bytes:
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
            return self._checker.abandon(opened, _too_late(opened))


def _too_late(opened: Opened) -> Refused:
    if isinstance(opened, Unidentified):
        return IssuerUnavailable("who calls was not known before the caller's deadline")
    return StateUnavailable("the look-up took longer than the caller waits")


def _trace(context: CallContext) -> Trace:
    """The caller's span, which Envoy sends beside the CheckRequest and not in it."""
    metadata = context.invocation_metadata()
    return tuple((name, value) for name, value in metadata if name in TRACE_HEADERS and isinstance(value, str))


class GrpcioTransport:
    """A `grpc.server` with Authorization and grpc.health.v1 on one address."""

    def __init__(self, checker: Checker, loop: asyncio.AbstractEventLoop, *, address: str) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="check"), options=_OPTIONS
        )
        servicer = AuthorizationServicer(checker, loop)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.unary_unary_rpc_method_handler(servicer.Check)
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._address = address
        self._port = 0

    @property
    def address(self) -> str:
        """Where it listens; with the port that was given if 0 was asked for."""
        if self._address.startswith("unix:"):
            return self._address
        return f"{self._address.rpartition(':')[0]}:{self._port}"

    def start(self) -> None:
        """Listen, and report SERVING.

        Raises:
            ConfigurationError: the address can't be listened on.
        """
        try:
            self._bind()
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"listen.grpc: can't listen on `{self._address}`; is it in use, or not an address of this machine?"
            ) from error
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def _bind(self) -> None:
        path = Path(self._address.removeprefix("unix:")) if self._address.startswith("unix:") else None
        if path is not None:
            unix_sockets.make_way(path)  # gRPC itself would push a running server aside
        self._port = self._server.add_insecure_port(self._address)
        if path is not None:
            path.chmod(unix_sockets.MODE)

    def drain(self) -> None:
        """Report NOT_SERVING, so that the callers' health checks look elsewhere."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace: float) -> threading.Event:
        """Take no new calls and give those on their way `grace` seconds. Returns an event that is set at the end."""
        return self._server.stop(grace)
