"""Whether decisions leave spans: they do when the standard variables name an endpoint, and only then.

The rule kept here: OpenTelemetry is imported for an endpoint alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from extauthz.record.decision import Recorder

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """What takes decisions, and what exports the rest of them at the end; `close` blocks."""

    recorder: Recorder
    close: Callable[[], None]


def open_tracing(environ: Mapping[str, str], *, version: str) -> Tracing | None:
    """What the standard variables ask for, `None` if they name no endpoint or switch tracing off.

    Raises:
        ConfigurationError: they ask for a protocol that does not exist.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if not any(environ.get(name) for name in _ENDPOINTS):
        return None
    from extauthz.record.provider import tracer_provider
    from extauthz.record.spans import SpanRecorder

    provider = tracer_provider(environ, version=version)
    return Tracing(recorder=SpanRecorder(provider.get_tracer("extauthz", version)), close=provider.shutdown)
