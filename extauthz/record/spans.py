"""One OpenTelemetry span per decision, a child of the caller's span (W3C Trace Context `traceparent`).

Attributes follow the semantic conventions where they exist (`http.*`, `url.*`, `client.*`, `user.*`) and are
`extauthz.*` beyond. The query is never recorded: it carries what people type. What went wrong is masked as in the
audit.
"""

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from extauthz.record.decision import DECISION_NAMES, TRACE_HEADERS, DecisionRecord
from extauthz.record.grant_lines import breaks_glass
from extauthz.record.keeping import Record
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Decision, Deny, Hold
from extauthz.values.grants import Grant
from extauthz.values.identity import Identity
from extauthz.values.quoting import masked
from extauthz.values.request import RequestView

SPAN_NAME = "authz.check"
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_PARENT = Context()

Attributes = dict[str, str | int | float | bool | list[str]]


class SpanKeeper:
    """Makes a span of every decision with `tracer`; start and end are those of the decision.

    `close` ends what exports them.
    """

    def __init__(self, tracer: Tracer, close: Callable[[], None]) -> None:
        self._tracer = tracer
        self._close = close

    def keep(self, batch: Sequence[Record]) -> None:
        """Start and end the span of each decision."""
        for record in batch:
            if isinstance(record, DecisionRecord):
                self._span(record)

    def close(self) -> None:
        """Export what is left; blocks."""
        self._close()

    def _span(self, record: DecisionRecord) -> None:
        span = self._tracer.start_span(
            SPAN_NAME,
            context=_parent(record),
            kind=SpanKind.SERVER,
            start_time=record.started_ns,
            attributes=_attributes(record),
        )
        if isinstance(record.decision, Deny) and record.decision.status >= 500:
            span.set_status(Status(StatusCode.ERROR, record.decision.reason))
        span.end(record.ended_ns)


def _parent(record: DecisionRecord) -> Context:
    """The span of the Check itself, else that of the request, never the thread's own (W3C Trace Context section 3).

    Envoy writes its own span into the metadata of the Check; the request's headers are still what the client sent.
    """
    carrier = dict(record.trace)
    http = record.request.http if record.request is not None else None
    if "traceparent" not in carrier and http is not None:
        carrier = {name: value for name in TRACE_HEADERS if (value := http.header(name))}
    return _PROPAGATOR.extract(carrier, context=_NO_PARENT)


def _attributes(record: DecisionRecord) -> Attributes:
    decision = record.decision
    attributes: Attributes = {
        "extauthz.decision": DECISION_NAMES[type(decision)],
        "extauthz.decision_id": record.decision_id,
        "extauthz.reason": decision.reason,
        "extauthz.revision": record.revision,
    }
    if decision.rule is not None:
        attributes["extauthz.rule"] = decision.rule
    if record.detail is not None:
        attributes["extauthz.detail"] = masked(record.detail)
    for mode, name in (("enforce", "extauthz.rules"), ("shadow", "extauthz.shadow_rules")):
        results = [f"{rule.rule}:{rule.result}" for rule in record.rules if rule.mode == mode]
        if results:
            attributes[name] = results
    for assessment in record.risk:
        _add_risk(attributes, assessment)
    _add_approvals(attributes, decision)
    if record.request is not None:
        _add_request(attributes, record.request)
    if record.identity is not None:
        _add_identity(attributes, record.identity)
    return attributes


def _add_approvals(attributes: Attributes, decision: Decision) -> None:
    """The approvals that it waits for or rests on, who was asked nothing, and whether somebody has broken the glass."""
    match decision:
        case Hold(approvals=ids):
            given: tuple[Grant, ...] = ()
        case Allow(grants=given):
            ids = tuple(grant.approval.id for grant in given if grant.approval is not None)
            if decision.auto:
                attributes["extauthz.approval.auto"] = [f"{one.rule}:{one.reason}" for one in decision.auto]
        case _:
            return
    if ids:
        attributes["extauthz.approval.ids"] = list(ids)
    if any(breaks_glass(grant) for grant in given):
        attributes["extauthz.break_glass"] = True


def _add_risk(attributes: Attributes, assessment: Assessment) -> None:
    """What a model came to, and every signal with its state, what it counts of its weight, and what it means."""
    name = f"extauthz.risk.{assessment.model}"
    attributes[f"{name}.score"] = assessment.score
    attributes[f"{name}.level"] = assessment.level
    attributes[f"{name}.signals"] = [
        f"{one.name}:{one.state} {one.counted:g} of {one.weight:g}: {one.reason}" for one in assessment.heard
    ]


def _add_request(attributes: Attributes, request: RequestView) -> None:
    if request.source.ip:
        attributes["network.peer.address"] = request.source.ip
        attributes["network.peer.port"] = request.source.port
    http = request.http
    if http is not None:
        attributes["http.request.method"] = http.method
        attributes["url.path"] = http.path
        attributes["server.address"] = http.host
        if http.scheme:
            attributes["url.scheme"] = http.scheme
        if http.id:
            attributes["extauthz.request_id"] = http.id


def _add_identity(attributes: Attributes, identity: Identity) -> None:
    if identity.client_ip:
        attributes["client.address"] = identity.client_ip
    if identity.workload is not None:
        attributes["extauthz.workload"] = identity.workload.id
    if identity.user is not None:
        attributes["user.id"] = identity.user.sub
        attributes["extauthz.user.issuer"] = identity.user.iss
