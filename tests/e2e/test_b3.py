"""Traces of who speaks B3: the decision's span is a child of the caller's, or of Envoy's, whose tracer is Zipkin's."""

import copy
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from e2e import bootstrap
from e2e.stage import Script, Stage, stage
from e2e.zipkin import Zipkin, zipkin
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receivers import Receiver, over_grpc
from patience import comes

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: open}
spec:
  rules:
    - {name: all, effect: allow}
"""
FORMS = ["single", "multiple"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Behind the listener `untraced` Envoy makes no spans of its own."""

    stage: Stage
    collector: Receiver
    zipkin: Zipkin

    def decided(self, response: httpx.Response) -> Span:
        """The span of the decision about this request."""
        id_ = response.headers["x-extauthz-decision-id"]

        def told(span: Span) -> bool:
            return any(one.key == "extauthz.decision_id" and one.value.string_value == id_ for one in span.attributes)

        self.collector.wait_for(lambda came: any(map(told, came.spans)))
        (span,) = filter(told, self.collector.spans)
        return span


@pytest.fixture(scope="module", params=["b3", "b3multi"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One for each word by which B3 is asked for."""
    with over_grpc() as collector, zipkin() as receiver:
        script = Script(
            policies=POLICIES,
            edit=lambda tree: trace_by_zipkin(tree, receiver.port),
            collector=collector.endpoint,
            environment={"OTEL_PROPAGATORS": request.param},
        )
        with stage(script) as running:
            yield Scene(stage=running, collector=collector, zipkin=receiver)


def trace_by_zipkin(tree: bootstrap.Tree, port: int) -> None:
    """Let Envoy's tracer be that of Zipkin, and a second listener have none."""
    resources = tree["static_resources"]
    untraced = copy.deepcopy(resources["listeners"][0])
    untraced["name"] = "untraced"
    del untraced["filter_chains"][0]["filters"][0]["typed_config"]["tracing"]
    resources["listeners"].append(untraced)
    bootstrap.connection_manager(tree)["tracing"]["provider"] = {
        "name": "envoy.tracers.zipkin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            "collector_cluster": "zipkin",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
            "shared_span_context": False,
        },
    }
    resources["clusters"].append(
        {"name": "zipkin", "connect_timeout": "1s", "load_assignment": {"cluster_name": "zipkin"}}
    )
    bootstrap.point(tree, "zipkin", bootstrap.tcp(port))


def carrying(trace: str, span: str, form: str) -> dict[str, str]:
    if form == "single":
        return {"b3": f"{trace}-{span}-1"}
    return {"x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [16, 8], ids=["128-bits", "64-bits"])
def test_the_decision_is_a_child_of_the_callers_span(scene: Scene, form: str, length: int) -> None:
    trace, span = secrets.token_hex(length), secrets.token_hex(8)
    decided = scene.decided(scene.stage.client(listener="untraced").get("/", headers=carrying(trace, span, form)))
    assert (decided.trace_id.hex(), decided.parent_span_id.hex()) == (trace.zfill(32), span)


@pytest.mark.parametrize("form", FORMS)
def test_the_callers_trace_goes_on_through_envoy_into_the_decision(scene: Scene, form: str) -> None:
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    decided = scene.decided(scene.stage.client().get("/", headers=carrying(trace, span, form)))
    assert decided.trace_id.hex() == trace
    parent = decided.parent_span_id.hex()

    def of_envoy() -> dict[str, str]:
        return {one["id"]: one.get("parentId", "") for one in scene.zipkin.spans if one["traceId"] == trace}

    assert comes(lambda: parent in of_envoy() and span in of_envoy().values())


def test_a_trace_that_envoy_begins_goes_on_in_the_decision(scene: Scene) -> None:
    decided = scene.decided(scene.stage.client().get("/"))
    trace, parent = decided.trace_id.hex(), decided.parent_span_id.hex()
    assert comes(lambda: any(one["id"] == parent and one["traceId"].zfill(32) == trace for one in scene.zipkin.spans))
