"""Whether metrics go out by themselves and where to, as the standard variables say (OpenTelemetry specification,
"Environment Variable Specification").

The rule kept here: OpenTelemetry is imported where metrics are exported, and only there; and what is exported is what
Prometheus is told, from the same place.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from prometheus_client.metrics_core import Metric

Look = Callable[[], Iterable[Metric]]
"""Every metric as it is now."""

_OTLP: Final = "otlp"
_SERVED: Final = "prometheus"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class MetricExport(Protocol):
    """Sends metrics out. Belongs to one event loop."""

    async def follow(self) -> None:
        """Send them whenever it is time, for ever."""

    async def close(self) -> None:
        """Send them once more, for some seconds, and end."""


def open_metric_export(environ: Mapping[str, str], look: Look, *, version: str) -> MetricExport | None:
    """What the variables ask for; `None` if they name neither an endpoint nor an exporter, or switch it off.

    Raises:
        ConfigurationError: they ask for what does not exist.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = [name for one in environ.get("OTEL_METRICS_EXPORTER", "").split(",") if (name := one.strip())]
    if "none" in named:
        return None
    if not named and any(environ.get(name, "").strip() for name in _ENDPOINTS):
        named = [_OTLP]
    # They are served for Prometheus in any case.
    wanted = [name for name in dict.fromkeys(named) if name != _SERVED]
    if not wanted:
        return None
    from extauthz.record.metric_exporters import open_exporters

    return open_exporters(environ, wanted, look, version=version)
