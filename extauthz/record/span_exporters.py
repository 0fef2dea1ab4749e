"""Exporters other than our own: whatever `OTEL_TRACES_EXPORTER` names that a package brings.

The rule kept here: such an exporter gets spans as the SDK has them, through its public interface, and nothing that it
raises or waits for reaches anybody else.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from itertools import chain
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from extauthz.errors import ConfigurationError
from extauthz.record.outlet import Outcome, Rejected, Taken
from extauthz.record.span_model import CLIENT, INTERNAL, SERVER, Kind, SpanModel
from extauthz.values.span_ids import SpanIds

_GROUP: Final = "opentelemetry_traces_exporter"
_KINDS: Final[dict[Kind, SpanKind]] = {
    INTERNAL: SpanKind.INTERNAL,
    SERVER: SpanKind.SERVER,
    CLIENT: SpanKind.CLIENT,
}


def load_exporter(name: str) -> SpanExporter:
    """The exporter that an installed package brings under this name.

    Raises:
        ConfigurationError: none does, or it can't be made.
    """
    for entry in entry_points(group=_GROUP, name=name):
        try:
            made = entry.load()()
        except Exception as error:
            raise ConfigurationError(
                f"OTEL_TRACES_EXPORTER: can't make `{name}`: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, SpanExporter):
            raise ConfigurationError(f"OTEL_TRACES_EXPORTER: `{name}` is no exporter of spans")
        return made
    known = sorted({"none", "otlp", *(entry.name for entry in entry_points(group=_GROUP))})
    raise ConfigurationError(f"OTEL_TRACES_EXPORTER: unknown exporter `{name}`; known: {', '.join(known)}")


class ExporterCarrier:
    """Hands spans to an exporter. Belongs to one thread, but for `close`."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def carry(self, parcels: Sequence[Sequence[ReadableSpan]], seconds: float) -> Outcome:  # noqa: ARG002 - it has its own time
        """Export them together; an exporter tries again by itself."""
        try:
            result = self._exporter.export(list(chain.from_iterable(parcels)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the exporter's
            return Rejected(f"{type(error).__name__}: {error}")
        return (
            Taken() if result is SpanExportResult.SUCCESS else Rejected(f"{type(self._exporter).__name__} has failed")
        )

    def close(self) -> None:
        """Shut it down."""
        self._exporter.shutdown()


def readable(resource: Resource, scope: InstrumentationScope) -> Callable[[SpanModel], ReadableSpan]:
    """Makes spans as the SDK has them, of this resource and scope."""

    def made(model: SpanModel) -> ReadableSpan:
        trace_id = int.from_bytes(model.trace_id)
        context = SpanContext(
            trace_id,
            int.from_bytes(model.span_id),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
            trace_state=TraceState.from_header([model.state]) if model.state else TraceState(),
        )
        parent = SpanContext(trace_id, int.from_bytes(model.parent), is_remote=model.remote) if model.parent else None
        return ReadableSpan(
            name=model.name,
            context=context,
            parent=parent,
            resource=resource,
            attributes=model.attributes,
            links=[_link(link) for link in model.links],
            kind=_KINDS[model.kind],
            status=Status(StatusCode.UNSET) if model.failure is None else Status(StatusCode.ERROR, model.failure),
            start_time=model.started_ns,
            end_time=model.ended_ns,
            instrumentation_scope=scope,
        )

    return made


def _link(to: SpanIds) -> Link:
    flags = TraceFlags(TraceFlags.SAMPLED if to.sampled else TraceFlags.DEFAULT)
    return Link(SpanContext(to.trace_id, to.span_id, is_remote=True, trace_flags=flags))
