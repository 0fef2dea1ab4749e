"""A gRPC caller through Envoy gets gRPC statuses, and details that it can read."""

import queue
from typing import Any

import grpc
import pytest
from e2e.stage import SHOP, Stage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # generated, without types

CI = "spiffe://prod.example.org/ns/ci/sa/runner"


def _channel(gateway: Stage, workload: str | None) -> grpc.Channel:
    pair = None if workload is None else gateway.workload(workload)
    credentials = grpc.ssl_channel_credentials(
        gateway.authority.certificate.read_bytes(),
        *((None, None) if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())),
    )
    options = [("grpc.default_authority", "ledger.example.com"), ("grpc.ssl_target_name_override", "localhost")]
    return grpc.secure_channel(f"127.0.0.1:{gateway.admin.port('https')}", credentials, options)


def _call(
    gateway: Stage, method: str, *, workload: str | None = None, metadata: tuple[tuple[str, str], ...] = ()
) -> bytes:
    with _channel(gateway, workload) as channel:
        call = channel.unary_unary(f"/bank.Ledger/{method}", bytes, bytes)
        return call(b"ping", metadata=metadata, timeout=15)


def test_an_allowed_call_reaches_the_service(gateway: Stage) -> None:
    assert _call(gateway, "Lookup", workload=SHOP) == b"ping"


def test_nobody_is_unauthenticated(gateway: Stage) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(gateway, "Lookup")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_workload_without_a_rule_is_denied_permission(gateway: Stage) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(gateway, "Lookup", workload=CI)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_challenge_is_unauthenticated_with_details(gateway: Stage) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(gateway, "Book", metadata=tuple(gateway.bearer("alice").items()))
    error: Any = refused.value  # a `grpc.Call` too, which its types do not say
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    # A call that ends with its headers has them as trailers.
    trailers = dict((*error.initial_metadata(), *error.trailing_metadata()))
    details = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert details.code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    information = error_details_pb2.ErrorInfo()
    assert details.details[0].Unpack(information)
    assert information.reason == "PROOF_REQUIRED"
    assert information.metadata["max_age"] == "300"
    assert trailers["x-extauthz-decision-id"] == information.metadata["decision_id"]


def test_a_stream_is_not_buffered_for_its_check(gateway: Stage) -> None:
    """A caller that sends one message and waits for the answer to it before it sends the next."""
    with _channel(gateway, SHOP) as channel:
        questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        answers = channel.stream_stream("/bank.Ledger/Follow", bytes, bytes)(iter(questions.get, None), timeout=15)
        for question in (b"one", b"two"):
            questions.put(question)
            assert next(answers) == question
        questions.put(None)
        assert list(answers) == []
