"""docs/metrics.md has every metric, with its labels and its type, and what is shipped for Prometheus uses no other."""

import re
from pathlib import Path

from metrics.counting import count, decided

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
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import Propagation
from extauthz.values.decisions import Allow, RuleResult
from extauthz.values.histogram import WAITS, Histogram
from extauthz.values.letters import LetterCounts
from extauthz.web.metrics import Metrics

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(extauthz_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", re.MULTILINE)
NAME = re.compile(r"\bextauthz_\w+")


def everything() -> Metrics:
    """Metrics that follow all that there is to follow, with something of each kind."""
    metrics, tallies = Metrics(), Tallies(Propagation().parent)
    rules = tuple(RuleResult(rule="p/r", effect="deny", mode="shadow", result=result) for result in ("match", "error"))
    count(tallies, decided(Allow(rule="p/a"), rules=rules))
    metrics.follow_decisions(lambda: tallies.tallied)
    metrics.follow_journal(lambda: JournalCounts(waiting=0, dropped=0))
    metrics.follow_audit(lambda: AuditCounts(waiting=0, written=0, lost=0))
    metrics.follow_spans(lambda: SpanCounts(waiting=0, bytes=0, exported=0, dropped=0))
    metrics.follow_keys(lambda: {"idp": Standing()})
    source = SourceStanding(results={"answered": 1}, given_up=False, took=Histogram(WAITS).counted)
    metrics.follow_attributes(lambda: {"crm": source})
    feed = FeedStanding(
        confirmed_at=None, failing_since=None, error=None, is_stale=False, counts={"block": 1}, signals=0
    )
    metrics.follow_revocations(lambda: feed)
    metrics.follow_store(lambda: StoreStanding(reached=True, failing_since=None, error=None))
    metrics.follow_activity(lambda: ActivityCounts(waiting=0, written=0, failed=0, forgotten=0))
    metrics.follow_refusals("grpcio", lambda: {"turn": 1})
    metrics.follow_callers("grpcio", lambda: 0)
    metrics.follow_habits(lambda: HabitCounts(waiting=0, written=0, lost=0, forgotten=0))
    metrics.follow_holding(lambda: HoldCounts(held=0, woken=0, over=0, refused=0))
    metrics.follow_reception(lambda: {("idp", "done"): 1})
    counts = LetterCounts(waiting=0, dead=0, oldest_at=None)
    delivery = DeliveryStanding(delivered=0, failed=0, given_up=0, is_gone=False, counts=counts)
    metrics.follow_deliveries(lambda: {"chat": delivery})
    metrics.follow_events(lambda: {"siem": PostingCounts(put=0, dropped=0, waiting=0)}, lambda: {"siem": 0})
    metrics.follow_local(lambda: {"geo": FileStanding(read_at=1.0, current=True)})
    metrics.in_force(revision="sha256:0", rules=1, bundles={"site": 1}, now=1.0)
    metrics.fetched("site", "changed")
    return metrics


def there() -> dict[str, tuple[frozenset[str], str]]:
    """Every metric of our own by its name: its labels, and its type."""
    found = {}
    for family in everything().families().collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("extauthz_"):
            labels = {label for sample in family.samples for label in sample.labels}
            found[name] = (frozenset(labels - {"le"}), family.type)
    return found


def test_the_table_has_every_metric_with_its_labels_and_its_type() -> None:
    rows = ROW.findall((ROOT / "docs" / "metrics.md").read_text())
    told = {name: (frozenset(filter(None, labels.split(","))), kind) for name, labels, kind in rows}
    assert len(told) == len(rows)
    assert told == there()


def test_what_is_shipped_for_prometheus_asks_for_nothing_else() -> None:
    known = there()
    names = set(known)
    for name, (_, kind) in known.items():
        if kind == "histogram":
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    for file in ("dashboard.json", "alerts.yml"):
        asked = set(NAME.findall((ROOT / "envoy" / "observability" / file).read_text()))
        assert asked
        assert asked <= names
