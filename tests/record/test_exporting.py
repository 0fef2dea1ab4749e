"""Spans on their way to a real receiver of OTLP, over gRPC and HTTP: whole, again where it helps, in nobody's way."""

import ssl
from pathlib import Path

import grpc
import pytest
import trustme
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed
from otlp_receivers import Receiver, Say, over_http
from record.exporting import PROTOCOLS, RECEIVERS, decisions, tracing
from record.making_records import NOW_NS, allowed

from extauthz.errors import ConfigurationError
from extauthz.record.decision import Wait
from extauthz.record.life import LifeRecord
from extauthz.record.tracing import open_tracing
from extauthz.values.approvals import APPROVAL_FACTOR, Approved
from extauthz.values.decisions import Allow, Deny
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.origin import Origin
from extauthz.values.span_ids import SpanIds


def retry_info(seconds: float) -> bytes:
    """What gRPC carries beside a status (`grpc-status-details-bin`)."""
    told, held = RetryInfo(), AnyMessage()
    told.retry_delay.FromNanoseconds(int(seconds * 1e9))
    held.Pack(told)
    status: bytes = Status(code=14, details=[held]).SerializeToString()
    return status


LATER = {
    "grpc": Say(code="UNAVAILABLE", headers=[("grpc-status-details-bin", retry_info(0.01))]),
    "http/protobuf": Say(code=503, headers=[("retry-after", "0")]),
}
FULL = {
    "grpc": Say(code="RESOURCE_EXHAUSTED", headers=[("grpc-status-details-bin", retry_info(0.01))]),
    "http/protobuf": Say(code=429, headers=[("retry-after", "0")]),
}
NEVER = {"grpc": Say(code="INVALID_ARGUMENT"), "http/protobuf": Say(code=400)}


def ids_of(receiver: Receiver) -> list[str]:
    return [
        one.value.string_value
        for span in receiver.spans
        for one in span.attributes
        if one.key == "extauthz.decision_id"
    ]


def test_everything_arrives_once_and_whole(receiver: Receiver, protocol: str) -> None:
    records = decisions(3_000)
    with tracing(receiver.endpoint, protocol) as spans:
        for start in range(0, len(records), 64):
            spans.keep(records[start : start + 64])
        receiver.wait_for(lambda found: len(found.spans) >= len(records))
        receiver.wait_for(lambda _: spans.counts.waiting == 0)
        counts = spans.counts
    assert sorted(ids_of(receiver)) == sorted(record.decision_id for record in records)
    assert (counts.exported, counts.dropped, counts.waiting, counts.bytes) == (3_000, 0, 0, 0)
    assert {len(request.resource_spans) for request in receiver.requests} == {1}
    (of_resource,) = receiver.requests[0].resource_spans
    told = {one.key: one.value.string_value for one in of_resource.resource.attributes}
    assert (told["service.name"], told["service.version"]) == ("extauthz", "1.2.3")
    (of_scope,) = of_resource.scope_spans
    assert (of_scope.scope.name, of_scope.scope.version) == ("extauthz", "1.2.3")


def test_what_waits_is_sent_when_the_server_ends(receiver: Receiver, protocol: str) -> None:
    with tracing(receiver.endpoint, protocol, OTEL_BSP_SCHEDULE_DELAY="60000") as spans:
        spans.keep(decisions(70))
        assert receiver.calls == 0
    assert len(receiver.spans) == 70
    assert spans.counts.dropped == 0


def test_a_story_arrives_with_its_waits_and_links(receiver: Receiver, protocol: str) -> None:
    with tracing(receiver.endpoint, protocol) as spans:
        span = spans.give((("traceparent", f"00-{'a' * 32}-{'b' * 16}-00"),), None)
        refused = allowed(
            1,
            decision=Deny(reason="denied", rule="p/frozen"),
            span=span,
            trace=(("traceparent", f"00-{'a' * 32}-{'b' * 16}-00"),),
            waits=(Wait("store", NOW_NS, NOW_NS + 9),),
        )
        spans.keep([refused, LifeRecord(kind="approval.opened", at_ns=NOW_NS, approval="a-1", links=(span,))])
    decision, wait, opened = receiver.spans
    assert decision.trace_id.hex() == "a" * 32
    assert decision.parent_span_id.hex() == "b" * 16
    assert int.from_bytes(decision.span_id) == span.span_id
    assert (wait.name, wait.trace_id, wait.parent_span_id) == ("authz.wait.store", decision.trace_id, decision.span_id)
    assert [(link.trace_id, link.span_id) for link in opened.links] == [(decision.trace_id, decision.span_id)]
    assert opened.trace_id != decision.trace_id


def test_what_somebody_was_let_through_by_is_linked_within_the_limit(
    receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [SpanIds(1, number, sampled=True) for number in (2, 3)]
    grants = tuple(approved(f"a-{span.span_id}", span) for span in asked)
    passed = allowed(decision=Allow(rule="p/a", grants=grants))
    for limit in ("128", "1"):
        monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", limit)
        with tracing(receiver.endpoint, protocol) as spans:
            spans.keep([passed])
    whole, cut = receiver.spans
    assert [int.from_bytes(link.span_id) for link in whole.links] == [2, 3]
    assert [int.from_bytes(link.span_id) for link in cut.links] == [2]
    assert (whole.dropped_links_count, cut.dropped_links_count) == (0, 1)


def approved(id_: str, asked: SpanIds) -> Grant:
    """The grant of an approval that the decision with this span has asked for."""
    return Grant(
        id=id_,
        subject=Subject("https://idp.example", "u-1"),
        session="s",
        holder="h",
        binding="b",
        factor=APPROVAL_FACTOR,
        issued_at=1.0,
        expires_at=2.0,
        approval=Approved(id=id_, opened_at=1.0, origin=Origin(decision_id="d-1", span=asked.traceparent)),
    )


def test_headers_and_compression_are_as_the_variables_say(receiver: Receiver, protocol: str) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "X-Ignored=1",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "X-Tenant=acme%2Ceu , authorization=Bearer%20t",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with tracing(receiver.endpoint, protocol, **environ) as spans:
        spans.keep(decisions(200))
    assert len(receiver.spans) == 200
    sent = receiver.headers[0]
    assert (sent["x-tenant"], sent["authorization"]) == ("acme,eu", "Bearer t")
    assert "x-ignored" not in sent
    assert sent["user-agent"].startswith("extauthz/1.2.3")
    if protocol == "http/protobuf":
        assert (sent["content-type"], sent["content-encoding"]) == ("application/x-protobuf", "gzip")


def test_over_tls_both_show_who_they_are(protocol: str, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    serving, own = authority.issue_cert("127.0.0.1"), other.issue_cert("extauthz@example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    serving.configure_cert(context)
    other.configure_trust(context)
    key, chain = serving.private_key_pem.bytes(), serving.cert_chain_pems[0].bytes()
    credentials = grpc.ssl_server_credentials([(key, chain)], other.cert_pem.bytes(), require_client_auth=True)
    tls = {"grpc": credentials, "http/protobuf": context}[protocol]
    environ = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "key.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(tmp_path / "own.pem"),
    }
    with RECEIVERS[protocol](tls=tls) as receiver:
        with tracing(receiver.endpoint, protocol, **environ) as spans:
            spans.keep(decisions(3))
        assert len(receiver.spans) == 3
        with tracing(receiver.endpoint, protocol) as spans:  # which trusts the system's authorities alone
            spans.keep(decisions(3))
        assert len(receiver.spans) == 3
        assert spans.counts.dropped == 3


@pytest.mark.parametrize("answers", [LATER, FULL], ids=["later", "full"])
def test_what_is_not_taken_now_is_sent_again(receiver: Receiver, protocol: str, answers: dict[str, Say]) -> None:
    receiver.answers += [answers[protocol]] * 2
    with tracing(receiver.endpoint, protocol) as spans:
        spans.keep(decisions(10))
        receiver.wait_for(lambda found: found.calls == 3)
    assert sorted(ids_of(receiver)) == sorted(record.decision_id for record in decisions(10))
    assert spans.counts.dropped == 0


@pytest.mark.parametrize(
    ("protocol", "say"),
    [
        ("grpc", Say(code="INVALID_ARGUMENT")),
        ("grpc", Say(code="UNAUTHENTICATED")),
        ("grpc", Say(code="RESOURCE_EXHAUSTED")),
        ("http/protobuf", Say(code=400)),
        ("http/protobuf", Say(code=401)),
        ("http/protobuf", Say(code=500)),
        ("http/protobuf", Say(code=302, headers=[("location", "/v1/traces")])),
    ],
)
def test_what_is_never_taken_is_dropped_and_told_once(
    protocol: str, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    with RECEIVERS[protocol]() as receiver:
        receiver.answers.append(say)
        with tracing(receiver.endpoint, protocol) as spans:
            spans.keep(decisions(10))
            receiver.wait_for(lambda found: found.calls == 1)
            receiver.wait_for(lambda _: spans.counts.waiting == 0)
            spans.keep(decisions(5, first=10))
        assert sorted(ids_of(receiver)) == sorted(record.decision_id for record in decisions(5, first=10))
    assert (spans.counts.exported, spans.counts.dropped) == (5, 10)
    assert capsys.readouterr().out.count("spans-dropped") == 1


def test_spans_that_a_receiver_leaves_out_are_counted(receiver: Receiver, protocol: str) -> None:
    receiver.answers.append(Say(rejected=4))
    with tracing(receiver.endpoint, protocol) as spans:
        spans.keep(decisions(10))
    assert (spans.counts.exported, spans.counts.dropped) == (6, 4)


@pytest.mark.parametrize("body", [b"{}", b"<html>", b"\xff" * 200_000])
def test_an_answer_that_says_nothing_is_one(body: bytes) -> None:
    with over_http() as receiver:
        receiver.answers.append(Say(body=body))
        with tracing(receiver.endpoint, "http/protobuf") as spans:
            spans.keep(decisions(10))
        assert receiver.calls == 1
    assert (spans.counts.exported, spans.counts.dropped) == (10, 0)


@pytest.mark.parametrize("value", ["a%0Ds3cret", "a%00s3cret", "s3cr%C3%A9t", "a%7Fs3cret", "s3cret%1B%5B2J"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_header_that_can_not_be_sent_is_refused_without_its_value(protocol: str, value: str) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-tenant=acme,authorization=Bearer%20{value}",
    }
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_HEADERS: header 2 has signs") as refused:
        open_tracing(variables, version="1.2.3")
    assert "cr" not in str(refused.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_password_in_an_endpoint_is_refused_and_not_told(protocol: str) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:s3cret@127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    with pytest.raises(ConfigurationError, match="no name or password can stand in it") as refused:
        open_tracing(variables, version="1.2.3")
    assert "s3cret" not in str(refused.value)


def test_another_exporter_gets_the_same_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    with over_http() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        both = {"OTEL_TRACES_EXPORTER": "otlp,otlp_proto_http"}
        event = LifeRecord(kind="grant.used", at_ns=1, links=(SpanIds(1, 2, sampled=True),))
        with tracing(receiver.endpoint, "http/protobuf", **both) as spans:
            spans.keep([*decisions(5), event])
        assert len(receiver.requests) == 2
        mine, theirs = sorted(receiver.requests, key=lambda one: len(one.resource_spans[0].scope_spans))
        assert mine == theirs
    assert (spans.counts.exported, spans.counts.dropped) == (12, 0)
