"""How long people took to meet a challenge and to answer an approval, as Prometheus is told, and the same by OTLP."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from e2e.owners import Owner
from e2e.stage import Script
from e2e_approvals.conftest import World, approving
from e2e_approvals.story import POLICY, meet, pays
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint
from otlp_receivers import Receiver, over_grpc
from patience import comes

MET = "extauthz_challenge_met_seconds", "factor", "totp"
APPROVED = "extauthz_approval_answered_seconds", "answer", "approved"
DENIED = "extauthz_approval_answered_seconds", "answer", "denied"
PAUSE = 0.4
"""Seconds that somebody takes at least."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with over_grpc() as running:
        yield running


@pytest.fixture(scope="module")
def world(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    script = Script(policies=POLICY, collector=receiver.endpoint, environment={"OTEL_METRIC_EXPORT_INTERVAL": "200"})
    with approving(tmp_path_factory.mktemp("people"), script) as running:
        yield running


def took(asks: Callable[[], Any], answers: Callable[[Any], object]) -> tuple[float, float]:
    """Between which bounds the seconds are from what is asked until it is answered."""
    before = time.time()
    asked = asks()
    after = time.time()
    time.sleep(PAUSE)
    begun = time.time()
    answers(asked)
    return begun - after, time.time() - before


def test_times_of_people_are_told_to_prometheus_and_by_otlp(world: World, receiver: Receiver) -> None:
    owner = Owner(world.stage, "nora")
    owner.enroll()
    meeting = took(lambda: pays(owner), lambda challenged: meet(owner, challenged))

    def asks() -> str:
        (approval,) = pays(owner).json()["approvals"]
        return str(approval)

    approving_took = took(asks, lambda id_: world.answer(id_).raise_for_status())
    assert pays(owner).status_code == 200
    denying_took = took(asks, lambda id_: world.answer(id_, "deny").raise_for_status())
    bounds = {MET: meeting, APPROVED: approving_took, DENIED: denying_took}
    assert comes(lambda: all(seconds(world, one)[0] == 1 for one in bounds))
    for one, (least, most) in bounds.items():
        count, total = seconds(world, one)
        assert (count, least <= total <= most) == (1, True), (one, least, total, most)
        assert comes(partial(has_one, receiver, one))
        (*_, point) = sent(receiver, one)
        assert point.sum == total
        place = bisect_left(point.explicit_bounds, total)
        assert [number for number, count in enumerate(point.bucket_counts) if count] == [place]


def seconds(world: World, one: tuple[str, str, str]) -> tuple[float, float]:
    """How many were counted, and all their seconds, as Prometheus is told."""
    name, label, value = one
    metrics, labels = world.metrics, f'{{{label}="{value}"}}'
    return metrics[f"{name}_count{labels}"], metrics[f"{name}_sum{labels}"]


def sent(receiver: Receiver, one: tuple[str, str, str]) -> list[HistogramDataPoint]:
    """What was sent of it, the newest last."""
    name, label, value = one
    return [
        point
        for request in receiver.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.histogram.data_points
        if {entry.key: entry.value.string_value for entry in point.attributes} == {label: value}
    ]


def has_one(receiver: Receiver, one: tuple[str, str, str]) -> bool:
    """Whether it was sent that there was one of it."""
    return any(point.count == 1 for point in sent(receiver, one)[-1:])
