"""Laws of sliding windows: against a list of every time that something happened."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.risk.sliding import LONGEST_WINDOW, NEVER, STEPS, Counts, counted, from_text, to_text

NOW = 1_795_255_200.0
WINDOWS = st.sampled_from([1.0, 7.3, 60.0, 3600.0, 86_400.0, LONGEST_WINDOW])
GAPS = st.lists(st.floats(0, 2) | st.sampled_from([0.0, 1.0, 1 / STEPS, 1 + 1 / STEPS]), max_size=60)


def told(moments: list[float], window: float) -> list[int]:
    counts: Counts = NEVER
    answers = []
    for now in moments:
        counts, answer = counted(from_text(to_text(counts)), window, now=now)
        answers.append(answer)
    return answers


def moments_of(gaps: list[float], window: float) -> list[float]:
    moments, now = [], NOW
    for gap in gaps:
        now += gap * window
        moments.append(now)
    return moments


@given(gaps=GAPS, window=WINDOWS)
def test_a_window_never_tells_less_than_there_was_and_at_most_a_step_more(gaps: list[float], window: float) -> None:
    moments = moments_of(gaps, window)
    for number, answer in enumerate(told(moments, window)):
        so_far, now = moments[: number + 1], moments[number]
        assert answer >= sum(1 for at in so_far if at > now - window)
        assert answer <= sum(1 for at in so_far if at > now - window * (1 + 1 / STEPS) - 1e-3)


@given(gaps=GAPS, window=WINDOWS)
def test_memory_does_not_grow_with_what_is_counted(gaps: list[float], window: float) -> None:
    counts: Counts = NEVER
    for now in moments_of(gaps, window):
        counts, _ = counted(counts, window, now=now)
        counts, _ = counted(counts, window, now=now + 1e-6)
    assert len(counts) <= 2 * STEPS + 2


@given(
    times=st.lists(st.tuples(st.floats(0, 0.9), st.floats(-0.5, 0.5)), min_size=1, max_size=40),
    window=WINDOWS,
)
def test_a_clock_that_is_ahead_takes_nothing_from_those_that_are_not(
    times: list[tuple[float, float]], window: float
) -> None:
    """Clocks of replicas differ by up to half a window; whoever has the right time counts all that it should."""
    counts: Counts = NEVER
    for at, ahead in sorted(times):
        counts, _ = counted(counts, window, now=NOW + (at + max(ahead, 0)) * window)
    _, answer = counted(counts, window, now=NOW + 0.9 * window)
    assert answer == len(times) + 1


def test_the_first_request_counts_itself() -> None:
    assert told([NOW], 60.0) == [1]


def test_the_step_in_which_the_window_begins_counts_whole() -> None:
    assert told([NOW + 0.1, NOW + 60.5], 60.0) == [1, 2]
    assert told([NOW + 0.1, NOW + 61.0], 60.0) == [1, 1]
