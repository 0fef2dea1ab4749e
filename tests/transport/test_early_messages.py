"""Messages that are asked for when a call comes: what becomes of each call, and that none is forgotten or kept."""

import asyncio
import gc
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from checking import Bench, told
from grpc import _server
from patience import GENEROUS, comes
from transport.raw_calls import Call, call

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport import early_messages, grpcio
from extauthz.transport.admission import MOST_AHEAD
from extauthz.transport.grpc_calls import Unread
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.methods import CHECK
from extauthz.transport.workers import Workers

MOST = 3
SOME = 8


def test_the_server_that_is_installed_is_known() -> None:
    assert early_messages.usable()


@pytest.mark.parametrize("name", ["_unary_response_in_pool", "_possibly_finish_call", "_status", "_Context"])
def test_another_server_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as other:
        other.setattr(_server, name, print)
        assert not early_messages.usable()
    monkeypatch.delattr(_server, name)
    assert not early_messages.usable()


@pytest.mark.parametrize("version", ["1.79.3", "1.86.0", "2.0.0", "1.85rc", "nightly"])
def test_nor_one_that_this_was_not_tried_with(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(grpc, "__version__", version)
    assert not early_messages.usable()


def test_nor_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc._cython", None)
    source = Path(early_messages.__file__).with_name("early_messages.py")
    alone = runpy.run_path(str(source))
    assert alone["usable"]() is False


class _WithoutDue:
    """What gRPC knows of a call, if it knew it otherwise."""

    condition = threading.Condition()


def test_nor_one_that_knows_calls_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_RPCState", _WithoutDue)
    assert not early_messages.usable()


@contextmanager
def serving(bench: Bench, noted: list[Workers]) -> Iterator[GrpcioTransport]:
    """A server; its workers are noted."""

    class Noted(Workers):
        def __init__(self, deciding: int) -> None:
            super().__init__(deciding)
            noted.append(self)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpcio, "Workers", Noted)
        transport = GrpcioTransport(bench.checker, loop, address="127.0.0.1:0")
    asyncio.run(transport.start())
    try:
        yield transport
    finally:
        asyncio.run(transport.stop(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(params=[True, False], ids=["early", "the public way"])
def early(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether messages are asked for early."""
    possible: bool = request.param
    if not possible:
        monkeypatch.setattr(grpcio, "usable", lambda: False)
    return possible


@pytest.mark.usefixtures("early")
def test_both_ways_give_the_same_answers(bench: Bench) -> None:
    with serving(bench, []) as transport, grpc.insecure_channel(transport.address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)

        def reason(request: bytes) -> str:
            return told(CheckResponse.FromString(check(request, timeout=GENEROUS)))["reason"]

        assert reason(bench.request("/health")) == "allowed"
        assert reason(bench.as_user("/pay?amount=5000")) == "proof-required"
        assert reason(b"\xff") == "malformed-check"


def test_threads_wait_for_a_message_where_it_can_not_be_asked_for_early(bench: Bench, early: bool) -> None:
    noted: list[Workers] = []
    go_on = threading.Event()

    def late() -> Iterator[bytes]:
        go_on.wait(GENEROUS)
        yield bench.request("/health")

    with serving(bench, noted) as transport, grpc.insecure_channel(transport.address) as channel:
        (workers,) = noted
        check: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(CHECK)
        waiting = check.future(late(), timeout=GENEROUS)
        assert comes(lambda: (len(workers.unread), len(workers.waits.under_way)) == ((1, 0) if early else (0, 1)))
        go_on.set()
        assert told(CheckResponse.FromString(waiting.result()))["reason"] == "allowed"
        assert comes(lambda: not workers.unread and not workers.waits.under_way)


@pytest.mark.usefixtures("early")
def test_no_message_is_told_in_so_many_words(bench: Bench) -> None:
    noted: list[Workers] = []
    with serving(bench, noted) as transport:
        outcome = call(transport.address, Call())
    assert outcome.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert outcome.details == f"\"b'{CHECK}'\" requires exactly one request message."
    assert comes(lambda: not noted[0].unread)


def taken_back() -> int:
    """Calls that are still known, and whose callers have gone."""
    return sum(isinstance(one, _server._RPCState) and one.client == _server._CANCELLED for one in gc.get_objects())


@pytest.mark.skipif(not early_messages.usable(), reason="no call goes this way")
class TestOfAServer:
    """Calls of a server with a method of the test's own."""

    @contextmanager
    def calling(
        self, method: Callable[[bytes, grpc.ServicerContext], bytes], unread: Unread
    ) -> Iterator["grpc.UnaryUnaryMultiCallable[bytes, bytes]"]:
        class Servicer:
            Check = staticmethod(method)

        workers = Workers(1)
        workers.unread = unread
        server = grpc.server(workers)  # type: ignore[arg-type] # it is for `submit` alone
        server.add_generic_rpc_handlers((grpcio._Checks(Servicer(), workers),))  # type: ignore[arg-type]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel.unary_unary(CHECK)
        finally:
            server.stop(0).wait()
            workers.shutdown()

    @pytest.fixture(autouse=True)
    def _no_refusals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(grpcio, "_Refusing", lambda _: print)

    def test_an_error_of_the_method_is_the_calls_alone(self) -> None:
        def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
            if request == b"fail":
                raise ValueError("what went wrong")
            if request == b"abort":
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
            return request

        unread = Unread(MOST, GENEROUS)
        with self.calling(fail, unread) as ask:
            for request, code, details in (
                (b"fail", grpc.StatusCode.UNKNOWN, "Exception calling application: what went wrong"),
                (b"abort", grpc.StatusCode.PERMISSION_DENIED, "not for you"),
            ):
                with pytest.raises(grpc.RpcError) as failed:
                    ask(request, timeout=GENEROUS)
                assert (failed.value.code(), failed.value.details()) == (code, details)
                assert ask(b"good", timeout=GENEROUS) == b"good"
        assert not unread

    def test_a_call_knows_its_headers_and_its_deadline(self) -> None:
        known: list[tuple[Sequence[tuple[str, str | bytes]], float | None]] = []

        def note(request: bytes, context: grpc.ServicerContext) -> bytes:
            known.append((context.invocation_metadata(), context.time_remaining()))
            return request

        with self.calling(note, Unread(MOST, GENEROUS)) as ask:
            ask(b"", timeout=GENEROUS, metadata=(("traceparent", "00-1"),))
        ((metadata, remaining),) = known
        assert ("traceparent", "00-1") in metadata
        assert remaining is not None
        assert 0 < remaining < GENEROUS + 5

    def test_a_call_that_is_taken_back_is_forgotten_and_not_decided(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        decided = []

        def wait(request: bytes, _: grpc.ServicerContext) -> bytes:
            decided.append(request)
            begun.set()
            go_on.wait(GENEROUS)
            return request

        unread = Unread(MOST, GENEROUS)
        with self.calling(wait, unread) as ask:
            left = taken_back()
            calls = [ask.future(b"", timeout=GENEROUS) for _ in range(SOME)]
            assert begun.wait(GENEROUS)
            for one in calls:
                one.cancel()
            assert comes(lambda: taken_back() >= left + SOME)
            go_on.set()
            assert ask(b"good", timeout=GENEROUS) == b"good"
        assert decided == [b"", b"good"]
        assert not unread


class TestUnread:
    """Calls that are waited for, without a server."""

    def ended(self, unread: Unread, calls: int) -> list[int]:
        """So many calls; which of them were ended, in turn."""
        over: list[int] = []
        for number in range(calls):
            unread.add(number, partial(over.append, number))
        return over

    def test_for_each_one_too_many_the_first_is_ended(self) -> None:
        unread = Unread(MOST, GENEROUS)
        over = self.ended(unread, SOME)
        unread.make_room()
        assert over == []  # their messages may be on their way
        threading.Event().wait(0.3)
        unread.make_room()
        assert over == list(range(SOME - MOST))
        for number in over:
            unread.remove(number)
        unread.make_room()
        unread.look()
        assert over == list(range(SOME - MOST))

    def test_those_whose_message_is_on_its_way_go_before_a_call_that_comes(self) -> None:
        workers = Workers(1)
        try:
            workers.unread = Unread(MOST_AHEAD, GENEROUS)
            assert workers.admits()
            self.ended(workers.unread, MOST_AHEAD + 1)
            assert not workers.admits()
            for number in range(MOST_AHEAD + 1):
                workers.unread.remove(number)
            assert workers.admits()
        finally:
            workers.shutdown()

    def test_a_call_that_comes_has_room_made_for_it(self) -> None:
        workers = Workers(1)
        try:
            workers.unread = Unread(MOST, GENEROUS)
            over = self.ended(workers.unread, SOME)
            threading.Event().wait(0.3)
            workers.admits()
            assert set(over) == set(range(SOME - MOST))
        finally:
            workers.shutdown()

    def test_those_whose_message_came_are_not(self) -> None:
        unread = Unread(MOST, 0.05)
        over = self.ended(unread, MOST)
        unread.remove(1)
        unread.look()
        assert over == []
        threading.Event().wait(0.1)
        unread.look()
        assert over == [0, 2]

    def test_who_looks_leaves_them_to_grpc_which_tells_when_they_are_over(self) -> None:
        unread = Unread(MOST, 0.0)
        self.ended(unread, 1)
        threading.Event().wait(0.01)
        unread.look()
        assert len(unread) == 1
        unread.remove(0)
        unread.remove(0)
        assert not unread
