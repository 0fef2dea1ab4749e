"""Spans of records as an exporter gets them, by the way of the server: sampler, ids and outlet are the real ones."""

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from extauthz.record.keeping import Record
from extauthz.record.otel_sdk import limits
from extauthz.record.otlp_settings import read_batching
from extauthz.record.outlet import Outlet
from extauthz.record.sampling import Sampling
from extauthz.record.span_exporters import ExporterCarrier, readable
from extauthz.record.span_forms import ReadableForm
from extauthz.record.spans import Spans
from extauthz.record.trace_context import DEFAULT, Propagation


def spans_of(
    records: Sequence[Record], environ: Mapping[str, str] | None = None, generator: IdGenerator | None = None
) -> tuple[ReadableSpan, ...]:
    """What the keeper makes of the records, with these variables. Those that the SDK reads itself must be set, too."""
    variables = environ or {}
    exporter = InMemorySpanExporter()
    outlet: Outlet[list[ReadableSpan]] = Outlet(ExporterCarrier(exporter), read_batching({}), name="memory")
    make = readable(Resource({"service.name": "extauthz"}), InstrumentationScope("extauthz", "1"))
    spans = Spans(
        [ReadableForm(outlet, limits(), make, most=512)],
        propagation=Propagation(variables.get("OTEL_PROPAGATORS", DEFAULT)),
        sampling=Sampling(variables),
        generator=generator or RandomIdGenerator(),
        counts=lambda: outlet.counts,
        close=outlet.close,
    )
    spans.keep(records)
    spans.close()
    return exporter.get_finished_spans()


def span_of(record: Record) -> ReadableSpan:
    """The only span of a record."""
    (span,) = spans_of([record])
    return span
