"""The grpcio transport: the servicer without a socket, and the server on real ones."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc_testing
import pytest
from checking import Bench, beginning_with, told
from grpc_health.v1 import health_pb2
from patience import comes

from extauthz._pb.envoy.service.auth.v3 import external_auth_pb2
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.case import Remaining
from extauthz.check.opened import Opened
from extauthz.errors import ConfigurationError
from extauthz.record.decision import Trace
from extauthz.store.protocol import Found
from extauthz.transport import grpcio
from extauthz.transport.grpcio import AuthorizationServicer, GrpcioTransport
from extauthz.transport.methods import SERVICE
from extauthz.values.identity import Subject

DESCRIPTOR = external_auth_pb2.DESCRIPTOR.services_by_name["Authorization"]
CHECK = DESCRIPTOR.methods_by_name["Check"]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that turns in a thread of its own, as the server's does beside its workers."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class TooLate(Exception):
    """The caller's deadline was over before there was an answer."""


def without_a_socket(servicer: AuthorizationServicer, payload: bytes, *, timeout: float = 5) -> CheckResponse:
    """The answer through grpcio-testing, whose stand-in for a channel carries the bytes as they are."""
    server = grpc_testing.server_from_dictionary({DESCRIPTOR: servicer}, grpc_testing.strict_real_time())
    answer, _, code, _ = server.invoke_unary_unary(CHECK, (), payload, timeout).termination()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TooLate
    assert code is grpc.StatusCode.OK
    return CheckResponse.FromString(answer)


def health(channel: grpc.Channel, service: str) -> int:
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2.HealthCheckResponse.FromString(check(request.SerializeToString(), timeout=5)).status


def reason(response: CheckResponse) -> str:
    return told(response)["reason"]


class TestServicer:
    """The servicer, driven without a socket."""

    def test_what_needs_no_look_up_is_answered_without_the_loop(self, bench: Bench) -> None:
        never_run = asyncio.new_event_loop()
        response = without_a_socket(AuthorizationServicer(bench.checker, never_run), bench.request("/health"))
        never_run.close()
        assert response.status.code == 0

    def test_what_needs_a_look_up_is_finished_on_the_loop(self, bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
        response = without_a_socket(AuthorizationServicer(bench.checker, loop), bench.as_user("/pay?amount=5000"))
        assert reason(response) == "proof-required"

    @pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x0a\x03abc"])
    def test_any_bytes_get_an_explicit_denial(
        self, bench: Bench, loop: asyncio.AbstractEventLoop, payload: bytes
    ) -> None:
        response = without_a_socket(AuthorizationServicer(bench.checker, loop), payload)
        assert response.status.code != 0
        assert response.WhichOneof("http_response") == "denied_response"

    def test_a_loop_that_is_closed_denies(self, bench: Bench) -> None:
        closed = asyncio.new_event_loop()
        closed.close()
        response = without_a_socket(AuthorizationServicer(bench.checker, closed), bench.as_user("/pay?amount=5000"))
        assert (response.status.code, reason(response)) == (14, "state-unavailable")

    def test_a_look_up_that_hangs_is_denied_before_the_callers_deadline(
        self, bench: Bench, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench.store, "look_up", _hangs)
        servicer = AuthorizationServicer(bench.checker, loop)

        def is_told() -> bool:
            """A busy machine may wake nobody in the little time that is left for the answer."""
            try:
                response = without_a_socket(servicer, bench.as_user("/pay?amount=5000"), timeout=0.2)
            except TooLate:
                return False
            assert (response.status.code, reason(response)) == (14, "state-unavailable")
            return True

        assert comes(is_told)

    def test_the_checker_knows_how_long_the_caller_still_waits(
        self, bench: Bench, loop: asyncio.AbstractEventLoop
    ) -> None:
        known: list[float | None] = []
        start = bench.checker.start

        def noting(payload: bytes, trace: Trace, remaining: Remaining, may_wait: bool) -> bytes | Opened:
            known.append(remaining())
            return start(payload, trace=trace, remaining=remaining, may_wait=may_wait)

        servicer = AuthorizationServicer(beginning_with(noting, bench.checker), loop)
        without_a_socket(servicer, bench.request("/health"), timeout=3)
        (remaining,) = known
        assert remaining is not None
        assert 0 < remaining <= 3

    def test_waiting_calls_are_capped_and_the_others_are_served(
        self, bench: Bench, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(grpcio, "WAITING", 1)
        waiting, go_on = threading.Event(), asyncio.Event()

        async def slow(*_: object, **__: object) -> Found:
            waiting.set()
            await go_on.wait()
            return Found()

        monkeypatch.setattr(bench.store, "look_up", slow)
        servicer = AuthorizationServicer(bench.checker, loop)
        payload = bench.as_user("/pay?amount=5000")
        first: list[CheckResponse] = []
        caller = threading.Thread(target=lambda: first.append(without_a_socket(servicer, payload)))
        caller.start()
        assert waiting.wait(5)
        second = without_a_socket(servicer, bench.as_user("/pay?amount=5000"))
        unaffected = without_a_socket(servicer, bench.request("/health"))
        loop.call_soon_threadsafe(go_on.set)
        caller.join()
        assert (second.status.code, reason(second)) == (14, "overloaded")
        assert servicer.refusals.counts == {"turn": 0, "waiting": 1}
        assert unaffected.status.code == 0
        assert reason(first[0]) == "proof-required"
        assert reason(without_a_socket(servicer, bench.as_user("/pay?amount=5000"))) == "proof-required"


async def _hangs(_subject: Subject, _session: str, **_: object) -> Found:
    await asyncio.Event().wait()
    return Found()


class TestServer:
    """The server on real sockets."""

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_it_answers_checks_and_health(
        self, bench: Bench, loop: asyncio.AbstractEventLoop, kind: str, tmp_path: Path
    ) -> None:
        address = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/grpc.sock"
        transport = GrpcioTransport(bench.checker, loop, address=address)
        asyncio.run(transport.start())
        with grpc.insecure_channel(transport.address) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
            assert CheckResponse.FromString(check(bench.request("/health"), timeout=5)).status.code == 0
            assert reason(CheckResponse.FromString(check(bench.as_user("/pay?amount=5000"), timeout=5))) == (
                "proof-required"
            )
            for service in ("", SERVICE):
                assert health(channel, service) == health_pb2.HealthCheckResponse.SERVING
            transport.drain()
            assert health(channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING
        asyncio.run(transport.stop(1))

    def test_who_has_not_heard_that_it_goes_is_still_answered(
        self, bench: Bench, loop: asyncio.AbstractEventLoop
    ) -> None:
        transport = GrpcioTransport(bench.checker, loop, address="127.0.0.1:0")
        asyncio.run(transport.start())

        def answered() -> bool:
            with grpc.insecure_channel(transport.address) as channel:
                check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
                try:
                    response = CheckResponse.FromString(check(bench.request("/health"), timeout=5))
                except grpc.RpcError:
                    return False
            assert response.WhichOneof("http_response") == "ok_response"
            return True

        async def leave() -> bool:
            transport.drain()
            stopping = asyncio.create_task(transport.stop(5))
            meanwhile = await asyncio.to_thread(answered)
            await stopping
            return meanwhile

        assert answered()
        assert asyncio.run(leave())
        assert not answered()

    def test_an_address_in_use_is_one_clear_error(self, bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
        first = GrpcioTransport(bench.checker, loop, address="127.0.0.1:0")
        asyncio.run(first.start())
        second = GrpcioTransport(bench.checker, loop, address=first.address)
        with pytest.raises(ConfigurationError, match=r"listen\.grpc: can't listen on `127\.0\.0\.1:"):
            asyncio.run(second.start())
        asyncio.run(first.stop(0))
        asyncio.run(second.stop(0))

    def test_a_socket_that_an_earlier_run_left_is_taken_over(
        self, bench: Bench, loop: asyncio.AbstractEventLoop, tmp_path: Path
    ) -> None:
        address = f"unix:{tmp_path}/grpc.sock"
        for _ in range(2):
            transport = GrpcioTransport(bench.checker, loop, address=address)
            asyncio.run(transport.start())
            with grpc.insecure_channel(address) as channel:
                check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
                answer = check(bench.request("/health"), timeout=5)
            assert CheckResponse.FromString(answer).status.code == 0
            asyncio.run(transport.stop(0))
