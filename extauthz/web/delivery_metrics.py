"""What Prometheus is told of letters, by who is told: those about approvals, and those of the event stream.

The rule: what this server has tried is counted here; what waits is counted in the store, and so the same on every
server.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import Metric

from extauthz.check.deliveries import DeliveryStanding
from extauthz.check.event_posting import PostingCounts
from extauthz.web.families import counter, each, gauge


def delivery_families(standings: Mapping[str, DeliveryStanding]) -> Iterable[Metric]:
    """Of letters on their way to whoever is told."""
    yield counter(
        "extauthz_deliveries",
        "Attempts to tell somebody of something: delivered; failed, and made again; given up.",
        ("sink", "result"),
        each(
            {
                sink: {"delivered": one.delivered, "failed": one.failed, "given-up": one.given_up}
                for sink, one in standings.items()
            }
        ),
    )
    counted = {sink: one.counts for sink, one in standings.items() if one.counts is not None}
    yield gauge(
        "extauthz_deliveries_waiting",
        "Letters that are not delivered yet.",
        "sink",
        {sink: counts.waiting for sink, counts in counted.items()},
    )
    yield gauge(
        "extauthz_deliveries_dead",
        "Letters that were given up and are kept.",
        "sink",
        {sink: counts.dead for sink, counts in counted.items()},
    )
    yield gauge(
        "extauthz_deliveries_oldest_timestamp_seconds",
        "When the oldest event happened that somebody is not told of yet; 0 if there is none.",
        "sink",
        {sink: counts.oldest_at or 0.0 for sink, counts in counted.items()},
    )
    yield gauge(
        "extauthz_deliveries_unwanted",
        "1 once an addressee has answered that it wants no more.",
        "sink",
        {sink: one.is_gone for sink, one in standings.items()},
    )


def event_families(counts: Mapping[str, PostingCounts], folded: Mapping[str, int]) -> Iterable[Metric]:
    """Of events on their way into the store; `folded` are those that are told by a count."""
    yield counter(
        "extauthz_event_stream",
        "Events: letters written to the store; folded into a count; letters dropped for want of room.",
        ("sink", "result"),
        each(
            {
                sink: {"written": one.put, "folded": folded.get(sink, 0), "dropped": one.dropped}
                for sink, one in counts.items()
            }
        ),
    )
    yield gauge(
        "extauthz_event_stream_waiting",
        "Letters of events that are not in the store yet.",
        "sink",
        {sink: one.waiting for sink, one in counts.items()},
    )
