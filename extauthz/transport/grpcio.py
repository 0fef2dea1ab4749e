"""The `grpcio` transport: the portable one and the reference.

The synchronous `grpc.server`, because it is half as fast again as `grpc.aio`. A Check that needs no look-up is
answered in its worker thread. One that must wait goes to the event loop and keeps its thread meanwhile, so the calls
that may wait are fewer than the threads: what needs no look-up is always served.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import NoReturn, Protocol

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz.check.checker import Checker, Opened
from extauthz.errors import ConfigurationError, Overloaded, StateUnavailable
from extauthz.record.decision import TRACE_HEADERS, Trace
from extauthz.transport import unix_sockets
from extauthz.transport.calls import ANSWER_MARGIN, LONGEST_WAIT, too_late
from extauthz.transport.methods import LEAVING, MAX_MESSAGE, SERVICE
from extauthz.transport.tls import Tls

THREADS = 64
WAITING = 48
_NAMES = "x509_subject_alternative_name"
_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls without anybody noticing
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: a small message could become any number of bytes
)


_log = structlog.get_logger(__name__)


class CallContext(Protocol):
    """The part of `grpc.ServicerContext` that a Check needs."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, `None` if there is none."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """The headers of the call."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What is known of the caller's certificate."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call."""


class AuthorizationServicer:
    """`envoy.service.auth.v3.Authorization` on raw bytes."""

    def __init__(
        self, checker: Checker, loop: asyncio.AbstractEventLoop, *, callers: frozenset[str] = frozenset()
    ) -> None:
        """`callers` are the names of certificates, of which a caller must have one; without any, all may call."""
        self._checker = checker
        self._loop = loop
        self._callers = frozenset(name.encode() for name in callers)
        self._waiting = threading.BoundedSemaphore(WAITING)
        self.asked = False
        """Whether somebody calls."""

    def Check(self, request: bytes, context: CallContext) -> bytes:  # noqa: N802 - the name is Envoy's
        """The bytes of the CheckResponse to the CheckRequest in `request`; never raises, but for a stranger."""
        if self._callers and self._callers.isdisjoint(context.auth_context().get(_NAMES, ())):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not a caller that `listen.tls.callers` names")
        self.asked = True
        started = self._checker.start(request, trace=_trace(context), remaining=context.time_remaining)
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
            return self._checker.abandon(opened, too_late(opened))


def _trace(context: CallContext) -> Trace:
    """The caller's span, which Envoy sends beside the CheckRequest and not in it."""
    metadata = context.invocation_metadata()
    return tuple((name, value) for name, value in metadata if name in TRACE_HEADERS and isinstance(value, str))


class _Health(health.HealthServicer):
    """grpc.health.v1, which remembers whether it was `asked`: whoever asks for health sends Checks."""

    asked = False

    def Check(  # noqa: N802 - the name is gRPC's
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        self.asked = True
        return super().Check(request, context)


class GrpcioTransport:
    """A `grpc.server` with Authorization and grpc.health.v1 on one address."""

    def __init__(
        self, checker: Checker, loop: asyncio.AbstractEventLoop, *, address: str, tls: Tls | None = None
    ) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="check"), options=_OPTIONS
        )
        self._servicer = AuthorizationServicer(checker, loop, callers=frozenset() if tls is None else tls.names)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._servicer.Check)
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._address = address
        self._tls = tls
        self._port = 0

    @property
    def address(self) -> str:
        """Where it listens; with the port that was given if 0 was asked for."""
        if self._address.startswith("unix:"):
            return self._address
        return f"{self._address.rpartition(':')[0]}:{self._port}"

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises:
            ConfigurationError: the address can't be listened on.
        """
        if self._tls is not None:
            self._tls.check()
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
        if self._tls is None:
            self._port = self._server.add_insecure_port(self._address)
        else:
            self._port = self._server.add_secure_port(self._address, _credentials(self._tls))
        if path is not None:
            path.chmod(unix_sockets.MODE)

    def drain(self) -> None:
        """Report NOT_SERVING, so that the callers' health checks look elsewhere."""
        self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""
        if (
            self._servicer.asked or self._health.asked
        ) and grace > LEAVING:  # whoever calls now has not heard yet that we go
            await asyncio.sleep(LEAVING)
            grace -= LEAVING
        ended = self._server.stop(grace)
        await asyncio.to_thread(ended.wait)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """The server's credentials, which follow their files: they are looked at with each connection."""
    read = _contents(tls)

    def renew() -> grpc.ServerCertificateConfiguration | None:
        nonlocal read
        try:
            found = _contents(tls)
        except OSError:  # they are being replaced
            return None
        if found == read:
            return None
        try:
            tls.check()
        except ConfigurationError as error:
            _log.error("certificate-refused", error=str(error))
            return None
        read = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(read),
        renew,  # type: ignore[arg-type] # nothing is what it gives for nothing new; grpc says so in words only
        require_client_authentication=tls.authorities is not None,
    )


def _contents(tls: Tls) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in tls.files)


def _configuration(contents: tuple[bytes, ...]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *authorities = contents
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=authorities[0] if authorities else None
    )
