"""The generator that asks without waiting: what it sends is gRPC, and what became of every call is told."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from itertools import repeat

import grpc
import pytest

from bench.harness.h2load import GRPC, LoadFailed
from bench.harness.openloop import Outcome, frame, header_block, run
from bench.harness.servers import free_address
from bench.noop import CHECK, SERVICE, framed

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def _serving(check: Handler) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": method}),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


def _asked(address: str, *, deadline: float = 20.0, body: bytes = b"ping", most: int | None = None) -> Outcome:
    headers = {":method": "POST", ":scheme": "http", ":path": CHECK, ":authority": address, **GRPC}
    return run(
        address,
        headers,
        repeat(framed(body)),
        rate=400,
        seconds=0.25,
        deadline=deadline,
        connections=2,
        core=None,
        most=most,
    )


def test_every_call_arrives_as_it_was_meant_and_is_answered() -> None:
    with _serving(lambda request, _: b"re:" + request) as address:
        outcome = _asked(address)
    assert outcome.asked == len(outcome.answered) > 50
    assert {one.message for one in outcome.answered} == {b"re:ping"}
    assert all(one.seconds > 0 for one in outcome.answered)


def test_more_than_a_window_of_the_server_is_sent() -> None:
    with _serving(lambda request, _: str(len(request)).encode()) as address:
        outcome = _asked(address, body=b"x" * 10_000)
    assert outcome.asked == len(outcome.answered)
    assert {one.message for one in outcome.answered} == {b"10000"}


def test_an_error_of_grpc_has_no_message() -> None:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")

    with _serving(refuse) as address:
        outcome = _asked(address)
    assert outcome.asked == len(outcome.answered)
    assert {one.message for one in outcome.answered} == {None}


def test_a_call_that_never_ends_is_not_among_the_answered() -> None:
    def stall(request: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active():
            time.sleep(0.05)
        return request

    with _serving(stall) as address:
        outcome = _asked(address, deadline=0.0)
    assert outcome.asked > 50
    assert not outcome.answered


def test_no_more_calls_than_may_be_are_under_way_and_the_others_are_held_back() -> None:
    here, most_here, lock = 0, 0, threading.Lock()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        nonlocal here, most_here
        with lock:
            here += 1
            most_here = max(most_here, here)
        time.sleep(0.02)
        with lock:
            here -= 1
        return request

    with _serving(slow) as address:
        outcome = _asked(address, most=3)
    assert most_here == 3
    assert outcome.held_back > 0
    assert outcome.asked == len(outcome.answered) + outcome.held_back


def test_nobody_there_is_told() -> None:
    with pytest.raises(LoadFailed, match="the connection broke"):
        _asked(free_address())


def test_frames_and_header_blocks_are_those_of_the_rfcs() -> None:
    assert frame(0x0, 0x1, 3, b"ab") == bytes.fromhex("000002 00 01 00000003 6162".replace(" ", ""))
    assert frame(0x0, 0x0, 1, b"a" * 70_000)[:9] == bytes.fromhex("011170000000000001")
    # RFC 7541, appendix C.2.2 has the same kind of field, with an indexed name
    assert header_block({"te": "trailers"}) == b"\0\x02te\x08trailers"
    with pytest.raises(ValueError, match="too long"):
        header_block({"te": "x" * 127})
