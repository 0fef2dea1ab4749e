"""The tracer that spans go through, with an OTLP exporter.

Which exporter, sampler, resource and limits is up to the `OTEL_*` variables, as the OpenTelemetry specification
("Environment Variable Specification") says.
"""

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from extauthz.errors import ConfigurationError

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def tracer_provider(environ: Mapping[str, str], *, version: str) -> TracerProvider:
    """The provider that the standard variables ask for.

    The caller shuts it down, which exports what is left.

    Raises:
        ConfigurationError: the variables ask for a protocol that does not exist.
    """
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "extauthz"}
    provider = TracerProvider(resource=Resource.create({**name, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(environ)))
    return provider


def _exporter(environ: Mapping[str, str]) -> SpanExporter:
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    match protocol:
        # Each brings a client of its own; one of them is enough.
        case "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter

            return GrpcSpanExporter()
        case "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter

            return HttpSpanExporter()
        case _:
            raise ConfigurationError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL: unknown protocol `{protocol}`; use `grpc` or `http/protobuf`"
            )
