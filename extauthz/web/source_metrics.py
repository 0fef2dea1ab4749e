"""What Prometheus is told of whom decisions rest on: fetched keys, attribute sources, files of addresses, revocations.

The rule kept here: times are seconds since the epoch, and 0 for never.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from extauthz.check.revocation_feed import FeedStanding
from extauthz.lookup.attributes.sources import SourceStanding
from extauthz.lookup.files import FileStanding
from extauthz.lookup.key_sets import Standing
from extauthz.web.decision_metrics import add_counted


def local_families(standings: Mapping[str, FileStanding]) -> Iterable[Metric]:
    """Of the files that tell of addresses, by name."""
    current = GaugeMetricFamily(
        "extauthz_addresses_current", "1 if the newest databases, or list, could be used.", labels=["name"]
    )
    read_at = GaugeMetricFamily(
        "extauthz_addresses_read_timestamp_seconds", "When that was read which counts.", labels=["name"]
    )
    for name, standing in standings.items():
        current.add_metric([name], standing.current)
        read_at.add_metric([name], standing.read_at)
    yield from (current, read_at)


def key_families(standings: Mapping[str, Standing]) -> Iterable[Metric]:
    """Of fetched keys, by the name of the source."""
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
    took = GaugeMetricFamily(
        "extauthz_keys_last_fetch_seconds",
        "How long the last fetch of keys took, whatever came of it.",
        labels=["source"],
    )
    for source, standing in standings.items():
        for result, count in standing.fetches.items():
            fetches.add_metric([source, result], count)
        successful.add_metric([source], standing.confirmed_at is not None and standing.error is None)
        confirmed.add_metric([source], standing.confirmed_at or 0.0)
        took.add_metric([source], standing.took)
    yield from (fetches, successful, confirmed, took)


def attribute_families(standings: Mapping[str, SourceStanding]) -> Iterable[Metric]:
    """Of attribute sources, by their names."""
    questions = CounterMetricFamily(
        "extauthz_attributes_questions",
        "What came of what was to be asked: answered, absent, remembered, failed, unusable, turned-away, unasked.",
        labels=["source", "result"],
    )
    took = HistogramMetricFamily(
        "extauthz_attributes_answer_seconds",
        "How long a source that was asked took, whatever came of it.",
        labels=["source"],
    )
    shut = GaugeMetricFamily(
        "extauthz_attributes_given_up", "1 while a source is not asked, since it has failed.", labels=["source"]
    )
    for source, standing in standings.items():
        for result, count in standing.results.items():
            questions.add_metric([source, result], count)
        add_counted(took, [source], standing.took)
        shut.add_metric([source], standing.given_up)
    yield from (questions, took, shut)


def revocation_families(now: FeedStanding) -> Iterable[Metric]:
    """Of revocations, and of signals that are known."""
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
