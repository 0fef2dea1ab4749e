"""Whether decisions leave spans, and where these go: as the standard variables say.

The rule kept here: OpenTelemetry is imported where spans are made, and only there.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from extauthz.record.decision import Trace
from extauthz.record.keeping import Keeper
from extauthz.record.outlet import SpanCounts
from extauthz.values.request import RequestView
from extauthz.values.span_ids import SpanIds

_OTLP: Final = "otlp"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class SpanGiver(Protocol):
    """Tells which span a decision will be, before it is made."""

    def give(self, trace: Trace, request: RequestView | None) -> SpanIds:
        """The span of a decision about this request that somebody links to later; it is exported, whatever the sampler
        wants. Safe to call from any thread."""


class Tracing(Keeper, SpanGiver, Protocol):
    """The keeper of spans."""

    @property
    def counts(self) -> SpanCounts:
        """How its spans stand. Any thread may ask."""


def open_tracing(environ: Mapping[str, str], *, version: str) -> Tracing | None:
    """What the variables ask for; `None` if they name neither an endpoint nor an exporter, or switch tracing off.

    Raises:
        ConfigurationError: they ask for what does not exist.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = [name for one in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if (name := one.strip())]
    if "none" in named:
        return None
    if not named and any(environ.get(name, "").strip() for name in _ENDPOINTS):
        named = [_OTLP]
    if not named:
        return None
    from extauthz.record.span_outlets import open_spans

    return open_spans(environ, list(dict.fromkeys(named)), version=version)
