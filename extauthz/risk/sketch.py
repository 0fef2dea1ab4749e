"""Quantiles of numbers in bounded memory: how much is usual, not what exactly it was.

The rule: whatever is added, no more than MOST_BUCKETS are kept, and a quantile is wrong by no more than `error` says.
Numbers are counted in buckets whose bounds grow by a constant factor, so an estimate is off by a part of the number
(DDSketch, VLDB 2019); where they are too many, neighbours are joined in pairs, which about doubles that part
(UDDSketch, 2020). Old numbers fade: each weighs half as much after HALF_LIFE.

A sketch does not depend on the order in which numbers were added, beside rounding.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, exp, isfinite, log, tanh
from typing import Final

import msgspec

FINEST: Final = 0.01
"""The part of a number by which its estimate is off while no buckets were joined."""
MOST_BUCKETS: Final = 256
"""At FINEST that is enough for numbers of which the largest is 160 times the smallest; of 26,000 times at 2 %, of
7e8 times at 4 %."""
SMALLEST: Final = 1e-9
"""What is nearer to zero counts as zero."""
LARGEST: Final = 1e18
"""What is further from zero counts as this."""
HALF_LIFE: Final = 30 * 86_400.0
"""Seconds after which a number weighs half as much."""
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)

_FORM: Final = "q1"
_SPREAD: Final = log((1 + FINEST) / (1 - FINEST))
_NEARLY: Final = 1 - 1e-9
"""Sums of weights are off by their rounding."""
_FADED: Final = 1 / 256
"""A bucket of less weight than this is forgotten: a number has faded from it after eight half-lives."""


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """How much was usual: of `count` numbers, old ones counting less, half were at most `p50`, and so on.

    Without any number all but the count are `None`.
    """

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """The weights of buckets, as they were at `at` (seconds since the epoch), after joining pairs `joined` times.

    A bucket is known by its place on the line: a negative number's is that of its absolute value, negated.
    """

    at: float = 0.0
    joined: int = 0
    zero: float = 0.0
    above: Mapping[int, float] = field(default_factory=dict)
    below: Mapping[int, float] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """The part of a number by which its estimate may be off."""
        return tanh(_SPREAD * 2**self.joined / 2)

    def with_numbers(self, numbers: Iterable[float], *, now: float) -> "Sketch":
        """The sketch with these numbers, which came at `now`. What is no finite number is left out."""
        finite = [number for number in numbers if isfinite(number)]
        if not finite:
            return self
        at = max(self.at, now)
        fading = _weight(at - self.at)
        zero = _faded(self.zero, fading)
        above, below = (
            {place: _faded(one, fading) for place, one in side.items()} for side in (self.above, self.below)
        )
        weight = _weight(at - now)  # less than one if another machine has added what came later
        for number in finite:
            size = min(abs(number), LARGEST)
            if size < SMALLEST:
                zero += weight
                continue
            side = above if number > 0 else below
            place = _wider(ceil(log(size) / _SPREAD), self.joined)
            side[place] = side.get(place, 0.0) + weight
        return _fitted(at, self.joined, zero, _present(above), _present(below))

    def quantiles(self, *, now: float) -> Quantiles:
        """What was usual, as of `now`."""
        weights = self._weights()
        total = sum(weight for _, weight in weights)
        count = round(total * _weight(max(now - self.at, 0.0)))
        if count == 0:
            return Quantiles()
        found: list[float] = []
        passed, left = 0.0, list(QUANTILES)
        for number, weight in weights:
            passed += weight
            while left and passed >= left[0] * total * _NEARLY:
                found.append(number)
                left.pop(0)
        p50, p90, p95, p99 = found
        return Quantiles(count=count, p50=p50, p90=p90, p95=p95, p99=p99)

    def to_text(self) -> str:
        """The sketch as a store keeps it; `from_text` reads it."""
        parts = (_side_text(side) for side in (self.below, self.above))
        return f"{_FORM} {self.at!r} {self.joined} {self.zero:.9g} {'|'.join(parts)}"

    @classmethod
    def from_text(cls, text: str) -> "Sketch":
        """What `to_text` wrote. Raises `ValueError` for anything else."""
        form, at, joined, zero, sides = text.split(" ")
        if form != _FORM:
            raise ValueError("another version's sketch")
        below, above = sides.split("|")
        return cls(at=float(at), joined=int(joined), zero=float(zero), below=_side(below), above=_side(above))

    def _weights(self) -> list[tuple[float, float]]:
        """Each bucket's number and weight, from the lowest number on."""
        spread = _SPREAD * 2**self.joined
        low = [(-_middle(place, spread), self.below[place]) for place in sorted(self.below, reverse=True)]
        high = [(_middle(place, spread), self.above[place]) for place in sorted(self.above)]
        return [*low, *([(0.0, self.zero)] if self.zero else []), *high]


EMPTY_SKETCH: Final = Sketch()


def _fitted(at: float, joined: int, zero: float, above: dict[int, float], below: dict[int, float]) -> Sketch:
    """The sketch of these buckets, joined in pairs until they are few enough."""
    while len(above) + len(below) > MOST_BUCKETS:
        joined += 1
        above, below = _joined(above), _joined(below)
    return Sketch(at=at, joined=joined, zero=zero, above=above, below=below)


def _joined(side: Mapping[int, float]) -> dict[int, float]:
    pairs: dict[int, float] = {}
    for place, weight in side.items():
        wider = _wider(place, 1)
        pairs[wider] = pairs.get(wider, 0.0) + weight
    return pairs


def _wider(place: int, times: int) -> int:
    """The place of the bucket that holds this one after so many times of joining pairs: half of it, rounded up."""
    return -(-place >> times)


def _middle(place: int, spread: float) -> float:
    """The number in a bucket that is off by the same part from both of its bounds, never beyond LARGEST."""
    return min(2 * exp(place * spread) / (exp(spread) + 1), LARGEST)


def _weight(age: float) -> float:
    return float(2.0 ** (-age / HALF_LIFE))


def _faded(weight: float, fading: float) -> float:
    return weight * fading if weight * fading >= _FADED else 0.0


def _present(side: Mapping[int, float]) -> dict[int, float]:
    return {place: weight for place, weight in side.items() if weight > 0}


def _side_text(side: Mapping[int, float]) -> str:
    return ",".join(f"{place}:{weight:.9g}" for place, weight in sorted(side.items()))


def _side(text: str) -> dict[int, float]:
    pairs = (one.partition(":") for one in text.split(",") if one)
    return {int(place): float(weight) for place, _, weight in pairs}
