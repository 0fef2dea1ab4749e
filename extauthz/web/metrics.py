"""The metrics of one server: what it is told of policies is kept here, everything else is asked for when somebody
looks.

Read on the admin address, `GET /metrics`, and by whoever exports them. Nothing here is touched by a decision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from extauthz.check.activity import ActivityCounts
from extauthz.check.deliveries import DeliveryStanding
from extauthz.check.event_posting import PostingCounts
from extauthz.check.habits import HabitCounts
from extauthz.check.holding import HoldCounts
from extauthz.check.revocation_feed import FeedStanding
from extauthz.check.store_watch import StoreStanding
from extauthz.files import FileStanding
from extauthz.lookup.attributes.sources import SourceStanding
from extauthz.lookup.key_sets import Standing
from extauthz.record.audit_file import AuditCounts
from extauthz.record.keeping import JournalCounts
from extauthz.record.outlet import SpanCounts
from extauthz.record.tallied import Tallied
from extauthz.values.histogram import LABOURS, Histogram
from extauthz.web.decision_metrics import decision_families
from extauthz.web.delivery_metrics import delivery_families, event_families
from extauthz.web.families import histogram
from extauthz.web.source_metrics import attribute_families, key_families, local_families, revocation_families
from extauthz.web.work_metrics import (
    activity_families,
    audit_families,
    caller_families,
    habit_families,
    holding_families,
    journal_families,
    reception_families,
    refusal_families,
    span_families,
)


class Metrics:
    """The metrics of one server; times are seconds since the epoch. Belongs to one event loop."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._info = Gauge("extauthz_policy_info", "The policies in force.", ["revision"], registry=registry)
        self._rules = Gauge("extauthz_policy_rules", "Rules in force.", registry=registry)
        self._reloads = Counter(
            "extauthz_policy_reloads", "Reloads: swapped in, or refused.", ["result"], registry=registry
        )
        self._reloading = Histogram(LABOURS)
        self._follow(self._reload_families)
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

    def reload_accepted(self, seconds: float) -> None:
        """A reload swapped policies in, which took so long."""
        self._reloads.labels("accepted").inc()
        self._reloading.add(seconds)

    def reload_refused(self) -> None:
        """A reload changed nothing, because something was wrong."""
        self._reloads.labels("refused").inc()
        self._succeeded.set(0)

    def fetched(self, bundle: str, result: str) -> None:
        """A fetch of a bundle ended."""
        self._fetches.labels(bundle, result).inc()

    def follow_decisions(self, tallied: Callable[[], Tallied]) -> None:
        """Tell of decisions, and of what came of them, whenever it is asked."""
        self._follow(lambda: decision_families(tallied()))

    def follow_journal(self, counts: Callable[[], JournalCounts]) -> None:
        """Tell of records on their way, whenever it is asked."""
        self._follow(lambda: journal_families(counts()))

    def follow_audit(self, counts: Callable[[], AuditCounts]) -> None:
        """Tell what `counts` says of the audit file, whenever it is asked."""
        self._follow(lambda: audit_families(counts()))

    def follow_spans(self, counts: Callable[[], SpanCounts]) -> None:
        """Tell how it stands with spans, whenever it is asked."""
        self._follow(lambda: span_families(counts()))

    def follow_keys(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        """Tell how it stands with fetched keys, by the name of the source, whenever it is asked."""
        self._follow(lambda: key_families(standings()))

    def follow_attributes(self, standings: Callable[[], Mapping[str, SourceStanding]]) -> None:
        """Tell how it stands with attribute sources, by their names, whenever it is asked."""
        self._follow(lambda: attribute_families(standings()))

    def follow_revocations(self, standing: Callable[[], FeedStanding]) -> None:
        """Tell how it stands with revocations, whenever it is asked."""
        self._follow(lambda: revocation_families(standing()))

    def follow_store(self, standing: Callable[[], StoreStanding]) -> None:
        """Tell whether the store can be written to, whenever it is asked."""
        up = Gauge("extauthz_store_up", "0 while the store can't be written to.", registry=self._registry)
        up.set_function(lambda: standing().in_reach)

    def follow_activity(self, counts: Callable[[], ActivityCounts]) -> None:
        """Tell what `counts` says of the activity of sessions, whenever it is asked."""
        self._follow(lambda: activity_families(counts()))

    def follow_refusals(self, transport: str, counts: Callable[[], Mapping[str, int]]) -> None:
        """Tell how many calls a transport has refused under overload, by reason, whenever it is asked."""
        self._follow(lambda: refusal_families(transport, counts()))

    def follow_callers(self, transport: str, refused: Callable[[], int]) -> None:
        """Tell how many calls a transport has refused because of who called, whenever it is asked."""
        self._follow(lambda: caller_families(transport, refused()))

    def follow_habits(self, counts: Callable[[], HabitCounts]) -> None:
        """Tell what `counts` says of what requests leave behind, whenever it is asked."""
        self._follow(lambda: habit_families(counts()))

    def follow_holding(self, counts: Callable[[], HoldCounts]) -> None:
        """Tell what `counts` says of calls that are held, whenever it is asked."""
        self._follow(lambda: holding_families(counts()))

    def follow_reception(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Tell how security event tokens ended, by transmitter and result, whenever it is asked."""
        self._follow(lambda: reception_families(counts()))

    def follow_deliveries(self, standings: Callable[[], Mapping[str, DeliveryStanding]]) -> None:
        """Tell how it stands with letters about approvals, by who is told, whenever it is asked."""
        self._follow(lambda: delivery_families(standings()))

    def follow_events(
        self, counts: Callable[[], Mapping[str, PostingCounts]], folded: Callable[[], Mapping[str, int]]
    ) -> None:
        """Tell how it stands with letters of the event stream, by who is told, whenever it is asked."""
        self._follow(lambda: event_families(counts(), folded()))

    def follow_local(self, standings: Callable[[], Mapping[str, FileStanding]]) -> None:
        """Tell how it stands with the files that tell of addresses, by name, whenever it is asked."""
        self._follow(lambda: local_families(standings()))

    def families(self) -> "Families":
        """All of it as it is now."""
        return Families(tuple(self._registry.collect()))

    def _follow(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._registry.register(_Asked(families))

    def _reload_families(self) -> Iterable[Metric]:
        yield histogram(
            "extauthz_policy_reload_seconds",
            "How long reloads took that were swapped in.",
            (),
            {(): self._reloading.counted},
        )


class Families(Collector):
    """What metrics were at one time. Belongs to nobody: it may be written down in any thread."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Each of them."""
        return self._families

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """In the text format of Prometheus, or in that of OpenMetrics, with exemplars, if the header `accept` asks for
        it; and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self), media_type


class _Asked(Collector):
    """Asks when somebody looks."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()
