"""Whether a call is to wait for its turn: properties of the arithmetic."""

from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from extauthz.transport.admission import LONGEST_TURN, MOST_AHEAD, Pace, longest_turn

seconds = st.floats(min_value=-1.0, max_value=3600.0)
aheads = st.integers(min_value=0, max_value=MOST_AHEAD)
paces = st.lists(st.tuples(seconds, aheads), max_size=50)


def after(turns: list[tuple[float, int]], pace: Pace | None = None) -> Pace:
    pace = Pace() if pace is None else pace
    for waited, ahead in turns:
        pace = pace.after(waited=waited, ahead=ahead)
    return pace


@given(paces)
def test_where_nobody_is_ahead_nobody_is_refused(turns: list[tuple[float, int]]) -> None:
    assert after(turns).admits(0)


@given(paces, aheads, aheads)
def test_whoever_is_refused_is_refused_behind_more(turns: list[tuple[float, int]], one: int, other: int) -> None:
    pace, fewer, more = after(turns), min(one, other), max(one, other)
    assert pace.wait(fewer) <= pace.wait(more)
    assert pace.admits(fewer) or not pace.admits(more)


@given(paces)
def test_nobody_waits_behind_more_than_are_kept(turns: list[tuple[float, int]]) -> None:
    assert not after(turns).admits(MOST_AHEAD + 1)


@given(paces, aheads, seconds)
def test_a_longer_wait_never_shortens_the_next(turns: list[tuple[float, int]], ahead: int, waited: float) -> None:
    pace = after(turns)
    assert after([(waited, ahead)], pace).wait(1) <= after([(waited + 1, ahead)], pace).wait(1)


@given(st.floats(min_value=1e-6, max_value=10.0), st.integers(min_value=0, max_value=100))
def test_a_steady_pace_becomes_known(each: float, ahead: int) -> None:
    pace = after([(each * (ahead + 1), ahead)] * 500)
    assert abs(pace.wait(10) - 10 * each) <= 1e-3 * each + 1e-6


@given(paces)
def test_what_was_slow_is_forgotten_when_calls_find_nobody_ahead(turns: list[tuple[float, int]]) -> None:
    pace = after(turns)
    quick = after(list(repeat((0.0, 0), 400)), pace)
    assert quick.wait(10) <= LONGEST_TURN


@given(st.floats(0.001, 3600.0))
def test_a_turn_that_may_be_waited_for_leaves_as_much_time_for_the_answer(patience: float) -> None:
    assert 0 < longest_turn(patience) <= min(patience / 2, longest_turn(None))
