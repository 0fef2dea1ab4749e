"""The decision's span arrives at a collector as a child of Envoy's own."""

import secrets

from e2e.stage import SHOP, Stage
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receivers import Receiver

ENVOY = "gateway"
EXTAUTHZ = "extauthz"


def _of_trace(collector: Receiver, trace: bytes, service: str) -> list[Span]:
    return [span for name, span in collector.sent if name == service and span.trace_id == trace]


def _wait_for(collector: Receiver, trace: bytes) -> None:
    collector.wait_for(lambda came: all(_of_trace(came, trace, name) for name in (ENVOY, EXTAUTHZ)))


def _attributes(span: Span) -> dict[str, str]:
    return {entry.key: entry.value.string_value for entry in span.attributes}


def test_the_decision_is_a_child_of_envoys_span(gateway: Stage, collector: Receiver) -> None:
    response = gateway.client(SHOP).get("/v1/accounts/acc-1?card=4711")
    line = gateway.decided(response)
    trace = bytes.fromhex(line["trace_id"])
    _wait_for(collector, trace)
    (decision,) = _of_trace(collector, trace, EXTAUTHZ)
    assert decision.parent_span_id in {span.span_id for span in _of_trace(collector, trace, ENVOY)}
    attributes = _attributes(decision)
    assert attributes["extauthz.decision"] == "allow"
    assert attributes["extauthz.rule"] == "gateway/shop-reads"
    assert attributes["extauthz.decision_id"] == response.headers["x-extauthz-decision-id"]
    assert attributes["extauthz.workload"] == SHOP
    assert "4711" not in str(decision)


def test_a_callers_trace_goes_on_through_envoy_into_the_decision(gateway: Stage, collector: Receiver) -> None:
    trace, parent = secrets.token_bytes(16), secrets.token_bytes(8)
    response = gateway.client().get("/v1/me", headers={"traceparent": f"00-{trace.hex()}-{parent.hex()}-01"})
    assert response.status_code == 401
    _wait_for(collector, trace)
    (decision,) = _of_trace(collector, trace, EXTAUTHZ)
    of_envoy = _of_trace(collector, trace, ENVOY)
    assert decision.parent_span_id in {span.span_id for span in of_envoy}
    assert parent in {span.parent_span_id for span in of_envoy}
