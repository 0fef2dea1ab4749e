"""The gRPC API for approvals: it does what the HTTP API does, says the same words, and shows a certificate."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from approval_api.answering_people import (
    ANNA,
    APP,
    BEN,
    OTHER_KEY,
    STRANGER,
    Desk,
    answering,
    configure,
    token,
)
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed
from grpc_health.v1 import health_pb2

from extauthz._pb.extauthz.v1 import approvals_pb2 as pb
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.web.approval_rpc import SERVICE

REQUESTS: dict[str, tuple[Any, Any]] = {
    "List": (pb.ListApprovalsRequest, pb.ListApprovalsResponse),
    "Get": (pb.GetApprovalRequest, pb.Approval),
    "Approve": (pb.VoteRequest, pb.Approval),
    "Deny": (pb.VoteRequest, pb.Approval),
    "Cancel": (pb.CancelApprovalRequest, pb.Approval),
    "Revoke": (pb.RevokeApprovalRequest, pb.Approval),
    "Review": (pb.ReviewApprovalRequest, pb.Approval),
}


def call(channel: grpc.Channel, name: str, who: str | None = ANNA, **fields: Any) -> Any:
    kind, answer = REQUESTS[name]
    method: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=kind.SerializeToString, response_deserializer=answer.FromString
    )
    metadata = () if who is None else (("authorization", f"Bearer {who}"),)
    return method(kind(**fields), metadata=metadata, timeout=30)


def refused(channel: grpc.Channel, name: str, who: str | None = ANNA, **fields: Any) -> tuple[grpc.StatusCode, Any]:
    """The status of a call that fails, and its ErrorInfo."""
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, name, who, **fields)
    error: Any = raised.value
    (binary,) = [value for name, value in error.trailing_metadata() if name == "grpc-status-details-bin"]
    status = Status.FromString(binary)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "extauthz"
    return error.code(), info


def test_every_method_of_the_proto_file_is_served(desk: Desk) -> None:
    service = pb.DESCRIPTOR.services_by_name["Approvals"]
    assert {method.name for method in service.methods} == {*REQUESTS, "Watch"}
    for method in service.methods:
        if method.name != "Watch":
            assert method.input_type == REQUESTS[method.name][0].DESCRIPTOR
            assert method.output_type == REQUESTS[method.name][1].DESCRIPTOR
    with desk.channel() as channel:
        for name in REQUESTS:
            assert refused(channel, name, None)[0] is grpc.StatusCode.UNAUTHENTICATED


def test_an_approval_goes_through_its_life(desk: Desk) -> None:
    id_ = desk.opened().id
    with desk.channel() as channel:
        shown = call(channel, "Get", id=id_)
        assert (shown.status, shown.rule, shown.subject.id) == (pb.PENDING, "bank/two", "uma")
        assert shown.subject.properties["claims"]["status"] == "employed"
        assert shown.resource.properties["show"]["amount"] == "5,000 €"
        assert abs(shown.opened_at.seconds - time.time()) < 60
        assert (shown.needed.approve, shown.viewer.against) == (2, "")
        voted = call(channel, "Approve", id=id_, reason="fine")
        assert [(one.person, one.stance, one.channel, one.reason) for one in voted.votes] == [
            ("anna", pb.APPROVE, "grpc", "fine")
        ]
        assert call(channel, "Approve", BEN, id=id_).status == pb.APPROVED
        assert desk.granted() == [id_]
        assert call(channel, "Revoke", id=id_, reason="no").revoked.person == "anna"
        denied = desk.opened("one").id
        assert call(channel, "Deny", id=denied, reason="no").status == pb.DENIED
        own = desk.opened().id
        assert call(channel, "Cancel", token("uma"), id=own, reason="x").cancelled.person == "uma"
        broken = desk.opened("glass", glass=True).id
        reviewed = call(channel, "Review", id=broken, verdict=pb.JUSTIFIED, reason="it burned")
        assert reviewed.break_glass.review.verdict == pb.JUSTIFIED


def test_the_list_comes_in_pages_as_it_is_asked_for(desk: Desk) -> None:
    ids = [desk.opened().id for _ in range(3)]
    with desk.channel() as channel:
        page = call(channel, "List", page_size=2)
        assert [one.id for one in page.approvals] == ids[:0:-1]
        rest = call(channel, "List", page_size=2, page_token=page.next_page_token)
        assert ([one.id for one in rest.approvals], rest.next_page_token) == ([ids[0]], "")
        for wanted, found in (
            (pb.ApprovalFilter(status=[pb.APPROVED]), 0),
            (pb.ApprovalFilter(rule="bank/two", mine=True), 3),
            (pb.ApprovalFilter(subject="uma", issuer=APP), 3),
            (pb.ApprovalFilter(unreviewed=True), 0),
        ):
            assert len(call(channel, "List", filter=wanted).approvals) == found
        for fields in (
            {"page_size": 201},
            {"page_token": "nonsense"},
            {"filter": pb.ApprovalFilter(subject="uma")},
            {"filter": pb.ApprovalFilter(status=[pb.APPROVAL_STATUS_UNSPECIFIED])},
        ):
            code, info = refused(channel, "List", **fields)
            assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED")


def test_refusals_have_the_words_of_http(desk: Desk) -> None:
    id_, fresh = desk.opened().id, desk.opened("fresh").id
    with desk.channel() as channel:
        for who, verb, fields, code, word in (
            (STRANGER, "Get", {"id": id_}, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
            (STRANGER, "Approve", {"id": id_}, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
            (STRANGER, "Cancel", {"id": id_}, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
            (token("uma", "treasury"), "Approve", {"id": id_}, grpc.StatusCode.PERMISSION_DENIED, "REQUESTER"),
            (token("anna", act={"sub": "x"}), "Get", {"id": id_}, grpc.StatusCode.PERMISSION_DENIED, "ACTED_FOR"),
            (token("anna", key=OTHER_KEY), "Get", {"id": id_}, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
            (ANNA, "Cancel", {"id": id_}, grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_REQUESTER"),
            (ANNA, "Revoke", {"id": id_}, grpc.StatusCode.FAILED_PRECONDITION, "NOT_APPROVED"),
            (ANNA, "Review", {"id": id_}, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED"),
        ):
            found, info = refused(channel, verb, who, **fields)
            assert (found, info.reason) == (code, word)
        code, info = refused(channel, "Approve", id=fresh)
        assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "NEEDS_FACTOR")
        page = f"https://approvals.example.com/approvals/{fresh}"
        assert dict(info.metadata) == {"factors": "otp", "max_age": "120", "page": page}
        app = desk.enroll("anna")
        assert call(channel, "Approve", id=fresh, code=app.now()).votes[0].factor == "otp"


def test_a_message_too_long_is_refused(desk: Desk) -> None:
    id_ = desk.opened().id
    with desk.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        call(channel, "Approve", id=id_, reason="x" * 70_000)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_its_health_can_be_asked(desk: Desk) -> None:
    with desk.channel() as channel:
        check: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for service in ("", SERVICE):
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_message_says_all_that_json_says(desk: Desk) -> None:
    id_ = desk.opened("glass", glass=True).id
    told = desk.ask("GET", f"/v1/approvals/{id_}").json()
    with desk.channel() as channel:
        shown = call(channel, "Get", id=id_)
    fields = {field.name for field in pb.Approval.DESCRIPTOR.fields}
    assert set(told) == fields
    assert shown.break_glass.reason == told["break_glass"]["reason"]


def test_only_those_with_a_certificate_of_a_name_call_where_names_are_wanted(tmp_path: Path) -> None:
    caller = "spiffe://prod.example.org/ns/ops/sa/console"
    authority = create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC))
    authority.issue_server(tmp_path / "server")
    good = authority.issue_workload(tmp_path / "good", caller)
    other = authority.issue_workload(tmp_path / "other", f"{caller}2")
    tls = {
        "certificate": "server.pem",
        "key": "server.key",
        "callers": {"authorities": "ca.pem", "names": [caller]},
    }
    with answering(configure(tmp_path, approvals_tls=tls)) as desk:
        id_ = desk.opened().id
        port = desk.rpc.rpartition(":")[2]
        for pair, outcome in ((good, None), (other, "NOT_A_CALLER")):
            credentials = grpc.ssl_channel_credentials(
                (tmp_path / "ca.pem").read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
            )
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(f"localhost:{port}", credentials, options) as channel:
                if outcome is None:
                    assert call(channel, "Get", id=id_).id == id_
                else:
                    assert refused(channel, "Get", id=id_)[1].reason == outcome
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
            call(channel, "Get", id=id_)
