"""Families of metrics, each made of all its values at once.

The rule kept here: a value has the words of its labels as its key, one word as a text, several as a tuple.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar as Sample

from extauthz.record.tallied import Exemplar
from extauthz.values.counted import Counted

_Words = TypeVar("_Words", bound=str | tuple[str, ...])
_Inner = TypeVar("_Inner", bound=str)


def counter(name: str, told: str, labels: str | tuple[str, ...], values: Mapping[_Words, float]) -> CounterMetricFamily:
    """The counter `name`, without its `_total`; `told` is what it counts."""
    family = CounterMetricFamily(name, told, labels=_words(labels))
    for words, value in values.items():
        family.add_metric(_words(words), value)
    return family


def gauge(name: str, told: str, labels: str | tuple[str, ...], values: Mapping[_Words, float]) -> GaugeMetricFamily:
    """The gauge `name`; `told` is what it shows."""
    family = GaugeMetricFamily(name, told, labels=_words(labels))
    for words, value in values.items():
        family.add_metric(_words(words), value)
    return family


def histogram(
    name: str,
    told: str,
    labels: str | tuple[str, ...],
    values: Mapping[_Words, Counted],
    exemplars: Mapping[_Words, Mapping[int, Exemplar]] | None = None,
) -> HistogramMetricFamily:
    """The histogram `name` of what was counted, in seconds; `exemplars` are by the places of their buckets."""
    family = HistogramMetricFamily(name, told, labels=_words(labels))
    for words, counted in values.items():
        shown = {} if exemplars is None else exemplars[words]
        bounds = (*map(repr, counted.bounds), "+Inf")
        buckets: list[tuple[str, float] | tuple[str, float, Sample]] = []
        for place, (bound, count) in enumerate(zip(bounds, (*counted.up_to, counted.count), strict=True)):
            one = shown.get(place)
            buckets.append((bound, count) if one is None else (bound, count, _sample(one)))
        family.add_metric(_words(words), buckets, counted.seconds)
    return family


def each(values: Mapping[str, Mapping[_Inner, float]]) -> Mapping[tuple[str, str], float]:
    """Values by two words, of what is by the one and then by the other."""
    return {(outer, inner): value for outer, within in values.items() for inner, value in within.items()}


def _sample(one: Exemplar) -> Sample:
    span = {"trace_id": one.trace_id, "span_id": one.span_id} if one.trace_id else {}
    return Sample({**span, "decision_id": one.decision_id}, one.seconds, one.at)


def _words(words: str | Iterable[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)
