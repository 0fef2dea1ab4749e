"""One story over three requests, as collectors see it: somebody is challenged, waits for an approval, and goes through.

Every decision is a span below Envoy's own, and whatever happens between the requests is linked to the decisions that it
belongs to.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from documented_spans import is_documented
from e2e.stage import Script
from e2e_approvals.conftest import World, approving
from e2e_approvals.story import EVENTS, HEADER, PAGE, POLICY, decision_of, live
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receivers import Receiver, over_grpc, over_http

ENVOY, EXTAUTHZ = "gateway", "extauthz"
ID = "extauthz.decision_id"
Ids = tuple[bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The stage, and the receivers that it tells; `way` is how a factor is proven there."""

    world: World
    receivers: tuple[Receiver, ...]
    way: str

    @property
    def sent(self) -> list[tuple[str, Span]]:
        """All that has arrived."""
        return [one for receiver in self.receivers for one in receiver.sent]

    def named(self, prefix: str) -> list[Span]:
        """What extauthz has sent under names like this."""
        return [span for service, span in self.sent if service == EXTAUTHZ and span.name.startswith(prefix)]

    @property
    def events(self) -> list[Span]:
        """What has happened beside decisions."""
        return [span for span in self.named("authz.") if not span.name.startswith(("authz.check", "authz.wait."))]

    def wait_for(self, *decisions: str) -> list[Span]:
        """The spans of these decisions, as soon as they and the ones above them are there."""

        def there(_: Receiver) -> bool:
            above = {ids(span) for service, span in self.sent if service == ENVOY}
            return all(self._of(id_, above) for id_ in decisions)

        self.receivers[0].wait_for(there)
        return [span for id_ in decisions for span in self.named("authz.check") if said(span)[ID] == id_]

    def _of(self, decision: str, above: set[Ids]) -> bool:
        return any(
            said(span)[ID] == decision and (span.trace_id, span.parent_span_id) in above
            for span in self.named("authz.check")
        )


@pytest.fixture(scope="module", params=[PAGE, HEADER])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for each way to prove a factor; with the second, extauthz sends its spans over HTTP."""
    with ExitStack() as stack:
        receivers = [stack.enter_context(over_grpc())]
        environment: Mapping[str, str] = {}
        if request.param == HEADER:
            receivers.append(stack.enter_context(over_http()))
            environment = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receivers[1].endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            }
        script = Script(policies=POLICY, collector=receivers[0].endpoint, environment=environment)
        world = stack.enter_context(approving(tmp_path_factory.mktemp("people"), script))
        yield Scene(world=world, receivers=tuple(receivers), way=request.param)


def ids(span: Span) -> Ids:
    return span.trace_id, span.span_id


def said(span: Span) -> dict[str, Any]:
    return {entry.key: value_of(entry.value) for entry in span.attributes}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return [value_of(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def test_a_story_of_three_requests_is_linked(scene: Scene) -> None:
    lived = live(scene.world, "olga", scene.way)
    story = scene.wait_for(*lived.decisions)
    numbers = {ids(span): number for number, span in enumerate(story, 1)}

    def links(span: Span) -> set[int]:
        return {numbers[link.trace_id, link.span_id] for link in span.links}

    scene.receivers[0].wait_for(lambda _: len(scene.events) == len(EVENTS[scene.way]))
    told = sorted(scene.events, key=lambda span: span.end_time_unix_nano)
    assert [(span.name, links(span)) for span in told] == EVENTS[scene.way]
    assert [links(span) for span in story] == [set(), set(), {2}]
    first, second, third = map(said, story)
    assert (first["extauthz.decision"], first["extauthz.demands"]) == ("challenge", ["story/fresh"])
    assert (second["extauthz.decision"], second["extauthz.approval.ids"]) == ("hold", [lived.approval])
    assert (third["extauthz.decision"], third["extauthz.approval.ids"]) == ("allow", [lived.approval])
    assert {*third["extauthz.effects"]} == {"story/users:allow", "story/fresh:challenge", "story/four-eyes:approve"}
    for span in told:
        attributes = said(span)
        assert attributes["extauthz.event.kind"] == span.name.removeprefix("authz.")
        assert (attributes["user.id"], attributes["enduser.id"]) == ("olga", "olga")
        of_approval = span.name.startswith("authz.approval.") or span.name == "authz.grant.used"
        assert not of_approval or attributes["extauthz.approval.id"] == lived.approval
    by = {span.name: said(span)["extauthz.event.by"] for span in told}
    assert (by["authz.factor.proven"], by["authz.approval.voted"]) == ("requester", "approver:anna")
    opened = next(span for span in told if span.name == "authz.challenge.opened")
    assert said(opened)["extauthz.challenge.id"] == first["extauthz.challenge.id"]


def test_a_call_that_waits_has_a_span_for_its_wait(scene: Scene) -> None:
    sub = f"held-{scene.way}"
    call = scene.world.call(sub, "/held/pay")
    approval = scene.world.asked(sub)
    assert scene.world.answer(approval).status_code == 200
    (decision,) = scene.wait_for(decision_of(call.result(20)))
    (wait,) = [span for span in scene.named("authz.wait.hold") if span.parent_span_id == decision.span_id]
    assert wait.trace_id == decision.trace_id
    assert decision.start_time_unix_nano <= wait.start_time_unix_nano
    assert wait.end_time_unix_nano <= decision.end_time_unix_nano
    mine = ids(decision)
    scene.receivers[0].wait_for(lambda _: any("grant.used" in span.name for span in linked(scene, mine)))
    names = {span.name.removeprefix("authz.") for span in linked(scene, mine)}
    assert names >= {"approval.opened", "approval.voted", "approval.approved", "grant.given", "grant.used"}


def linked(scene: Scene, to: Ids) -> list[Span]:
    """The events that link to this span."""
    return [span for span in scene.events if to in {(link.trace_id, link.span_id) for link in span.links}]


def test_spans_say_what_is_documented_and_link_to_what_was_sent(scene: Scene) -> None:
    """Of all that the tests above have left."""
    spans = scene.named("authz.")
    assert spans
    assert {name for span in spans for name in said(span) if not is_documented(name)} == set()
    known = {ids(span) for span in scene.named("authz.check")}
    links = {(link.trace_id, link.span_id) for span in spans for link in span.links}
    assert links
    assert links <= known
