"""A gRPC caller through Envoy gets gRPC statuses, and details that it can read."""

import grpc
import pytest
from e2e.stage import SHOP, Stage
from google.rpc import status_pb2

CI = "spiffe://prod.example.org/ns/ci/sa/runner"


def _call(
    gateway: Stage, method: str, *, workload: str | None = None, metadata: tuple[tuple[str, str], ...] = ()
) -> bytes:
    pair = None if workload is None else gateway.workload(workload)
    credentials = grpc.ssl_channel_credentials(
        gateway.authority.certificate.read_bytes(),
        *((None, None) if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())),
    )
    options = [("grpc.default_authority", "ledger.example.com"), ("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"127.0.0.1:{gateway.admin.port('https')}", credentials, options) as channel:
        answer: bytes = channel.unary_unary(f"/bank.Ledger/{method}")(b"ping", metadata=metadata, timeout=15)
    return answer


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
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    trailers = dict([*refused.value.initial_metadata(), *refused.value.trailing_metadata()])
    details = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert details.code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert "proof-required" in str(details)
