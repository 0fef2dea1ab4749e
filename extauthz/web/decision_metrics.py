"""What Prometheus is told of decisions, of what they wait for, and of challenges and approvals.

The rule kept here: it is what the keeper of counts has counted, under names that stay.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar as Sample

from extauthz.record.decision import DecisionName
from extauthz.record.tallies import DecisionTimes, Exemplar, Tallied
from extauthz.values.histogram import Counted

_NONE: Mapping[int, Exemplar] = {}


def decision_families(now: Tallied) -> Iterable[Metric]:
    """Everything of it."""
    decisions = CounterMetricFamily(
        "extauthz_decisions",
        "Decisions: allow, deny, challenge, hold; why; and the rule, empty where none decided.",
        labels=["decision", "reason", "rule"],
    )
    for labels, count in now.decisions.items():
        decisions.add_metric(labels, count)
    yield decisions
    yield _times(now.times)
    shadowed = CounterMetricFamily(
        "extauthz_shadow_matches", "Matches of rules in shadow mode, which change nothing.", labels=["rule", "effect"]
    )
    for shadow, count in now.shadowed.items():
        shadowed.add_metric(shadow, count)
    yield shadowed
    failing = CounterMetricFamily("extauthz_rule_errors", "Conditions that ended in an error.", labels=["rule"])
    for rule, count in now.failing.items():
        failing.add_metric(rule, count)
    yield failing
    waits = HistogramMetricFamily(
        "extauthz_wait_seconds",
        "How long decisions waited for the store, attributes, identity, hold, audit; of those that did.",
        labels=["on"],
    )
    unanswered = CounterMetricFamily(
        "extauthz_wait_failures", "Waits of decisions that ended without an answer.", labels=["on"]
    )
    for name, wait in now.waits.items():
        add_counted(waits, [name], wait.counted)
        unanswered.add_metric([name], wait.failed)
    yield from (waits, unanswered)
    yield from _stories(now)


def add_counted(
    family: HistogramMetricFamily, labels: list[str], counted: Counted, exemplars: Mapping[int, Exemplar] = _NONE
) -> None:
    """What a histogram has counted, as one of the family's."""
    bounds = (*map(repr, counted.bounds), "+Inf")
    buckets: list[tuple[str, float] | tuple[str, float, Sample]] = []
    for place, (bound, count) in enumerate(zip(bounds, (*counted.up_to, counted.count), strict=True)):
        one = exemplars.get(place)
        buckets.append((bound, count) if one is None else (bound, count, _of(one)))
    family.add_metric(labels, buckets, counted.seconds)


def _of(one: Exemplar) -> Sample:
    span = {"trace_id": one.trace_id, "span_id": one.span_id} if one.trace_id else {}
    return Sample({**span, "decision_id": one.decision_id}, one.seconds, one.at)


def _times(times: Mapping[DecisionName, DecisionTimes]) -> Metric:
    family = HistogramMetricFamily(
        "extauthz_decision_seconds", "How long decisions took, what they waited for included.", labels=["decision"]
    )
    for decision, one in times.items():
        add_counted(family, [decision], one.counted, one.exemplars)
    return family


def _stories(now: Tallied) -> Iterable[Metric]:
    events = CounterMetricFamily(
        "extauthz_events", "What happened beside decisions, as the audit calls it.", labels=["event"]
    )
    for event, count in now.events.items():
        events.add_metric([event], count)
    challenges = CounterMetricFamily(
        "extauthz_challenges", "Challenges: asked, shown, met, failed, given-up.", labels=["step", "rule"]
    )
    for way, count in now.challenges.items():
        challenges.add_metric(way, count)
    meeting = HistogramMetricFamily(
        "extauthz_challenge_met_seconds", "How long it took until a challenge was met.", labels=["factor"]
    )
    for factor, counted in now.meeting.items():
        add_counted(meeting, [factor], counted)
    approvals = CounterMetricFamily(
        "extauthz_approvals",
        "Approvals: asked, voted, escalated; approved, denied, expired, cancelled, broken-glass.",
        labels=["step", "rule"],
    )
    for way, count in now.approvals.items():
        approvals.add_metric(way, count)
    answering = HistogramMetricFamily(
        "extauthz_approval_answered_seconds", "How long it took until approvers had answered.", labels=["answer"]
    )
    for answer, counted in now.answering.items():
        add_counted(answering, [answer], counted)
    yield from (events, challenges, meeting, approvals, answering)
