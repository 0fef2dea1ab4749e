"""What Prometheus is told of the policies in force and of how they came to be, of fetched keys, of attribute sources,
of files that tell of addresses, of revocations, of letters about approvals, of audit records and of calls that were
refused under overload.

Read on the admin address, `GET /metrics`. Nothing here is touched by a decision.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from extauthz.check.activity import ActivityCounts
from extauthz.check.deliveries import DeliveryStanding
from extauthz.check.habits import HabitCounts
from extauthz.check.holding import HoldCounts
from extauthz.check.revocation_feed import FeedStanding
from extauthz.check.store_watch import StoreStanding
from extauthz.lookup.attributes.sources import SourceStanding
from extauthz.lookup.files import FileStanding
from extauthz.lookup.key_sets import Standing
from extauthz.record.audit_file import AuditCounts
from extauthz.web.delivery_metrics import DeliveryMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server; times are seconds since the epoch."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._info = Gauge("extauthz_policy_info", "The policies in force.", ["revision"], registry=registry)
        self._rules = Gauge("extauthz_policy_rules", "Rules in force.", registry=registry)
        self._reloads = Counter(
            "extauthz_policy_reloads", "Reloads: swapped in, or refused.", ["result"], registry=registry
        )
        self._succeeded = Gauge(
            "extauthz_policy_last_reload_successful", "1 if the newest policies are in force.", registry=registry
        )
        self._succeeded_at = Gauge(
            "extauthz_policy_last_reload_success_timestamp_seconds", "When policies came in force.", registry=registry
        )
        self._bundle = Gauge(
            "extauthz_bundle_version", "Version of the bundle in force.", ["bundle"], registry=registry
        )
        self._fetches = Counter(
            "extauthz_bundle_fetches",
            "Fetches of bundles: changed, unchanged, failed (out of reach), refused.",
            ["bundle", "result"],
            registry=registry,
        )
        for result in ("accepted", "refused"):
            self._reloads.labels(result)

    def in_force(self, *, revision: str, rules: int, bundles: Mapping[str, int], now: float) -> None:
        """These policies decide now; `bundles` are versions by name."""
        self._info.clear()
        self._info.labels(revision).set(1)
        self._rules.set(rules)
        self._succeeded.set(1)
        self._succeeded_at.set(now)
        for name, version in bundles.items():
            self._bundle.labels(name).set(version)

    def reload_accepted(self) -> None:
        """A reload swapped policies in."""
        self._reloads.labels("accepted").inc()

    def reload_refused(self) -> None:
        """A reload changed nothing, because something was wrong."""
        self._reloads.labels("refused").inc()
        self._succeeded.set(0)

    def fetched(self, bundle: str, result: str) -> None:
        """A fetch of a bundle ended."""
        self._fetches.labels(bundle, result).inc()

    def follow_audit(self, counts: Callable[[], AuditCounts]) -> None:
        """Tell what `counts` says of the audit file, whenever it is asked."""
        self._registry.register(_Audit(counts))

    def follow_keys(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        """Tell how it stands with fetched keys, by the name of the source, whenever it is asked."""
        self._registry.register(_Keys(standings))

    def follow_attributes(self, standings: Callable[[], Mapping[str, SourceStanding]]) -> None:
        """Tell how it stands with attribute sources, by their names, whenever it is asked."""
        self._registry.register(_Attributes(standings))

    def follow_revocations(self, standing: Callable[[], FeedStanding]) -> None:
        """Tell how it stands with revocations, whenever it is asked."""
        self._registry.register(_Revocations(standing))

    def follow_store(self, standing: Callable[[], StoreStanding]) -> None:
        """Tell whether the store can be written to, whenever it is asked."""
        up = Gauge("extauthz_store_up", "0 while the store can't be written to.", registry=self._registry)
        up.set_function(lambda: standing().reached and standing().error is None)

    def follow_activity(self, counts: Callable[[], ActivityCounts]) -> None:
        """Tell what `counts` says of the activity of sessions, whenever it is asked."""
        self._registry.register(_Activity(counts))

    def follow_refusals(self, transport: str, counts: Callable[[], Mapping[str, int]]) -> None:
        """Tell how many calls a transport has refused under overload, by reason, whenever it is asked."""
        self._registry.register(_Refusals(transport, counts))

    def follow_habits(self, counts: Callable[[], HabitCounts]) -> None:
        """Tell what `counts` says of what requests leave behind, whenever it is asked."""
        self._registry.register(_Habits(counts))

    def follow_holding(self, counts: Callable[[], HoldCounts]) -> None:
        """Tell what `counts` says of calls that are held, whenever it is asked."""
        self._registry.register(_Holding(counts))

    def follow_reception(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Tell how security event tokens ended, by transmitter and result, whenever it is asked."""
        self._registry.register(_Reception(counts))

    def follow_deliveries(self, standings: Callable[[], Mapping[str, DeliveryStanding]]) -> None:
        """Tell how it stands with letters about approvals, by who is told, whenever it is asked."""
        self._registry.register(DeliveryMetrics(standings))

    def follow_local(self, standings: Callable[[], Mapping[str, FileStanding]]) -> None:
        """Tell how it stands with the files that tell of addresses, by name, whenever it is asked."""
        self._registry.register(_Local(standings))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Local(Collector):
    """Looks at the files that tell of addresses when Prometheus asks for them."""

    def __init__(self, standings: Callable[[], Mapping[str, FileStanding]]) -> None:
        self._standings = standings

    def collect(self) -> Iterable[Metric]:
        current = GaugeMetricFamily(
            "extauthz_addresses_current", "1 if the newest databases, or list, could be used.", labels=["name"]
        )
        read_at = GaugeMetricFamily(
            "extauthz_addresses_read_timestamp_seconds", "When that was read which counts.", labels=["name"]
        )
        for name, standing in self._standings().items():
            current.add_metric([name], standing.current)
            read_at.add_metric([name], standing.read_at)
        yield from (current, read_at)


class _Audit(Collector):
    """Reads the counts of the audit file when Prometheus asks for them."""

    def __init__(self, counts: Callable[[], AuditCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        now = self._counts()
        records = CounterMetricFamily("extauthz_audit_records", "Audit records: written, lost.", labels=["result"])
        records.add_metric(["written"], now.written)
        records.add_metric(["lost"], now.lost)
        yield records
        yield GaugeMetricFamily("extauthz_audit_waiting", "Audit records not written yet.", value=now.waiting)


class _Activity(Collector):
    """Reads the counts of the activity of sessions when Prometheus asks for them."""

    def __init__(self, counts: Callable[[], ActivityCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        now = self._counts()
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


class _Refusals(Collector):
    """Reads how many calls were refused when Prometheus asks for it."""

    def __init__(self, transport: str, counts: Callable[[], Mapping[str, int]]) -> None:
        self._transport = transport
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        refused = CounterMetricFamily(
            "extauthz_overload_refusals",
            "Calls refused under overload: their turn would have come too late; too many wait for look-ups.",
            labels=["transport", "reason"],
        )
        for reason, count in self._counts().items():
            refused.add_metric([self._transport, reason], count)
        yield refused


class _Habits(Collector):
    """Reads the counts of what requests leave behind when Prometheus asks for them."""

    def __init__(self, counts: Callable[[], HabitCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        now = self._counts()
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


class _Holding(Collector):
    """Reads the counts of calls that are held for an approval when Prometheus asks for them."""

    def __init__(self, counts: Callable[[], HoldCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        now = self._counts()
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


class _Reception(Collector):
    """Reads how security event tokens ended when Prometheus asks for it."""

    def __init__(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        received = CounterMetricFamily(
            "extauthz_signals_received",
            "Security event tokens: done; done before (again); refused; failed, to be sent again.",
            labels=["transmitter", "result"],
        )
        for (transmitter, result), count in self._counts().items():
            received.add_metric([transmitter, result], count)
        yield received


class _Keys(Collector):
    """Looks at the fetched keys when Prometheus asks for them."""

    def __init__(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterable[Metric]:
        fetches = CounterMetricFamily(
            "extauthz_keys_fetches",
            "Fetches of keys: changed, unchanged, failed (out of reach), refused.",
            labels=["source", "result"],
        )
        successful = GaugeMetricFamily(
            "extauthz_keys_last_fetch_successful", "1 if the keys are what is published.", labels=["source"]
        )
        confirmed = GaugeMetricFamily(
            "extauthz_keys_confirmed_timestamp_seconds",
            "When keys were last known to be what is published; 0 before there are any.",
            labels=["source"],
        )
        for source, standing in self._standings().items():
            for result, count in standing.fetches.items():
                fetches.add_metric([source, result], count)
            successful.add_metric([source], standing.confirmed_at is not None and standing.error is None)
            confirmed.add_metric([source], standing.confirmed_at or 0.0)
        yield from (fetches, successful, confirmed)


class _Attributes(Collector):
    """Looks at the attribute sources when Prometheus asks for them."""

    def __init__(self, standings: Callable[[], Mapping[str, SourceStanding]]) -> None:
        self._standings = standings

    def collect(self) -> Iterable[Metric]:
        questions = CounterMetricFamily(
            "extauthz_attributes_questions",
            "What came of what was to be asked: answered, absent, remembered, failed, unusable, turned-away, unasked.",
            labels=["source", "result"],
        )
        shut = GaugeMetricFamily(
            "extauthz_attributes_given_up", "1 while a source is not asked, since it has failed.", labels=["source"]
        )
        for source, standing in self._standings().items():
            for result, count in standing.results.items():
                questions.add_metric([source, result], count)
            shut.add_metric([source], standing.given_up)
        yield from (questions, shut)


class _Revocations(Collector):
    """Looks at the revocations when Prometheus asks for them."""

    def __init__(self, standing: Callable[[], FeedStanding]) -> None:
        self._standing = standing

    def collect(self) -> Iterable[Metric]:
        now = self._standing()
        known = GaugeMetricFamily(
            "extauthz_revocations", "Revocations that are known: block, tokens, session, token.", labels=["kind"]
        )
        for kind, count in now.counts.items():
            known.add_metric([kind], count)
        yield known
        yield GaugeMetricFamily("extauthz_signals", "Signals of transmitters that are known.", value=now.signals)
        yield GaugeMetricFamily(
            "extauthz_revocations_confirmed_timestamp_seconds",
            "When revocations were last known to be what the store has.",
            value=now.confirmed_at or 0.0,
        )
        yield GaugeMetricFamily(
            "extauthz_revocations_stale", "1 while requests with a subject are denied for it.", value=now.is_stale
        )
