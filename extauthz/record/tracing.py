"""Whether decisions leave spans: they do when the standard variables name an endpoint, and only then.

The rule kept here: OpenTelemetry is imported for an endpoint alone.
"""

from collections.abc import Mapping

from extauthz.record.keeping import Keeper

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def open_tracing(environ: Mapping[str, str], *, version: str) -> Keeper | None:
    """The keeper of spans that the standard variables ask for, `None` if they name no endpoint or switch tracing off.

    Raises:
        ConfigurationError: they ask for a protocol that does not exist.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if not any(environ.get(name) for name in _ENDPOINTS):
        return None
    from extauthz.record.provider import tracer_provider
    from extauthz.record.spans import SpanKeeper

    provider = tracer_provider(environ, version=version)
    return SpanKeeper(provider.get_tracer("extauthz", version), provider.shutdown)
