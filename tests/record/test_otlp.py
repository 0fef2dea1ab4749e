"""Bytes of OTLP: the quick way is the long way, and both say what OpenTelemetry's own encoder says."""

import gc
import tracemalloc
from typing import cast

import pytest
from briefs import brief_of, reasoning_of
from changing import replace
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from record.making_records import NOW_NS, allowed, decision_records, life_records, of_requests, span_ids, texts

from extauthz.record import fragments
from extauthz.record.brief import Brief
from extauthz.record.decision import DecisionRecord
from extauthz.record.decision_spans import DecisionSpans, model_of
from extauthz.record.life import LifeRecord
from extauthz.record.otlp import SPAN, Envelope, encoded, framed, varint
from extauthz.record.outlet import Outlet, Parcel
from extauthz.record.parent import Parent
from extauthz.record.sampled import Sampled
from extauthz.record.span_attributes import Attributes, Value, life_attributes
from extauthz.record.span_exporters import readable
from extauthz.record.span_forms import OtlpForm
from extauthz.record.span_model import CLIENT, INTERNAL, SERVER, Limits, SpanModel
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import RuleResult
from extauthz.values.identity import Credential, Identity, Subject, User, Workload
from extauthz.values.request import Peer
from extauthz.values.span_ids import SpanIds

RESOURCE = Resource({"service.name": "authz-eu", "replicas": 3}, "https://schema.example/1")
SCOPE = InstrumentationScope("extauthz", "1.2.3")
MAKE = readable(RESOURCE, SCOPE)

trace_ids = st.binary(min_size=16, max_size=16).filter(any)
ids = st.binary(min_size=8, max_size=8).filter(any)
states = st.sampled_from(["", "vendor=1", "a=b,c=d"])
parents = st.none() | st.builds(Parent, trace_ids, ids, st.booleans(), states)


def speakable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def told_by_opentelemetry(model: SpanModel) -> Span:
    """What its own encoder makes of the span. It can't say what is no Unicode, so that is replaced before."""

    def clean(value: Value) -> Value:
        if isinstance(value, str):
            return speakable(value)
        return [speakable(one) for one in value] if isinstance(value, list | tuple) else value

    attributes = {speakable(name): clean(value) for name, value in model.attributes.items()}
    fields = {name: getattr(model, name) for name in model.__struct_fields__}
    failure = None if model.failure is None else speakable(model.failure)
    cleaned = SpanModel(**{**fields, "attributes": attributes, "failure": failure})
    (of_resource,) = encode_spans([MAKE(cleaned)]).resource_spans
    (span,) = of_resource.scope_spans[0].spans
    return span


def quickly(
    quick: DecisionSpans,
    brief: Brief,
    trace_id: bytes = bytes(16),
    span_id: bytes = bytes(8),
    parent: Parent | None = None,
    state: str = "",
) -> bytes:
    """What is put behind other spans."""
    pieces = [b"others"]
    quick.put(pieces, brief, trace_id, span_id, parent, state)
    return b"".join(pieces).removeprefix(b"others")


def slowly(
    record: DecisionRecord,
    trace_id: bytes = bytes(16),
    span_id: bytes = bytes(8),
    parent: Parent | None = None,
    state: str = "",
) -> bytes:
    """What the general way makes of the same."""
    return framed(SPAN, encoded(model_of(record, trace_id, span_id, parent, state)))


@settings(max_examples=100, deadline=None)
@given(st.lists(of_requests, min_size=1, max_size=4), trace_ids, ids, parents, states)
def test_the_quick_way_writes_the_very_bytes_of_the_long_way(
    records: list[DecisionRecord], trace_id: bytes, span_id: bytes, parent: Parent | None, state: str
) -> None:
    quick = DecisionSpans()
    reasoning = reasoning_of(records[0])
    briefs = [*(brief_of(record) for record in records), *(brief_of(record, reasoning) for record in records)]
    for brief in [*briefs, *briefs]:  # the second time from what was kept
        whole = slowly(brief.whole(), trace_id, span_id, parent, state)
        assert quickly(quick, brief, trace_id, span_id, parent, state) == whole


@given(st.integers(0, 70_000), st.integers(0, 70_000), st.integers(0, 2**64 - 1), st.none() | st.integers(0, 2**64 - 1))
def test_every_port_length_and_time_is_written_as_in_the_long_way(
    port: int, length: int, started: int, ended: int | None
) -> None:
    base = allowed()
    assert base.request is not None
    assert base.request.http is not None
    asked = replace(base.request, source=Peer(ip="::1", port=port), http=replace(base.request.http, path="/" * length))
    record = replace(base, request=asked, started_ns=started, ended_ns=started if ended is None else ended)
    assert quickly(DecisionSpans(), brief_of(record)) == slowly(record)


@settings(max_examples=100, deadline=None)
@given(decision_records, trace_ids, ids, parents, states)
def test_a_decision_says_what_opentelemetry_says_of_it(
    record: DecisionRecord, trace_id: bytes, span_id: bytes, parent: Parent | None, state: str
) -> None:
    model = model_of(record, trace_id, span_id, parent, state)
    assert Span.FromString(encoded(model)) == told_by_opentelemetry(model)


@settings(max_examples=100, deadline=None)
@given(life_records, trace_ids, ids)
def test_an_event_says_what_opentelemetry_says_of_it(record: LifeRecord, trace_id: bytes, span_id: bytes) -> None:
    model = SpanModel(
        name=f"authz.{record.kind}",
        kind=INTERNAL,
        trace_id=trace_id,
        span_id=span_id,
        started_ns=record.at_ns,
        ended_ns=record.at_ns,
        attributes=life_attributes(record),
        links=record.links,
    )
    assert Span.FromString(encoded(model)) == told_by_opentelemetry(model)


@pytest.mark.parametrize("kind", [INTERNAL, SERVER, CLIENT])
def test_every_kind_is_the_one_of_the_sdk(kind: int) -> None:
    model = SpanModel(
        name="n",
        kind=kind,  # type: ignore[arg-type]  # one of them
        trace_id=bytes(15) + b"\x01",
        span_id=bytes(7) + b"\x01",
        parent=bytes(7) + b"\x02",
        started_ns=1,
        ended_ns=2,
        attributes={},
        failure="broken",
    )
    assert Span.FromString(encoded(model)) == told_by_opentelemetry(model)


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_an_envelope_holds_its_spans_with_resource_and_scope(contents: list[bytes]) -> None:
    (described,) = encode_spans([MAKE(some_model())]).resource_spans
    around = Envelope(
        described.resource.SerializeToString(),
        described.scope_spans[0].scope.SerializeToString(),
        schema=described.schema_url,
    )
    spans = [Span(name=content.hex()) for content in contents]
    sent = around.around([framed(SPAN, span.SerializeToString()) for span in spans])
    del described.scope_spans[0].spans[:]
    described.scope_spans[0].spans.extend(spans)
    assert ExportTraceServiceRequest.FromString(sent) == ExportTraceServiceRequest(resource_spans=[described])


class Taking:
    """An outlet that keeps what it is handed."""

    def __init__(self) -> None:
        self.content = b""

    def put(self, parcel: Parcel[bytes]) -> None:
        self.content += parcel.content


@pytest.mark.parametrize(
    ("limits", "models", "added"),
    [
        (Limits(), 0, {}),
        (Limits(), 0, {"sampler.rate": 0.5}),
        (Limits(attributes=40), 2, {}),
        (Limits(attributes=40), 20, {}),
        (Limits(attributes=3), 0, {}),
        (Limits(length=4), 0, {}),
    ],
)
def test_what_limits_cut_and_samplers_add_is_in_the_span(limits: Limits, models: int, added: Attributes) -> None:
    risk = tuple(
        Assessment(model=f"m{number}", score=1.0, level="low", signals=(), heard=()) for number in range(models)
    )
    record, outlet = replace(allowed(), risk=risk), Taking()
    form = OtlpForm(cast("Outlet[bytes]", outlet), limits, most=64)
    form.add_decision(brief_of(record), bytes(16), bytes(8), None, Sampled("", added))
    form.ship()
    model = model_of(record, bytes(16), bytes(8), None, "")
    whole = replace(model, attributes={**model.attributes, **added})
    assert outlet.content == framed(SPAN, encoded(limits.applied(whole)))


@pytest.mark.parametrize(("sources", "callers"), [(700, 2), (2, 2 * fragments.MOST)])
def test_callers_and_connections_are_not_taken_for_others(sources: int, callers: int) -> None:
    """There are more than are remembered; connections are all there at once, callers leave their ids to others."""
    quick, base = DecisionSpans(), allowed()
    assert base.request is not None
    peers = [Peer(ip=f"10.0.{number >> 8}.{number & 255}", port=number) for number in range(sources)]
    for number in range(callers):
        workload = Workload(id=f"w{number}", trust_domain="", path="", verified_by="")
        identity = Identity(workload=workload, client_ip=f"10.1.0.{number % 256}")
        for source in peers:
            record = replace(base, request=replace(base.request, source=source), identity=identity)
            for _ in range(2):
                assert quickly(quick, brief_of(record)) == slowly(record)


def test_what_is_large_and_not_told_is_not_held() -> None:
    """A certificate is not in the span, nor are claims."""
    quick, base = DecisionSpans(), allowed()
    assert base.request is not None
    tracemalloc.start()
    try:
        for number in range(400):
            source = Peer(ip="203.0.113.9", certificate=f"{number:08d}" * 5_000)
            identity = Identity(user=User(sub="u", iss="i", claims={"masked": f"{number:08d}" * 5_000}))
            record = replace(base, request=replace(base.request, source=source), identity=identity)
            quickly(quick, brief_of(record))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 4_000_000  # 400 of them would be 32 million
    finally:
        tracemalloc.stop()


def test_what_is_kept_of_callers_is_bounded() -> None:
    quick = DecisionSpans()
    sizes = set()
    for number in range(6_000):
        results = (RuleResult(rule=f"p/{number}", effect="allow", mode="enforce", result="error"),)
        quickly(quick, brief_of(allowed(number, rules=results, identity=Identity(client_ip=f"{number}"))))
        sizes.add(quick.kept)
    assert max(sizes) <= 1_024 * 3 + 509
    assert quick.kept < 6_000


@pytest.mark.parametrize(
    ("certificate", "claims", "credentials"),
    [
        ("c" * 5_000, {}, ()),
        ("", {"masked": "m" * 5_000}, ()),
        ("", {}, (Credential(subjects=(Subject("i", "u"),), digest="468ed3"),)),
    ],
)
def test_who_is_large_or_comes_once_is_not_held(
    certificate: str, claims: dict[str, str], credentials: tuple[Credential, ...]
) -> None:
    """A certificate and claims are not in the span; a new token may come with each request."""
    kept, base = [], allowed()
    assert base.request is not None
    for source, identity in (
        (Peer(ip="203.0.113.9"), Identity(user=User(sub="u", iss="i"))),
        (
            Peer(ip="203.0.113.9", certificate=certificate),
            Identity(user=User(sub="u", iss="i", claims=claims), credentials=credentials),
        ),
    ):
        quick, record = DecisionSpans(), replace(base, request=replace(base.request, source=source), identity=identity)
        assert quickly(quick, brief_of(record)) == slowly(record)
        kept.append(quick.kept)
    assert kept[1] == kept[0] - 1


@given(texts)
def test_a_text_of_any_length_is_one_attribute(text: str) -> None:
    record = allowed(1, decision_id=text)
    (span,) = ScopeSpans.FromString(quickly(DecisionSpans(), brief_of(record))).spans
    (value,) = (one.value.string_value for one in span.attributes if one.key == "extauthz.decision_id")
    assert value == speakable(text)


@given(st.lists(span_ids, max_size=5).map(tuple), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_what_limits_cut_is_counted(links: tuple[SpanIds, ...], attributes: int, length: int, most_links: int) -> None:
    given_: dict[str, Value] = {"first": "0123456789", "second": 7, "third": ["0123456789"], "fourth": True}
    model = some_model(attributes=given_, links=links)
    limits = Limits(attributes=attributes, length=length, links=most_links)
    span = Span.FromString(encoded(limits.applied(model)))
    assert len(span.attributes) == min(4, attributes)
    assert [one.key for one in span.attributes] == list(given_)[:attributes]
    assert span.dropped_attributes_count == 4 - len(span.attributes)
    assert len(span.links) + span.dropped_links_count == len(links)
    assert len(span.links) <= most_links
    for one in span.attributes:
        assert len(one.value.string_value) <= length
        assert all(len(inner.string_value) <= length for inner in one.value.array_value.values)


def test_numbers_are_written_as_protobuf_writes_them() -> None:
    assert [varint(number) for number in (0, 127, 128, 300)] == [b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02"]


def some_model(*, attributes: dict[str, Value] | None = None, links: tuple[SpanIds, ...] = ()) -> SpanModel:
    return SpanModel(
        name="n",
        kind=SERVER,
        trace_id=bytes(15) + b"\x01",
        span_id=bytes(7) + b"\x01",
        started_ns=NOW_NS,
        ended_ns=NOW_NS,
        attributes=attributes or {},
        links=links,
    )
