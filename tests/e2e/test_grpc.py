"""A gRPC caller through Envoy gets gRPC statuses, and details that it can read."""

import json
import queue
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from e2e.stage import SHOP, Stage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # generated, without types

CI = "spiffe://prod.example.org/ns/ci/sa/runner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What a client knows of a call that was refused."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    retry_after: tuple[int, ...]


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


def _refused(call: "grpc.RpcError") -> Refused:
    """What the client reads: a call that ends with its headers has them as trailers."""
    error: Any = call  # a `grpc.Call` too, which its types do not say
    trailers = dict((*error.initial_metadata(), *error.trailing_metadata()))
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    information = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(information)
    assert information.domain == "extauthz"
    assert trailers["x-extauthz-decision-id"] == information.metadata["decision_id"]
    delays = []
    for detail in status.details[1:]:
        delay = error_details_pb2.RetryInfo()
        assert detail.Unpack(delay)
        delays.append(delay.retry_delay.seconds)
    return Refused(
        code=error.code(),
        message=error.details(),
        reason=information.reason,
        metadata=dict(information.metadata),
        retry_after=tuple(delays),
    )


REFUSALS: list[tuple[str, str | None, dict[str, str], grpc.StatusCode, str, str, tuple[int, ...]]] = [
    # Without a `grpc-status` of ours Envoy would say INTERNAL (400), and UNKNOWN to what a browser gets as 302.
    ("/bank.Ledger//Lookup", SHOP, {}, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_PATH",
     "The path of the request is malformed, or could be read in more than one way.", ()),
    ("/bank.Ledger/Lookup", None, {}, grpc.StatusCode.UNAUTHENTICATED, "NO_RULE_ALLOWS",
     "The request does not prove who sends it.", ()),
    ("/bank.Ledger/Lookup", None, {"authorization": "Bearer x.y.z"}, grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN",
     "The token is not valid here.", ()),
    ("/bank.Ledger/Lookup", CI, {}, grpc.StatusCode.PERMISSION_DENIED, "NO_RULE_ALLOWS",
     "The request is not allowed.", ()),
    ("/bank.Ledger/Book", None, {"authorization": "alice"}, grpc.StatusCode.UNAUTHENTICATED, "PROOF_REQUIRED",
     "This needs fresh proof of who you are.", ()),
    ("/bank.Ledger/Book", None, {"authorization": "alice", "sec-fetch-mode": "navigate", "accept": "text/html"},
     grpc.StatusCode.UNAUTHENTICATED, "PROOF_REQUIRED", "This needs fresh proof of who you are.", ()),
    ("/bank.Ledger/Close", SHOP, {}, grpc.StatusCode.PERMISSION_DENIED, "APPROVAL_REQUIRED",
     "This waits for an approval. Repeat the same request later.", (5,)),
    ("/bank.Archive/Read", SHOP, {}, grpc.StatusCode.NOT_FOUND, "NO_ARCHIVE",
     "caf\u00e9 has no /bank.Archive/Read", ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "workload", "metadata", "code", "reason", "message", "retry_after"),
    REFUSALS,
    ids=[f"{row[0]} {row[4]}" for row in REFUSALS],
)
def test_a_client_reads_status_message_and_details(
    gateway: Stage,
    method: str,
    workload: str | None,
    metadata: dict[str, str],
    code: grpc.StatusCode,
    reason: str,
    message: str,
    retry_after: tuple[int, ...],
) -> None:
    sent = {**metadata, **gateway.bearer("alice")} if metadata.get("authorization") == "alice" else metadata
    with _channel(gateway, workload) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method, bytes, bytes)(b"ping", metadata=tuple(sent.items()), timeout=15)
    said = _refused(refused.value)
    assert (said.code, said.reason, said.message) == (code, reason, message)
    assert said.retry_after == retry_after


def test_a_refused_stream_ends_with_status_and_details(gateway: Stage) -> None:
    with _channel(gateway, CI) as channel, pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream("/bank.Ledger/Follow", bytes, bytes)(iter([b"one"]), timeout=15))
    assert (_refused(refused.value).code, _refused(refused.value).reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "NO_RULE_ALLOWS",
    )


def test_an_allowed_call_reaches_the_service(gateway: Stage) -> None:
    assert _call(gateway, "Lookup", workload=SHOP) == b"ping"


def test_a_challenge_says_what_would_meet_it(gateway: Stage) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(gateway, "Book", metadata=tuple(gateway.bearer("alice").items()))
    said = _refused(refused.value)
    assert (said.code, said.metadata["max_age"]) == (grpc.StatusCode.UNAUTHENTICATED, "300")
    assert json.loads(said.metadata["demands"]) == [{"factors": ["totp"], "max_age": 300}]


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
