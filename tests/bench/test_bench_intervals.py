"""Bounds of medians: known answers, and how often they hold what they say."""

import random
from collections.abc import Sequence
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.intervals import CONFIDENCE, by_drawing, of_median

SAMPLES = 2_000


@pytest.mark.parametrize(
    ("rounds", "bounds"),  # of tables of the sign test at 95 %: n, and the ranks of both bounds
    [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (9, (2, 8)), (15, (4, 12)), (20, (6, 15)), (25, (8, 18)), (50, (18, 33))],
)
def test_bounds_of_a_median_are_those_of_the_sign_test(rounds: int, bounds: tuple[int, int]) -> None:
    ranks = [float(rank) for rank in range(1, rounds + 1)]
    random.Random(rounds).shuffle(ranks)  # noqa: S311  no secrets
    assert of_median(ranks) == bounds


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_a_median_lies_between_its_bounds(rounds: list[float]) -> None:
    low, high = of_median(rounds)
    assert low <= median(rounds) <= high


@pytest.mark.parametrize("rounds", [6, 15, 30])
def test_bounds_hold_the_median_as_often_as_they_say_whatever_the_noise(rounds: int) -> None:
    chance = random.Random(rounds)  # noqa: S311  no secrets
    held = 0
    for _ in range(SAMPLES):
        low, high = of_median([chance.lognormvariate(0, 1) for _ in range(rounds)])  # its median is 1
        held += low <= 1 <= high
    assert held / SAMPLES > CONFIDENCE - 0.015


def test_drawing_anew_finds_about_the_bounds_of_a_mean() -> None:
    chance = random.Random(7)  # noqa: S311  no secrets
    values = [chance.gauss(10, 2) for _ in range(100)]

    def of_some(turns: Sequence[int]) -> float:
        return fmean(values[turn] for turn in turns)

    low, high = by_drawing(len(values), of_some)
    reach = 1.96 * 2 / 10  # sigma over the root of 100
    assert (low, high) == pytest.approx((fmean(values) - reach, fmean(values) + reach), abs=0.12)
    assert by_drawing(len(values), of_some) == (low, high)
