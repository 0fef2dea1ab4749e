"""What Prometheus is told of work that is done beside decisions: what waits, what was done, what was lost.

The rule kept here: whatever may be dropped is counted where it is dropped, and told.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from extauthz.check.activity import ActivityCounts
from extauthz.check.habits import HabitCounts
from extauthz.check.holding import HoldCounts
from extauthz.record.audit_file import AuditCounts
from extauthz.record.journal import JournalCounts
from extauthz.record.outlet import SpanCounts


def journal_families(now: JournalCounts) -> Iterable[Metric]:
    """Of records on their way to all who keep them."""
    yield GaugeMetricFamily("extauthz_records_waiting", "Records that nobody has kept yet.", value=now.waiting)
    yield CounterMetricFamily(
        "extauthz_records_dropped", "Records that were dropped because too many waited.", value=now.dropped
    )


def audit_families(now: AuditCounts) -> Iterable[Metric]:
    """Of the audit file."""
    records = CounterMetricFamily("extauthz_audit_records", "Audit records: written, lost.", labels=["result"])
    records.add_metric(["written"], now.written)
    records.add_metric(["lost"], now.lost)
    yield records
    yield GaugeMetricFamily("extauthz_audit_waiting", "Audit records not written yet.", value=now.waiting)


def span_families(now: SpanCounts) -> Iterable[Metric]:
    """Of the spans of decisions."""
    spans = CounterMetricFamily("extauthz_spans", "Spans: exported, dropped.", labels=["result"])
    spans.add_metric(["exported"], now.exported)
    spans.add_metric(["dropped"], now.dropped)
    yield spans
    yield GaugeMetricFamily("extauthz_spans_waiting", "Spans that are not exported yet.", value=now.waiting)
    yield GaugeMetricFamily("extauthz_spans_waiting_bytes", "What they take.", value=now.bytes)


def activity_families(now: ActivityCounts) -> Iterable[Metric]:
    """Of the activity of sessions."""
    yield GaugeMetricFamily(
        "extauthz_activity_waiting", "Sessions whose activity is due to be written.", value=now.waiting
    )
    told = CounterMetricFamily(
        "extauthz_activity",
        "Activity of sessions: written; writings that failed and are tried again; forgotten for want of room.",
        labels=["result"],
    )
    told.add_metric(["written"], now.written)
    told.add_metric(["failed"], now.failed)
    told.add_metric(["forgotten"], now.forgotten)
    yield told


def habit_families(now: HabitCounts) -> Iterable[Metric]:
    """Of what requests leave behind."""
    yield GaugeMetricFamily(
        "extauthz_habits_waiting",
        "Requests of which it is not written yet what they leave behind.",
        value=now.waiting,
    )
    told = CounterMetricFamily(
        "extauthz_habits",
        "What requests leave behind: written; lost with a writing that failed; forgotten for want of room.",
        labels=["result"],
    )
    told.add_metric(["written"], now.written)
    told.add_metric(["lost"], now.lost)
    told.add_metric(["forgotten"], now.forgotten)
    yield told


def holding_families(now: HoldCounts) -> Iterable[Metric]:
    """Of calls that are held for an approval."""
    yield GaugeMetricFamily("extauthz_held_calls", "Calls that are held open for an approval.", value=now.held)
    told = CounterMetricFamily(
        "extauthz_holds",
        "Calls that were held: woken by an answer; over without one; and those refused for want of a place.",
        labels=["result"],
    )
    told.add_metric(["woken"], now.woken)
    told.add_metric(["over"], now.over)
    told.add_metric(["refused"], now.refused)
    yield told


def refusal_families(transport: str, counts: Mapping[str, int]) -> Iterable[Metric]:
    """Of calls that were refused under overload, by reason."""
    refused = CounterMetricFamily(
        "extauthz_overload_refusals",
        "Calls refused under overload: their turn would have come too late; too many wait for look-ups.",
        labels=["transport", "reason"],
    )
    for reason, count in counts.items():
        refused.add_metric([transport, reason], count)
    yield refused


def reception_families(counts: Mapping[tuple[str, str], int]) -> Iterable[Metric]:
    """Of security event tokens, by transmitter and result."""
    received = CounterMetricFamily(
        "extauthz_signals_received",
        "Security event tokens: done; done before (again); refused; failed, to be sent again.",
        labels=["transmitter", "result"],
    )
    for (transmitter, result), count in counts.items():
        received.add_metric([transmitter, result], count)
    yield received
