"""Laws of baselines: quantiles in bounded memory against the exact ones."""

from math import ceil, inf, isclose, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.risk.sketch import (
    EMPTY_SKETCH,
    FINEST,
    HALF_LIFE,
    LARGEST,
    MOST_BUCKETS,
    QUANTILES,
    SMALLEST,
    Quantiles,
    Sketch,
)

NOW = 1_795_255_200.0
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
AMOUNTS = st.floats(min_value=-1e6, max_value=1e6).map(lambda number: round(number, 2))


def estimates(found: Quantiles) -> list[float]:
    numbers = [found.p50, found.p90, found.p95, found.p99]
    return [number for number in numbers if number is not None]


def exact(numbers: list[float]) -> list[float]:
    """The smallest number that so large a part of them does not exceed."""
    ordered = sorted(numbers)
    return [ordered[max(ceil(part * len(ordered) * (1 - 1e-9)), 1) - 1] for part in QUANTILES]


def of(numbers: list[float], *, at: float = NOW) -> Sketch:
    return EMPTY_SKETCH.with_numbers(numbers, now=at)


@given(numbers=st.lists(AMOUNTS | NUMBERS, min_size=1, max_size=400))
def test_every_quantile_is_off_by_no_more_than_the_stated_part(numbers: list[float]) -> None:
    sketch = of(numbers)
    found = sketch.quantiles(now=NOW)
    assert found.count == len(numbers)
    for estimate, number in zip(estimates(found), exact(numbers), strict=True):
        size = min(abs(number), LARGEST)
        assert abs(estimate - max(min(number, LARGEST), -LARGEST)) <= size * sketch.error * (1 + 1e-6) + SMALLEST


@given(numbers=st.lists(NUMBERS, max_size=1500))
def test_memory_is_bounded_whatever_comes(numbers: list[float]) -> None:
    sketch = of(numbers)
    assert len(sketch.above) + len(sketch.below) <= MOST_BUCKETS
    assert len(sketch.to_text()) < 40 * MOST_BUCKETS


@given(numbers=st.lists(AMOUNTS, min_size=1, max_size=100), cut=st.integers(0, 100))
def test_the_order_and_the_batches_of_numbers_are_irrelevant(numbers: list[float], cut: int) -> None:
    parts = of(list(reversed(numbers[:cut]))).with_numbers(numbers[cut:], now=NOW)
    assert parts.quantiles(now=NOW) == of(numbers).quantiles(now=NOW)


@given(numbers=st.lists(AMOUNTS | NUMBERS, max_size=300))
def test_what_is_written_is_what_is_read(numbers: list[float]) -> None:
    sketch = of(numbers)
    assert Sketch.from_text(sketch.to_text()).to_text() == sketch.to_text()
    assert Sketch.from_text(sketch.to_text()).quantiles(now=NOW) == sketch.quantiles(now=NOW)


@given(numbers=st.lists(AMOUNTS, min_size=1, max_size=50), others=st.lists(st.sampled_from([nan, inf, -inf])))
def test_what_is_no_finite_number_changes_nothing(numbers: list[float], others: list[float]) -> None:
    assert of(numbers).with_numbers(others, now=NOW) == of(numbers)
    assert of([*others, *numbers]) == of(numbers)


def test_numbers_that_span_little_are_told_within_one_percent() -> None:
    numbers = [float(number) for number in range(100, 10_100, 10)]
    found = of(numbers).quantiles(now=NOW)
    assert of(numbers).error == pytest.approx(FINEST)
    for estimate, number in zip(estimates(found), exact(numbers), strict=True):
        assert isclose(estimate, number, rel_tol=FINEST)


def test_the_bounds_that_the_module_states_hold() -> None:
    for span, part in ((160, 0.01), (26_000, 0.02), (7e8, 0.04)):
        numbers = [span ** (step / 5000) for step in range(5001)]
        assert of(numbers).error == pytest.approx(part, rel=0.01)


def test_negative_numbers_come_before_zero_and_zero_before_positive_ones() -> None:
    found = of([-100.0] * 50 + [0.0] * 40 + [100.0] * 10).quantiles(now=NOW)
    assert found.p50 == pytest.approx(-100, rel=FINEST)
    assert found.p90 == 0
    assert found.p99 == pytest.approx(100, rel=FINEST)


def test_without_numbers_there_are_no_quantiles() -> None:
    assert EMPTY_SKETCH.quantiles(now=NOW) == Quantiles(count=0)
    assert of([nan]).quantiles(now=NOW).p95 is None


def test_old_numbers_fade_and_new_ones_take_over() -> None:
    sketch = of([10.0] * 100)
    assert sketch.quantiles(now=NOW + HALF_LIFE).count == 50
    later = sketch.with_numbers([1000.0] * 60, now=NOW + HALF_LIFE).quantiles(now=NOW + HALF_LIFE)
    assert later.count == 110
    assert later.p50 == pytest.approx(1000, rel=FINEST)
    assert sketch.quantiles(now=NOW + 20 * HALF_LIFE) == Quantiles(count=0)
    assert sketch.with_numbers([5.0], now=NOW + 20 * HALF_LIFE).above == of([5.0]).above, "and take no room"


def test_a_number_that_is_a_minute_old_still_counts_as_one() -> None:
    assert of([10.0]).quantiles(now=NOW + 60).count == 1


@given(numbers=st.lists(AMOUNTS, min_size=1, max_size=50), late=st.floats(0, 5 * HALF_LIFE))
def test_a_number_that_comes_late_weighs_as_if_it_had_come_in_time(numbers: list[float], late: float) -> None:
    in_turn = of(numbers, at=NOW - late).with_numbers([7.0], now=NOW)
    out_of_turn = of([7.0]).with_numbers(numbers, now=NOW - late)
    assert in_turn.quantiles(now=NOW).count == out_of_turn.quantiles(now=NOW).count


@pytest.mark.parametrize("text", ["", "q2 0 0 0 |", "q1 0 0 0 a|", "q1 0 0 0", "q1 x 0 0 |", "q1 0 0 0 1:2|3:4|5:6"])
def test_what_no_version_has_written_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever part of it can not be read
        Sketch.from_text(text)
