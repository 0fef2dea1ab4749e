"""What is remembered of answers, for how long, and how much of it."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.lookup.attributes.answers import OVERHEAD, Answers

PLENTY = 10**6


def test_an_answer_counts_until_its_time_is_over() -> None:
    answers = Answers(most=10, most_bytes=PLENTY)
    answers.put("q", {"tier": "gold"}, until=10.0)
    assert answers.get("q", 9.9) == {"tier": "gold"}
    assert answers.get("q", 10.0) is None
    assert answers.get("q", 9.9) is None, "what is over is forgotten"
    assert len(answers) == 0
    assert answers.found == 1


def test_what_was_longest_unused_goes_first() -> None:
    answers = Answers(most=2, most_bytes=PLENTY)
    answers.put("a", {}, until=10.0)
    answers.put("b", {}, until=10.0)
    answers.get("a", 0.0)
    answers.put("c", {}, until=10.0)
    assert [answers.get(name, 0.0) for name in "abc"] == [{}, None, {}]


def test_what_is_larger_than_all_that_may_be_kept_is_not_kept_and_drives_nothing_out() -> None:
    answers = Answers(most=10, most_bytes=20_000)
    answers.put("a", {}, until=10.0)
    answers.put("b", {"x": "x" * 20_000}, until=10.0)
    assert answers.get("a", 0.0) == {}
    assert answers.get("b", 0.0) is None


def test_a_large_answer_counts_with_all_that_it_holds() -> None:
    answers = Answers(most=10, most_bytes=20_000)
    answers.put("a", {"x": [[] for _ in range(300)]}, until=10.0)
    answers.put("b", {"x": {"y": "z" * 5_000}}, until=10.0)
    assert answers.get("a", 0.0) is None
    assert answers.get("b", 0.0) is not None


@given(puts=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3_000)), max_size=60))
def test_there_are_never_too_many_or_too_large_ones_and_the_newest_is_there(puts: list[tuple[str, int]]) -> None:
    answers = Answers(most=5, most_bytes=8_000)
    for name, size in puts:
        answers.put(name, {"x": "x" * size}, until=10.0)
        assert answers.get(name, 0.0) == {"x": "x" * size}
        assert len(answers) <= min(5, 8_000 // OVERHEAD)
        kept = [answers.get(other, 0.0) for other in "abcdefgh"]
        assert sum(len(one["x"]) for one in kept if one is not None) <= 8_000
