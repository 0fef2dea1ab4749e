"""What Prometheus is told of work that is done beside decisions: what waits, what was done, what was lost.

The rule kept here: whatever may be dropped is counted where it is dropped, and told.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from extauthz.check.activity import ActivityCounts
from extauthz.check.habits import HabitCounts
from extauthz.check.holding import HoldCounts
from extauthz.record.audit_file import AuditCounts
from extauthz.record.keeping import JournalCounts
from extauthz.record.outlet import SpanCounts
from extauthz.web.families import counter, each


def journal_families(now: JournalCounts) -> Iterable[Metric]:
    """Of records on their way to all who keep them."""
    yield GaugeMetricFamily("extauthz_records_waiting", "Records that nobody has kept yet.", value=now.waiting)
    yield CounterMetricFamily(
        "extauthz_records_dropped", "Records that were dropped because too many waited.", value=now.dropped
    )


def audit_families(now: AuditCounts) -> Iterable[Metric]:
    """Of the audit file."""
    results = {"written": now.written, "lost": now.lost}
    yield counter("extauthz_audit_records", "Audit records: written, lost.", "result", results)
    yield GaugeMetricFamily("extauthz_audit_waiting", "Audit records not written yet.", value=now.waiting)


def span_families(now: SpanCounts) -> Iterable[Metric]:
    """Of the spans of decisions."""
    results = {"exported": now.exported, "dropped": now.dropped}
    yield counter("extauthz_spans", "Spans: exported, dropped.", "result", results)
    yield GaugeMetricFamily("extauthz_spans_waiting", "Spans that are not exported yet.", value=now.waiting)
    yield GaugeMetricFamily("extauthz_spans_waiting_bytes", "What they take.", value=now.bytes)


def activity_families(now: ActivityCounts) -> Iterable[Metric]:
    """Of the activity of sessions."""
    yield GaugeMetricFamily(
        "extauthz_activity_waiting", "Sessions whose activity is due to be written.", value=now.waiting
    )
    yield counter(
        "extauthz_activity",
        "Activity of sessions: written; writings that failed and are tried again; forgotten for want of room.",
        "result",
        {"written": now.written, "failed": now.failed, "forgotten": now.forgotten},
    )


def habit_families(now: HabitCounts) -> Iterable[Metric]:
    """Of what requests leave behind."""
    yield GaugeMetricFamily(
        "extauthz_habits_waiting",
        "Requests of which it is not written yet what they leave behind.",
        value=now.waiting,
    )
    yield counter(
        "extauthz_habits",
        "What requests leave behind: written; lost with a writing that failed; forgotten for want of room.",
        "result",
        {"written": now.written, "lost": now.lost, "forgotten": now.forgotten},
    )


def holding_families(now: HoldCounts) -> Iterable[Metric]:
    """Of calls that are held for an approval."""
    yield GaugeMetricFamily("extauthz_held_calls", "Calls that are held open for an approval.", value=now.held)
    yield counter(
        "extauthz_holds",
        "Calls that were held: woken by an answer; over without one; and those refused for want of a place.",
        "result",
        {"woken": now.woken, "over": now.over, "refused": now.refused},
    )


def refusal_families(transport: str, counts: Mapping[str, int]) -> Iterable[Metric]:
    """Of calls that were refused under overload, by reason."""
    yield counter(
        "extauthz_overload_refusals",
        "Calls refused under overload: their turn would have come too late; too many wait for look-ups.",
        ("transport", "reason"),
        each({transport: counts}),
    )


def caller_families(transport: str, refused: int) -> Iterable[Metric]:
    """Of calls that were refused because of who called."""
    yield counter(
        "extauthz_callers_refused",
        "Calls refused because their caller's certificate has no name that may call.",
        "transport",
        {transport: refused},
    )


def reception_families(counts: Mapping[tuple[str, str], int]) -> Iterable[Metric]:
    """Of security event tokens, by transmitter and result."""
    yield counter(
        "extauthz_signals_received",
        "Security event tokens: done; done before (again); refused; failed, to be sent again.",
        ("transmitter", "result"),
        counts,
    )
