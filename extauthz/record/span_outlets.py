"""Puts the keeper of spans together: what reads parents, who samples, and an outlet for each exporter.

The rule kept here: an exporter that is slow or gone is a matter of its own outlet alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from extauthz.record.otel_sdk import id_generator, limits, resource_of
from extauthz.record.otlp import Envelope
from extauthz.record.otlp_settings import Otlp, read_batching, read_otlp
from extauthz.record.outlet import Batching, Carrier, Outlet, SpanCounts
from extauthz.record.sampling import Sampling
from extauthz.record.span_exporters import ExporterCarrier, load_exporter, readable
from extauthz.record.span_forms import Form, OtlpForm, ReadableForm
from extauthz.record.span_model import INTERNAL, Limits, SpanModel
from extauthz.record.spans import Spans
from extauthz.record.trace_context import DEFAULT, Propagation

SCOPE: Final = "extauthz"
_OTLP: Final = "otlp"


def open_spans(environ: Mapping[str, str], exporters: Sequence[str], *, version: str) -> Spans:
    """The keeper whose spans go to each of `exporters`; each has a thread of its own from now on.

    Raises:
        ConfigurationError: the variables ask for what does not exist.
    """
    bounds, batching, resource = limits(), read_batching(environ), resource_of(environ, version=version)
    propagation, sampling = Propagation(environ.get("OTEL_PROPAGATORS", "") or DEFAULT), Sampling(environ)
    generator = id_generator(environ)
    made = [_open(name, environ, bounds, batching, resource, version) for name in exporters]

    def counts() -> SpanCounts:
        found = [count() for _, count, _ in made]
        return SpanCounts(
            waiting=sum(one.waiting for one in found),
            bytes=sum(one.bytes for one in found),
            exported=sum(one.exported for one in found),
            dropped=sum(one.dropped for one in found),
        )

    def close() -> None:
        for _, _, end in made:
            end()

    return Spans(
        [form for form, _, _ in made],
        propagation=propagation,
        sampling=sampling,
        generator=generator,
        counts=counts,
        close=close,
    )


def _open(
    name: str, environ: Mapping[str, str], bounds: Limits, batching: Batching, resource: Resource, version: str
) -> tuple[Form, Callable[[], SpanCounts], Callable[[], None]]:
    make = readable(resource, InstrumentationScope(SCOPE, version))
    if name == _OTLP:
        sent = Outlet(_carrier(read_otlp(environ), _envelope(make), f"extauthz/{version}"), batching, name=name)
        return OtlpForm(sent, bounds, most=batching.most), lambda: sent.counts, sent.close
    handed: Outlet[list[ReadableSpan]] = Outlet(ExporterCarrier(load_exporter(name)), batching, name=name)
    return ReadableForm(handed, bounds, make, most=batching.most), lambda: handed.counts, handed.close


def _envelope(make: Callable[[SpanModel], ReadableSpan]) -> Envelope:
    """Resource and scope as OpenTelemetry's own encoder has them, once and for all."""
    some = SpanModel(
        name="", kind=INTERNAL, trace_id=bytes(16), span_id=bytes(8), started_ns=0, ended_ns=0, attributes={}
    )
    (of_resource,) = encode_spans([make(some)]).resource_spans
    return Envelope(
        of_resource.resource.SerializeToString(),
        of_resource.scope_spans[0].scope.SerializeToString(),
        schema=of_resource.schema_url,
    )


def _carrier(otlp: Otlp, around: Envelope, agent: str) -> Carrier[bytes]:
    # Each brings a client of its own; one of them is enough.
    if otlp.protocol == "grpc":
        from extauthz.record.otlp_grpc import GrpcCarrier

        return GrpcCarrier(otlp, around, agent=agent)
    from extauthz.record.otlp_http import HttpCarrier

    return HttpCarrier(otlp, around, agent=agent)
