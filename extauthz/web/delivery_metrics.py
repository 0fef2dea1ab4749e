"""What Prometheus is told of letters, by who is told: those about approvals, and those of the event stream.

The rule: what this server has tried is counted here; what waits is counted in the store, and so the same on every
server.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from extauthz.check.deliveries import DeliveryStanding
from extauthz.check.event_posting import PostingCounts


def delivery_families(standings: Mapping[str, DeliveryStanding]) -> Iterable[Metric]:
    """Of letters on their way to whoever is told."""
    attempts = CounterMetricFamily(
        "extauthz_deliveries",
        "Attempts to tell somebody of something: delivered; failed, and made again; given up.",
        labels=["sink", "result"],
    )
    waiting = GaugeMetricFamily("extauthz_deliveries_waiting", "Letters that are not delivered yet.", labels=["sink"])
    dead = GaugeMetricFamily("extauthz_deliveries_dead", "Letters that were given up and are kept.", labels=["sink"])
    oldest = GaugeMetricFamily(
        "extauthz_deliveries_oldest_timestamp_seconds",
        "When the oldest event happened that somebody is not told of yet; 0 if there is none.",
        labels=["sink"],
    )
    gone = GaugeMetricFamily(
        "extauthz_deliveries_unwanted", "1 once an addressee has answered that it wants no more.", labels=["sink"]
    )
    for sink, one in standings.items():
        results = {"delivered": one.delivered, "failed": one.failed, "given-up": one.given_up}
        for result, count in results.items():
            attempts.add_metric([sink, result], count)
        gone.add_metric([sink], one.is_gone)
        if one.counts is not None:
            waiting.add_metric([sink], one.counts.waiting)
            dead.add_metric([sink], one.counts.dead)
            oldest.add_metric([sink], one.counts.oldest_at or 0.0)
    yield from (attempts, waiting, dead, oldest, gone)


def event_families(counts: Mapping[str, PostingCounts], folded: Mapping[str, int]) -> Iterable[Metric]:
    """Of events on their way into the store; `folded` are those that are told by a count."""
    told = CounterMetricFamily(
        "extauthz_event_stream",
        "Events: letters written to the store; folded into a count; letters dropped for want of room.",
        labels=["sink", "result"],
    )
    waiting = GaugeMetricFamily(
        "extauthz_event_stream_waiting", "Letters of events that are not in the store yet.", labels=["sink"]
    )
    for sink, one in counts.items():
        results = {"written": one.put, "folded": folded.get(sink, 0), "dropped": one.dropped}
        for result, count in results.items():
            told.add_metric([sink, result], count)
        waiting.add_metric([sink], one.waiting)
    yield from (told, waiting)
