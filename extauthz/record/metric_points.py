"""Metrics of Prometheus in OpenTelemetry's model (OpenTelemetry specification, "Prometheus and OpenMetrics
Compatibility").

The rule kept here: whoever turns them back gets the names, labels and numbers that Prometheus has.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import metrics_core
from prometheus_client.samples import Sample

_UNITS: Final[Mapping[str, str]] = {"seconds": "s", "bytes": "By"}
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NS: Final = 1e9


def points_of(
    families: Iterable[metrics_core.Metric],
    *,
    resource: Resource,
    scope: InstrumentationScope,
    started_ns: int,
    now_ns: int,
) -> MetricsData:
    """What they are now, of a process that counts since `started_ns`; both in nanoseconds since the epoch."""
    metrics = [
        Metric(family.name, family.documentation, _unit(family.name), _values(family, started_ns, now_ns))
        for family in families
        if family.samples
    ]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], resource.schema_url)])


def _unit(name: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith("_" + ending)), "")


def _values(family: metrics_core.Metric, started_ns: int, now_ns: int) -> Sum | Gauge | Histogram:
    match family.type:
        case "counter":
            counts = [one for one in family.samples if one.name.endswith("_total")]
            return Sum([_number(one, started_ns, now_ns) for one in counts], _CUMULATIVE, is_monotonic=True)
        case "histogram":
            return Histogram(list(_histograms(family, started_ns, now_ns)), _CUMULATIVE)
        case _:
            return Gauge([_number(one, 0, now_ns) for one in family.samples])


def _number(sample: Sample, started_ns: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(sample.labels, started_ns, now_ns, float(sample.value))


def _histograms(family: metrics_core.Metric, started_ns: int, now_ns: int) -> Iterable[HistogramDataPoint]:
    """One for each set of labels; its buckets come one after the other, as does its sum after them."""
    bounds: list[float] = []
    up_to: list[int] = []
    exemplars: list[Exemplar] = []
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            bounds.append(float(sample.labels["le"]))
            up_to.append(int(sample.value))
            if sample.exemplar is not None:
                exemplars.append(_exemplar(sample.exemplar.labels, sample.exemplar.value, sample.exemplar.timestamp))
        elif sample.name.endswith("_sum"):
            yield HistogramDataPoint(
                attributes=sample.labels,
                start_time_unix_nano=started_ns,
                time_unix_nano=now_ns,
                count=up_to[-1],
                sum=float(sample.value),
                bucket_counts=[count - before for before, count in zip([0, *up_to], up_to, strict=False)],
                explicit_bounds=bounds[:-1],  # the last has none
                min=None,  # type: ignore[arg-type]  # its encoder leaves out what is None, and nobody knows it
                max=None,  # type: ignore[arg-type]  # as above
                exemplars=exemplars,
            )
            bounds, up_to, exemplars = [], [], []


def _exemplar(labels: Mapping[str, str], value: float, at: object) -> Exemplar:
    beside = {name: text for name, text in labels.items() if name not in ("trace_id", "span_id")}
    trace, span = labels.get("trace_id"), labels.get("span_id")
    return Exemplar(
        beside,
        float(value),
        round(float(str(at)) * _NS),
        None if span is None else int(span, 16),
        None if trace is None else int(trace, 16),
    )
