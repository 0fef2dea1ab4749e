"""What Prometheus is told of decisions, of what they wait for, and of challenges and approvals.

The rule kept here: it is what the keeper of counts has counted, under names that stay.
"""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from extauthz.record.tallied import Tallied
from extauthz.web.families import counter, histogram


def decision_families(now: Tallied) -> Iterable[Metric]:
    """Everything of it."""
    yield counter(
        "extauthz_decisions",
        "Decisions: allow, deny, challenge, hold; why; and the rule, empty where none decided.",
        ("decision", "reason", "rule"),
        now.decisions,
    )
    yield histogram(
        "extauthz_decision_seconds",
        "How long decisions took, what they waited for included.",
        "decision",
        {decision: one.counted for decision, one in now.times.items()},
        {decision: one.exemplars for decision, one in now.times.items()},
    )
    yield counter(
        "extauthz_shadow_matches",
        "Matches of rules in shadow mode, which change nothing.",
        ("rule", "effect"),
        now.shadowed,
    )
    yield counter("extauthz_rule_errors", "Conditions that ended in an error.", "rule", now.failing)
    yield histogram(
        "extauthz_wait_seconds",
        "How long decisions waited for the store, attributes, identity, hold, audit; of those that did.",
        "on",
        {name: wait.counted for name, wait in now.waits.items()},
    )
    yield counter(
        "extauthz_wait_failures",
        "Waits of decisions that ended without an answer.",
        "on",
        {name: wait.failed for name, wait in now.waits.items()},
    )
    yield from _stories(now)


def _stories(now: Tallied) -> Iterable[Metric]:
    yield counter("extauthz_events", "What happened beside decisions, as the audit calls it.", "event", now.events)
    yield counter(
        "extauthz_challenges", "Challenges: asked, shown, met, failed, given-up.", ("step", "rule"), now.challenges
    )
    yield histogram(
        "extauthz_challenge_met_seconds", "How long it took until a challenge was met.", "factor", now.meeting
    )
    yield counter(
        "extauthz_approvals",
        "Approvals: asked, voted, escalated; approved, denied, expired, cancelled, broken-glass.",
        ("step", "rule"),
        now.approvals,
    )
    yield histogram(
        "extauthz_approval_answered_seconds", "How long it took until approvers had answered.", "answer", now.answering
    )
