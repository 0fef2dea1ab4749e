"""Metrics as a receiver of OTLP gets them: the same as Prometheus is told, from each server under a name of its own."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from metrics import counting
from metrics.counting import SPAN, TRACE, decided
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from otlp_receivers import Receiver, over_grpc, over_http
from prometheus_client.parser import text_string_to_metric_families
from serving import CONFIG, POLICY, end, start

from extauthz.errors import ConfigurationError
from extauthz.record.metric_export import open_metric_export
from extauthz.record.metric_points import points_of
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import Propagation
from extauthz.values.decisions import Allow
from extauthz.web.metrics import Metrics

SECOND_NS = 1_000_000_000
RECEIVERS: Mapping[str, Callable[[], AbstractContextManager[Receiver]]] = {
    "grpc": over_grpc,
    "http/protobuf": over_http,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    return tmp_path


def arrived(receiver: Receiver) -> Iterator[tuple[str, dict[str, Metric]]]:
    """Each export: the instance that sent it, and its metrics by name."""
    for request in receiver.metrics:
        for one in request.resource_metrics:
            attributes = {entry.key: entry.value.string_value for entry in one.resource.attributes}
            assert attributes["service.name"] == "extauthz"
            metrics = {metric.name: metric for scope in one.scope_metrics for metric in scope.metrics}
            yield attributes["service.instance.id"], metrics


def labels(point: Any) -> dict[str, str]:
    return {entry.key: entry.value.string_value for entry in point.attributes}


def allows(metrics: dict[str, Metric]) -> float:
    """How many allows were counted."""
    if "extauthz_decisions" not in metrics:  # as before the first
        return 0.0
    points = metrics["extauthz_decisions"].sum.data_points
    return sum(point.as_double for point in points if labels(point)["decision"] == "allow")


@pytest.mark.parametrize("protocol", sorted(RECEIVERS))
def test_two_servers_send_what_they_count_each_under_its_own_name(protocol: str, folder: Path) -> None:
    with RECEIVERS[protocol]() as receiver, ExitStack() as servers:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        for checks in (1, 2):
            served = start(folder, **variables)
            servers.callback(end, served)
            for _ in range(checks):
                assert served.allows("/one")
        receiver.wait_for(lambda got: {allows(metrics) for _, metrics in arrived(got)} >= {1, 2})
        newest = dict(arrived(receiver))
        assert sorted(allows(metrics) for metrics in newest.values()) == [1, 2]


def test_what_was_counted_last_is_sent_before_the_end(folder: Path) -> None:
    with over_http() as receiver:
        served = start(folder, OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        try:
            assert served.allows("/one")
            served.process.terminate()
            assert served.process.wait(20) == 0
        finally:
            end(served)
        ((_, metrics),) = arrived(receiver)
        assert allows(metrics) == 1


def test_a_server_whose_receiver_is_gone_serves_and_says_so_once(folder: Path) -> None:
    served = start(
        folder,
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://127.0.0.1:1/v1/metrics",
        OTEL_EXPORTER_OTLP_TIMEOUT="100",
        OTEL_METRIC_EXPORT_INTERVAL="50",
    )
    try:
        said = served.next_event("metrics-not-exported")
        assert said["exporter"] == "otlp"
        assert served.allows("/one")
        served.process.terminate()
        assert served.process.wait(20) == 0
        assert served.process.stderr is not None
        assert "metrics-not-exported" not in served.process.stderr.read()
    finally:
        end(served)


def test_a_receiver_is_told_what_prometheus_is_told() -> None:
    """Every sample of the text format comes out of the points again."""
    metrics, tallies = Metrics(), Tallies(Propagation().parent)
    metrics.follow_decisions(lambda: tallies.tallied)
    metrics.in_force(revision="sha256:0", rules=3, bundles={"site": 7}, now=1.5)
    metrics.reload_accepted(0.3)
    counting.count(
        tallies, *(decided(Allow(rule="p/a"), took_ns=took) for took in (20_000, 200_000, 210_000, 100 * SECOND_NS))
    )
    families = metrics.families()
    text, _ = families.exposition("text/plain;version=0.0.4")
    said = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def add(name: str, labels: Any, value: float) -> None:
        found[name, tuple(sorted(labels.items()))] = value

    data = points_of(
        families.collect(),
        resource=Resource({}),
        scope=InstrumentationScope("extauthz"),
        started_ns=1,
        now_ns=2,
    )
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            labels_of = dict(point.attributes or {})
            if isinstance(point, HistogramDataPoint):
                up_to = 0
                for bound, count in zip((*point.explicit_bounds, math.inf), point.bucket_counts, strict=True):
                    up_to += count
                    le = "+Inf" if bound == math.inf else repr(float(bound))
                    add(f"{metric.name}_bucket", {**labels_of, "le": le}, up_to)
                add(f"{metric.name}_sum", labels_of, point.sum)
                add(f"{metric.name}_count", labels_of, point.count)
            else:
                assert isinstance(point, NumberDataPoint)
                add(metric.name + ("_total" if isinstance(metric.data, Sum) else ""), labels_of, point.value)
    assert found == said


def test_exemplars_arrive_with_the_span_that_they_stand_for(folder: Path) -> None:
    with over_http() as receiver:
        served = start(
            folder,
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{receiver.endpoint}/v1/metrics",
            OTEL_METRIC_EXPORT_INTERVAL="100",
        )
        try:
            answer = served.answer("/one", {"traceparent": f"00-{TRACE}-{SPAN}-01"})
            receiver.wait_for(lambda got: any(allows(metrics) for _, metrics in arrived(got)))
        finally:
            end(served)
        *_, (_, metrics) = arrived(receiver)
        took = metrics["extauthz_decision_seconds"]
        assert took.unit == "s"
        assert took.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        (point,) = [point for point in took.histogram.data_points if labels(point)["decision"] == "allow"]
        assert (point.count, sum(point.bucket_counts)) == (1, 1)
        assert not point.HasField("min")
        (exemplar,) = point.exemplars
        assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (TRACE, SPAN)
        (id_,) = [entry.value.string_value for entry in exemplar.filtered_attributes]
        assert id_ == answer.dynamic_metadata.fields["extauthz"].struct_value.fields["decision_id"].string_value


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_METRICS_EXPORTER": "otpl"}, "OTEL_METRICS_EXPORTER: unknown exporter `otpl`; known: "),
        (
            {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "60s"},
            "OTEL_METRIC_EXPORT_INTERVAL: `60s` is no whole number",
        ),
        (
            {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: `delta` is not offered; use `cumulative`",
        ),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector:4318"},
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `collector:4318` is no URL",
        ),
    ],
)
def test_variables_that_ask_for_what_is_not_there_end_the_start(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_metric_export(variables, lambda: (), version="1")
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_nothing_is_sent_unless_it_is_asked_for(variables: dict[str, str]) -> None:
    assert open_metric_export(variables, lambda: (), version="1") is None
