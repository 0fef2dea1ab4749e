"""What Prometheus is told of whom decisions rest on: fetched keys, attribute sources, files of addresses, revocations.

The rule kept here: times are seconds since the epoch, and 0 for never.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from extauthz.check.revocation_feed import FeedStanding
from extauthz.files import FileStanding
from extauthz.lookup.attributes.sources import SourceStanding
from extauthz.lookup.key_sets import Standing
from extauthz.web.families import counter, each, gauge, histogram


def local_families(standings: Mapping[str, FileStanding]) -> Iterable[Metric]:
    """Of the files that tell of addresses, by name."""
    yield gauge(
        "extauthz_addresses_current",
        "1 if the newest databases, or list, could be used.",
        "name",
        {name: one.current for name, one in standings.items()},
    )
    yield gauge(
        "extauthz_addresses_read_timestamp_seconds",
        "When that was read which counts.",
        "name",
        {name: one.read_at for name, one in standings.items()},
    )


def key_families(standings: Mapping[str, Standing]) -> Iterable[Metric]:
    """Of fetched keys, by the name of the source."""
    yield counter(
        "extauthz_keys_fetches",
        "Fetches of keys: changed, unchanged, failed (out of reach), refused.",
        ("source", "result"),
        each({source: one.fetches for source, one in standings.items()}),
    )
    yield gauge(
        "extauthz_keys_last_fetch_successful",
        "1 if the keys are what is published.",
        "source",
        {source: one.confirmed_at is not None and one.error is None for source, one in standings.items()},
    )
    yield gauge(
        "extauthz_keys_confirmed_timestamp_seconds",
        "When keys were last known to be what is published; 0 before there are any.",
        "source",
        {source: one.confirmed_at or 0.0 for source, one in standings.items()},
    )
    yield gauge(
        "extauthz_keys_last_fetch_seconds",
        "How long the last fetch of keys took, whatever came of it.",
        "source",
        {source: one.took for source, one in standings.items()},
    )


def attribute_families(standings: Mapping[str, SourceStanding]) -> Iterable[Metric]:
    """Of attribute sources, by their names."""
    yield counter(
        "extauthz_attributes_questions",
        "What came of what was to be asked: answered, absent, remembered, failed, unusable, turned-away, unasked.",
        ("source", "result"),
        each({source: one.results for source, one in standings.items()}),
    )
    yield histogram(
        "extauthz_attributes_answer_seconds",
        "How long a source that was asked took, whatever came of it.",
        "source",
        {source: one.took for source, one in standings.items()},
    )
    yield gauge(
        "extauthz_attributes_given_up",
        "1 while a source is not asked, since it has failed.",
        "source",
        {source: one.given_up for source, one in standings.items()},
    )


def revocation_families(now: FeedStanding) -> Iterable[Metric]:
    """Of revocations, and of signals that are known."""
    yield gauge(
        "extauthz_revocations", "Revocations that are known: block, tokens, session, token.", "kind", now.counts
    )
    yield GaugeMetricFamily("extauthz_signals", "Signals of transmitters that are known.", value=now.signals)
    yield GaugeMetricFamily(
        "extauthz_revocations_confirmed_timestamp_seconds",
        "When revocations were last known to be what the store has.",
        value=now.confirmed_at or 0.0,
    )
    yield GaugeMetricFamily(
        "extauthz_revocations_stale", "1 while requests with a subject are denied for it.", value=now.is_stale
    )
