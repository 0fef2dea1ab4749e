"""What one request may cost: the memory of the dearest ones is measured, and time is for `bench/worst.py` to tell."""

import asyncio
import importlib.util
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from fuzz.mutation import field
from fuzz.target import Target

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.methods import MAX_MESSAGE, SERVICE
from extauthz.wire.compose import check_request
from extauthz.wire.size import LARGEST, LARGEST_BESIDE

MOST_BYTES = 64_000_000
SCRIPT = Path(__file__).parents[2] / "bench" / "worst.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_worst", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORST = _loaded()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    built = Target()
    yield built
    built.close()


@pytest.fixture
def transport(target: Target) -> Iterator[GrpcioTransport]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = GrpcioTransport(target.checker, loop, address="127.0.0.1:0")
    asyncio.run(served.start())
    yield served
    asyncio.run(served.stop(0))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_dearest_requests_stay_within_their_memory() -> None:
    checker, peaks = WORST.make_checker(), {}
    payloads = {name: make() for name, make in WORST.CASES.items()}
    tracemalloc.start()
    try:
        for name, payload in payloads.items():
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert WORST.answer(checker, payload)
            peaks[name] = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert {name: peak for name, peak in peaks.items() if peak > MOST_BYTES / 2} == {}


def test_what_is_too_large_is_refused_before_it_is_parsed(target: Target) -> None:
    http = field(2, b"GET") + field(4, b"/open") + field(5, b"app.example")
    # Parsed, each would be many times as large as its bytes.
    empties = b"\x0a\x00" * LARGEST_BESIDE
    for payload in (
        field(1, field(4, field(2, http + field(13, empties)))),
        field(1, field(4, field(2, http)) + field(11, empties)),
        field(1, field(4, field(2, http)) + field(10, empties)),
        field(1, field(4, field(2, http + empties))),
        field(1, field(4, field(2, http + field(12, b"x" * LARGEST)))),
        b"\x0a\x00" * LARGEST,
    ):
        answered = target.answer(payload)
        assert (answered.allows, answered.reason) == (False, "malformed-check")
        assert "larger than" in str(answered.record.detail)


def test_a_large_body_is_no_large_check(target: Target) -> None:
    body = b"x" * (LARGEST - LARGEST_BESIDE)
    assert target.answer(check_request(host="app.example", path="/open", body=body)).allows


def test_headers_that_are_too_large_together_are_refused(target: Target) -> None:
    for headers in ({"x-a": "x" * 131_072, "x-b": "x"}, {f"x-{n}": "x" * 64 for n in range(2_048)}):
        for raw in (True, False):
            answered = target.answer(check_request(host="app.example", path="/open", headers=headers, raw_headers=raw))
            assert answered.reason == "malformed-header"
    assert target.answer(check_request(host="app.example", path="/open", headers={"x-a": "x" * 130_000})).allows


def test_a_long_accept_header_names_nothing_and_is_not_kept(target: Target) -> None:
    for accept, kind in (("text/html", "text/html"), ("text/html," + "a/b," * 2_000, "application/problem+json")):
        payload = check_request(host="app.example", path="/none", headers={"accept": accept})
        headers = {one.header.key: one.header.value for one in target.answer(payload).response.denied_response.headers}
        assert headers["content-type"].startswith(kind)


def test_both_forms_of_headers_in_one_check_are_refused(target: Target) -> None:
    gold = field(1, b"x-tier") + field(2, b"gold")
    http = field(2, b"GET") + field(4, b"/gold") + field(5, b"app.example") + field(3, gold)
    assert target.answer(field(1, field(4, field(2, http)))).allows
    other = field(13, field(1, field(1, b"x-tier") + field(3, b"none")))
    assert target.answer(field(1, field(4, field(2, http + other)))).reason == "malformed-check"


def test_a_body_in_both_forms_is_not_known(target: Target) -> None:
    kept = [("content-type", "text/plain"), ("x-envoy-auth-partial-body", "false")]
    headers = b"".join(field(3, field(1, name.encode()) + field(2, value.encode())) for name, value in kept)
    http = field(2, b"POST") + field(4, b"/digits") + field(5, b"app.example") + headers
    assert target.answer(field(1, field(4, field(2, http + field(12, b"123"))))).allows
    assert not target.answer(field(1, field(4, field(2, http + field(11, b"x") + field(12, b"123"))))).allows


@pytest.mark.parametrize("size", [LARGEST + 1, MAX_MESSAGE - 1_024])
def test_over_grpc_a_check_that_is_too_large_gets_an_explicit_denial(transport: GrpcioTransport, size: int) -> None:
    with grpc.insecure_channel(transport.address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
        response = CheckResponse.FromString(check(bytes(size), timeout=10))
    assert (response.status.code, response.denied_response.status.code) == (3, 400)


def test_what_grpc_itself_refuses_is_an_error_and_no_answer(transport: GrpcioTransport) -> None:
    with grpc.insecure_channel(transport.address) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
        with pytest.raises(grpc.RpcError) as refused:
            check(bytes(MAX_MESSAGE + 1), timeout=10)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
