"""Between which bounds a median lies. Rounds on a shared machine have tails of any shape, so nothing here takes them
for normal: bounds are rounds that were measured, or what comes of drawing the rounds anew."""

import random
from collections.abc import Callable, Sequence
from math import comb
from typing import Final

CONFIDENCE: Final = 0.95
DRAWS: Final = 2_000
Interval = tuple[float, float]


def of_median(rounds: Sequence[float]) -> Interval:
    """Bounds of the median of what the rounds are drawn from, by order statistics (the sign test turned round).

    The narrowest pair of the k-th smallest and the k-th largest round that holds it with `CONFIDENCE`. Fewer than six
    rounds can't be as sure of it: then it is their whole range.
    """
    ordered = sorted(rounds)
    left_out = 0
    while _doubt(len(ordered), left_out + 1) <= 1 - CONFIDENCE:
        left_out += 1
    return ordered[left_out], ordered[-1 - left_out]


def by_drawing(turns: int, estimate: Callable[[Sequence[int]], float]) -> Interval:
    """Bounds of an estimate from so many turns, by the bootstrap: turns are drawn anew, each as often as chance has it,
    and what `estimate` says of them is ordered. The same in each run.
    """
    chance = random.Random(1)  # noqa: S311  statistics, not a secret
    drawn = sorted(estimate(chance.choices(range(turns), k=turns)) for _ in range(DRAWS))
    left_out = int(DRAWS * (1 - CONFIDENCE) / 2)
    return drawn[left_out], drawn[-1 - left_out]


def _doubt(rounds: int, left_out: int) -> float:
    """The probability that the median lies beyond what is left when so many rounds are left out at each end: then no
    more than these fell on one side of it, as of coins that are tossed."""
    return sum(comb(rounds, heads) for heads in range(left_out + 1)) / 2.0 ** (rounds - 1)
