"""What answers mean, and when a letter is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.approval.telling.attempts import (
    LONGEST_ASKED,
    Delivered,
    Failed,
    Patience,
    answered,
    delay,
    pause,
    retry_after,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_success_is_one(status: int) -> None:
    assert answered(status, asked="10", now=NOW) == Delivered()


@pytest.mark.parametrize(
    ("status", "is_down", "is_final", "wait"),
    [
        (100, False, False, 0),
        (301, False, False, 0),
        (302, False, False, 0),
        (307, False, False, 0),
        (400, False, False, 0),
        (404, False, False, 0),
        (408, True, False, 30),
        (410, False, True, 0),
        (429, True, False, 30),
        (500, True, False, 30),
        (502, True, False, 30),
        (503, True, False, 30),
        (504, True, False, 30),
    ],
)
def test_everything_else_is_a_failure(status: int, is_down: bool, is_final: bool, wait: float) -> None:
    outcome = answered(status, asked="30", now=NOW)
    assert isinstance(outcome, Failed)
    assert (outcome.is_down, outcome.is_final, outcome.wait) == (is_down, is_final, wait)
    assert outcome.is_gone == (status == 410)
    assert str(status) in outcome.error


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("99999999999999999999999", LONGEST_ASKED),
        ("-5", 0),
        ("1.5", 0),
        ("١٢", 0),
        ("soon", 0),
        ("", 0),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2038 08:02:00 GMT", LONGEST_ASKED),
        ("Fri, 15 Jan 2027 08:02:00", 0),
        ("Fri, 99 Jan 2027 08:02:00 GMT", 0),
        ("Fri, 15 Jan 99999999999999999999 08:02:00 GMT", 0),
        ("Fri, 15 Jan 2027 99999999999999999999:02:00 GMT", 0),
        ("Fri, 15 Jan 2027 08:02:00 +99999999999999999999", 0),
    ],
)
def test_a_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds(value: str, expected: float) -> None:
    assert retry_after(value, now=NOW) == expected


@given(st.text(max_size=40))
def test_no_text_makes_anybody_wait_for_ever(value: str) -> None:
    assert 0 <= retry_after(value, now=NOW) <= LONGEST_ASKED


@given(st.integers(min_value=1, max_value=10_000), st.floats(0, 1e9), st.floats(0, 1))
def test_no_letter_waits_less_than_its_pace_or_more_than_the_longest(attempt: int, asked: float, chance: float) -> None:
    waits = delay(attempt, asked=asked, chance=chance)
    assert 2.5 <= waits <= 2 * 3600
    assert waits >= min(asked, LONGEST_ASKED)
    assert delay(attempt + 1, asked=0, chance=chance) >= delay(attempt, asked=0, chance=chance)


def test_a_letter_waits_twice_as_long_each_time_up_to_two_hours() -> None:
    assert [delay(number, asked=0, chance=0) for number in (1, 2, 3, 10, 11, 12, 40)] == [
        5, 10, 20, 2560, 5120, 7200, 7200,
    ]  # fmt: skip


@given(st.integers(min_value=1, max_value=10_000), st.floats(0, 1e9))
def test_a_receiver_that_is_down_is_asked_again_within_an_hour(failures: int, asked: float) -> None:
    assert 1 <= pause(failures, asked=asked) <= LONGEST_ASKED
    assert pause(failures, asked=0) <= 60


def test_a_letter_is_given_up_after_so_many_attempts_or_when_it_is_too_old() -> None:
    patience = Patience(attempts=3, max_age=60)
    assert not patience.is_out(attempt=2, age=59)
    assert patience.is_out(attempt=3, age=0)
    assert patience.is_out(attempt=1, age=60)
