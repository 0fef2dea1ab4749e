"""Spans of decisions: parent, times, attributes, and what is left out."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from changing import replace
from hypothesis import given as given_any
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, StatusCode
from record.making_records import NOW_NS, allowed, span_ids
from record.span_making import span_of, spans_of

from extauthz.errors import ConfigurationError
from extauthz.record.decision import DecisionRecord, Trace, Wait
from extauthz.record.life import LifeRecord
from extauthz.record.otel_sdk import limits, resource_of
from extauthz.record.spans import DrawnIds
from extauthz.record.tracing import open_tracing
from extauthz.values.assessment import Assessment, Heard
from extauthz.values.decisions import Allow, Challenge, Deny, RuleResult
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, Subject, User, Workload
from extauthz.values.quoting import detail_of, given
from extauthz.values.request import HttpRequest, Peer, RequestView
from extauthz.values.span_ids import SpanIds


def plain(span: ReadableSpan) -> dict[str, object]:
    """Its attributes, with tuples for lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in (span.attributes or {}).items()}


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


OTHER = "80f198ee56343ba864fe8b2a57d3eff7"


@pytest.mark.parametrize(
    ("propagators", "trace", "found"),
    [
        ("tracecontext,baggage", (), TRACE),
        ("b3", (), OTHER),
        ("tracecontext,b3", (), OTHER),
        ("tracecontext", (("traceparent", f"00-{OTHER}-{PARENT}-01"),), OTHER),
    ],
)
def test_a_usual_traceparent_goes_before_nothing(propagators: str, trace: Trace, found: str) -> None:
    """Headers that came in a line each are read in a way of their own, where that comes to the same."""
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "b3": f"{OTHER}-{PARENT}-1"}
    base = request()
    assert base.http is not None
    each = OneLineEach({name: place for place, name in enumerate(sent)}, tuple(sent.values()), ())
    record = replace(allowed(), request=RequestView(http=replace(base.http, headers=each)), trace=trace)
    (span,) = spans_of([record], {"OTEL_PROPAGATORS": propagators})
    assert f"{span.context.trace_id:032x}" == found


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
    assert plain(span) == {
        "client.address": "198.51.100.7",
        "enduser.id": "u1",
        "extauthz.decision": "deny",
        "extauthz.decision_id": "d-2",
        "extauthz.effects": ("p/frozen:deny",),
        "extauthz.reason": "account-frozen",
        "extauthz.request_id": "r-1",
        "extauthz.revision": "sha256:2",
        "extauthz.rule": "p/frozen",
        "extauthz.rules": ("p/frozen:match",),
        "extauthz.shadow_rules": ("p/trial:no-match",),
        "extauthz.user.issuer": "https://idp.example.com",
        "extauthz.workload": "spiffe://prod.example.org/ns/shop/sa/web",
        "http.request.method": "POST",
        "http.response.status_code": 403,
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
    attributes = plain(span_of(record))
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
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_endpoint_or_switched_off_nothing_is_traced(environ: dict[str, str]) -> None:
    assert open_tracing(environ, version="1") is None


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, "_PROTOCOL: unknown protocol `carrier-pigeon`"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "_ENDPOINT: `127.0.0.1:4318` is no URL"),
        ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "10s"}, "_TRACES_TIMEOUT: `10s` is no whole number"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"}, "_COMPRESSION: unknown compression `brotli`"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"}, "_CERTIFICATE: can't read `/nowhere.pem`"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "OTEL_BSP_MAX_QUEUE_SIZE: `many` is no whole number"),
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "OTEL_TRACES_EXPORTER: unknown exporter `pigeon`; known: console"),
        ({"OTEL_PYTHON_ID_GENERATOR": "dice"}, "no package brings a generator of ids named `dice`"),
    ],
)
def test_what_does_not_exist_is_refused_at_start(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_tracing({**ENDPOINT, **environ}, version="1")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["CERTIFICATE", "CLIENT_KEY", "TRACES_CLIENT_CERTIFICATE"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_nobody_waits_for_what_is_no_file(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "ca.pem")
    variable = f"OTEL_EXPORTER_OTLP_{name}"
    amiss = "(not a regular file|is a directory); name"
    with pytest.raises(ConfigurationError, match=rf"^{variable}: can't read `.*/ca\.pem`: {amiss}"):
        open_tracing({**ENDPOINT, variable: str(tmp_path / "ca.pem")}, version="1")


def test_a_header_that_is_refused_is_not_told() -> None:
    environ = {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "s3cr3t"}
    with pytest.raises(ConfigurationError) as refused:
        open_tracing(environ, version="1")
    assert "s3cr3t" not in str(refused.value)


def test_the_service_has_a_name_unless_the_operator_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = resource_of({}, version="1.2.3")
    assert resource.attributes["service.name"] == "extauthz"
    assert resource.attributes["service.version"] == "1.2.3"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "authz-eu")
    assert resource_of({"OTEL_SERVICE_NAME": "authz-eu"}, version="1").attributes["service.name"] == "authz-eu"


def test_a_limit_that_is_no_number_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "few")
    with pytest.raises(ConfigurationError, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        limits()


def test_limits_cut_what_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    assert plain(span_of(allowed())) == {
        "extauthz.decision": "allow",
        "extauthz.reason": "allow",
        "extauthz.rule": "p/rea",
    }


def test_whoever_was_waited_for_is_a_span_below_the_decision() -> None:
    waits = (Wait("store", NOW_NS, NOW_NS + 5), Wait("attributes", NOW_NS, NOW_NS + 7, failed=True))
    decision, store, attributes = spans_of([allowed(waits=waits)])
    assert [span.name for span in (store, attributes)] == ["authz.wait.store", "authz.wait.attributes"]
    for span in (store, attributes):
        assert span.context.trace_id == decision.context.trace_id
        assert span.parent is not None
        assert span.parent.span_id == decision.context.span_id
        assert not span.parent.is_remote
        assert span.kind is SpanKind.CLIENT
    assert (store.start_time, store.end_time) == (NOW_NS, NOW_NS + 5)
    assert store.status.status_code is StatusCode.UNSET
    assert attributes.status.status_code is StatusCode.ERROR


def test_an_event_that_took_no_time_ends_after_it_begins() -> None:
    """Jaeger takes another one for a mistake."""
    (opened,) = spans_of([LifeRecord(kind="challenge.opened", at_ns=NOW_NS)])
    assert (opened.start_time, opened.end_time) == (NOW_NS, NOW_NS + 1)


def test_an_event_is_linked_to_the_decisions_that_it_belongs_to() -> None:
    span = SpanIds(int(TRACE, 16), int(PARENT, 16), sampled=True)
    began = allowed(decision=Challenge(rule="p/otp", demands=()), span=span)
    event = LifeRecord(
        kind="factor.proven",
        at_ns=NOW_NS,
        started_ns=NOW_NS - 9,
        subject=Subject("https://idp.example", "u1"),
        by="requester",
        challenge="c-1",
        factor="totp",
        details={"tries": 2},
        links=(span,),
    )
    decision, proven = spans_of([began, event])
    assert (decision.context.trace_id, decision.context.span_id) == (span.trace_id, span.span_id)
    assert [(link.context.trace_id, link.context.span_id) for link in proven.links] == [(span.trace_id, span.span_id)]
    assert (proven.name, proven.start_time, proven.end_time) == ("authz.factor.proven", NOW_NS - 9, NOW_NS)
    assert proven.parent is None
    assert plain(proven) == {
        "enduser.id": "u1",
        "extauthz.challenge.id": "c-1",
        "extauthz.event.by": "requester",
        "extauthz.event.kind": "factor.proven",
        "extauthz.event.tries": 2,
        "extauthz.factor": "totp",
        "extauthz.user.issuer": "https://idp.example",
        "user.id": "u1",
    }


def test_a_generator_of_ids_that_a_package_brings_is_asked_for_each() -> None:
    class Counting(RandomIdGenerator):
        last = 0

        def generate_span_id(self) -> int:
            self.last += 1
            return self.last

    records = [allowed(number) for number in range(3)]
    assert [one.context.span_id for one in spans_of(records, generator=Counting())] == [1, 2, 3]


def test_ids_that_are_drawn_together_are_what_was_drawn_but_for_none() -> None:
    drawn = [bytes(512), bytes(range(256)), bytes(255) + b"\x01"]
    ids = DrawnIds(lambda size: drawn.pop(0)[:size] if drawn else b"\x02" * size)
    wanted = [bytes(range(at, at + 8)) for at in range(0, 256, 8)]
    assert [ids.new() for _ in range(34)] == [*wanted, bytes(7) + b"\x01", b"\x02" * 8]


def test_what_is_no_part_of_a_story_leaves_no_span() -> None:
    assert spans_of([LifeRecord(kind="audit.checkpoint", at_ns=1), LifeRecord(kind="policy.in-force", at_ns=1)]) == ()


def test_one_odd_record_loses_no_other_span(capsys: pytest.CaptureFixture[str]) -> None:
    odd = allowed(1, trace=(("s3cr3t",),))
    assert [span.name for span in spans_of([odd, allowed(2)])] == ["authz.check"]
    told = capsys.readouterr().out
    assert "span-lost" in told
    assert "s3cr3t" not in told


@given_any(span_ids)
def test_the_ids_of_a_span_come_back_from_their_text(ids: SpanIds) -> None:
    assert SpanIds.read(ids.traceparent) == ids
    assert SpanIds.read(ids.traceparent + "0") is None
