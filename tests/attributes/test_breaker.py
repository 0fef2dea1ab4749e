"""When nobody is asked any more, and when somebody tries."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.lookup.attributes.breaker import Breaker


def test_it_opens_after_some_failures_in_a_row_and_lets_one_try_after_a_while() -> None:
    breaker = Breaker(failures=3, pause=10.0)
    for _ in range(3):
        assert breaker.admits(0.0)
        breaker.failed(0.0)
    assert [breaker.admits(9.9), breaker.admits(10.0), breaker.admits(10.0)] == [False, True, False]
    breaker.failed(11.0)
    assert [breaker.admits(20.9), breaker.admits(21.0)] == [False, True]
    breaker.answered()
    assert [breaker.admits(21.0), breaker.admits(21.0)] == [True, True]


def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    breaker = Breaker(failures=2, pause=10.0)
    for now in range(10):
        assert breaker.admits(float(now))
        breaker.failed(float(now))
        assert breaker.admits(float(now))
        breaker.answered()
    assert not breaker.is_open


def test_who_tries_and_never_tells_does_not_shut_it_for_ever() -> None:
    breaker = Breaker(failures=1, pause=10.0)
    breaker.failed(0.0)
    assert [breaker.admits(now) for now in (10.0, 19.0, 20.0, 29.0, 30.0)] == [True, False, True, False, True]


@given(
    most=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60),
)
def test_while_it_is_open_no_more_are_let_through_than_one_in_each_pause(
    most: int, steps: list[tuple[int, bool]]
) -> None:
    breaker, now = Breaker(failures=most, pause=10.0), 0.0
    last: float | None = None
    for passed, well in steps:
        now += passed
        was_open = breaker.is_open
        if not breaker.admits(now):
            continue
        if was_open:
            assert last is None or now - last >= 10.0
        if well:
            breaker.answered()
            last = None
        else:
            breaker.failed(now)
            last = now if breaker.is_open else None
