"""Spans of decisions: parent, times, attributes, and what is left out."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from extauthz.errors import ConfigurationError
from extauthz.record.decision import DecisionRecord
from extauthz.record.provider import tracer_provider
from extauthz.record.spans import SpanKeeper
from extauthz.record.tracing import open_tracing
from extauthz.values.assessment import Assessment, Heard
from extauthz.values.decisions import Allow, Deny, RuleResult
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.quoting import detail_of, given
from extauthz.values.request import HttpRequest, Peer, RequestView

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def request(**headers: str) -> RequestView:
    return RequestView(
        source=Peer(ip="203.0.113.9", port=4711),
        http=HttpRequest(
            id="r-1",
            method="POST",
            scheme="https",
            host="payments.example.com",
            authority="payments.example.com",
            path="/v1/pay",
            segments=("v1", "pay"),
            raw_path="/v1/pay",
            raw_query="card=4111",
            protocol="HTTP/2",
            headers={name: (value,) for name, value in headers.items()},
        ),
    )


def span_of(record: DecisionRecord) -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    SpanKeeper(provider.get_tracer("test"), provider.shutdown).keep([record])
    (span,) = exporter.get_finished_spans()
    return span


def test_a_span_is_a_child_of_the_callers_traceparent() -> None:
    span = span_of(
        DecisionRecord(
            decision_id="d-1",
            revision="sha256:1",
            decision=Allow(rule="p/a"),
            request=request(traceparent=f"00-{TRACE}-{PARENT}-01"),
            started_ns=1_000,
            ended_ns=3_000,
        )
    )
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert f"{span.context.trace_id:032x}" == TRACE
    assert (span.name, span.start_time, span.end_time) == ("authz.check", 1_000, 3_000)


@pytest.mark.parametrize("traceparent", [None, "nonsense", f"00-{'0' * 32}-{PARENT}-01"])
def test_without_a_valid_traceparent_a_span_is_a_root(traceparent: str | None) -> None:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    span = span_of(
        DecisionRecord(
            decision_id="d",
            revision="r",
            decision=Allow(rule="p/a"),
            request=request(**headers),
            started_ns=1,
            ended_ns=2,
        )
    )
    assert span.parent is None


def test_a_span_says_who_what_and_why_and_never_the_query() -> None:
    identity = Identity(
        workload=Workload(
            id="spiffe://prod.example.org/ns/shop/sa/web",
            trust_domain="prod.example.org",
            path="/ns/shop/sa/web",
            verified_by="source_principal",
        ),
        user=User(sub="u1", iss="https://idp.example.com"),
        client_ip="198.51.100.7",
    )
    span = span_of(
        DecisionRecord(
            decision_id="d-2",
            revision="sha256:2",
            decision=Deny(reason="account-frozen", rule="p/frozen"),
            rules=(
                RuleResult(rule="p/frozen", effect="deny", mode="enforce", result="match"),
                RuleResult(rule="p/trial", effect="deny", mode="shadow", result="no-match"),
            ),
            request=request(),
            identity=identity,
            started_ns=1,
            ended_ns=2,
        )
    )
    assert dict(span.attributes or {}) == {
        "client.address": "198.51.100.7",
        "extauthz.decision": "deny",
        "extauthz.decision_id": "d-2",
        "extauthz.reason": "account-frozen",
        "extauthz.request_id": "r-1",
        "extauthz.revision": "sha256:2",
        "extauthz.rule": "p/frozen",
        "extauthz.rules": ("p/frozen:match",),
        "extauthz.shadow_rules": ("p/trial:no-match",),
        "extauthz.user.issuer": "https://idp.example.com",
        "extauthz.workload": "spiffe://prod.example.org/ns/shop/sa/web",
        "http.request.method": "POST",
        "network.peer.address": "203.0.113.9",
        "network.peer.port": 4711,
        "server.address": "payments.example.com",
        "url.path": "/v1/pay",
        "url.scheme": "https",
        "user.id": "u1",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_a_refusal_says_what_failed_and_not_over_which_value() -> None:
    span = span_of(
        DecisionRecord(
            decision_id="d",
            revision="r",
            decision=Deny(reason="invalid-token", status=401),
            detail=f"token: `aud` is not {given('s3cr3t')}",
            started_ns=1,
            ended_ns=2,
        )
    )
    assert (span.attributes or {})["extauthz.detail"] == "token: `aud` is not “…”"
    assert "s3cr3t" not in span.to_json()
    assert span.status.status_code is StatusCode.UNSET


def test_a_span_says_what_each_signal_counts_and_why() -> None:
    signals = (
        Heard(name="far", state="fading", weight=40.0, counted=10.0, reason="too far", age=7200.0),
        Heard(name="new", state="quiet", weight=20.0, counted=0.0, reason="a new device"),
        Heard(name="odd", state="error", weight=5.0, counted=5.0, reason="odd", error=f"not {given('4111')}"),
    )
    assessment = Assessment(model="default", score=15.0, level="low", signals=("far", "odd"), heard=signals)
    record = DecisionRecord(
        decision_id="d-1",
        revision="sha256:1",
        decision=Allow(rule="p/a"),
        risk=(assessment,),
        started_ns=1,
        ended_ns=2,
    )
    attributes = dict(span_of(record).attributes or {})
    assert attributes["extauthz.risk.default.score"] == 15.0
    assert attributes["extauthz.risk.default.level"] == "low"
    assert attributes["extauthz.risk.default.signals"] == (
        "far:fading 10 of 40: too far",
        "new:quiet 0 of 20: a new device",
        "odd:error 5 of 5: odd",
    )
    assert "4111" not in str(attributes)


def test_our_own_failure_is_an_error_span_with_the_type_of_what_was_raised() -> None:
    span = span_of(
        DecisionRecord(
            decision_id="d",
            revision="r",
            decision=Deny(reason="internal-error", status=503),
            detail=detail_of(ZeroDivisionError("s3cr3t")),
            started_ns=1,
            ended_ns=2,
        )
    )
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "internal-error"
    assert (span.attributes or {})["extauthz.detail"] == "ZeroDivisionError: “…”"
    assert "s3cr3t" not in span.to_json()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_endpoint_or_switched_off_nothing_is_traced(environ: dict[str, str]) -> None:
    assert open_tracing(environ, version="1") is None


def test_an_unknown_protocol_is_refused_at_start() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}
    with pytest.raises(ConfigurationError, match="unknown protocol `carrier-pigeon`"):
        tracer_provider(environ, version="1")


def test_the_service_has_a_name_unless_the_operator_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    provider = tracer_provider(environ, version="1.2.3")
    assert provider.resource.attributes["service.name"] == "extauthz"
    assert provider.resource.attributes["service.version"] == "1.2.3"
    provider.shutdown()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "authz-eu")
    provider = tracer_provider({**environ, "OTEL_SERVICE_NAME": "authz-eu"}, version="1")
    assert provider.resource.attributes["service.name"] == "authz-eu"
    provider.shutdown()
