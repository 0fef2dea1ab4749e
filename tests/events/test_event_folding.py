"""What is too much is counted: nothing is told twice, and nothing is lost."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.event_folding import Folded, Folding
from extauthz.record.event_types import Happening
from extauthz.values.rate import Rate

RATE = Rate(most=3, seconds=60.0)
steps = st.lists(
    st.tuples(
        st.floats(0, 100),  # seconds that pass before
        st.sampled_from(["decision.deny", "challenge.met"]),
        st.sampled_from(["", "a/x", "a/y"]),
        st.booleans(),  # whether counts are asked for
    ),
    max_size=60,
)


def happened(kind: str = "decision.deny", rule: str = "a/x", *, at: int = 0, decision: str = "d") -> Happening:
    return Happening(kind, rule, (rule,) if rule else (), "" if rule else "no-rule-allows", at, decision)  # type: ignore[arg-type]  # a kind by its name


@given(steps)
def test_what_was_told_and_what_was_counted_is_all_that_there_was(steps: list[tuple[float, str, str, bool]]) -> None:
    folding, now, told, counted, all_of_it = Folding(RATE), 0.0, Counter[object](), Counter[object](), Counter[object]()
    for number, (passed, kind, rule, asks) in enumerate(steps):
        now += passed
        if asks:
            counted.update({(one.kind, one.rule): one.count for one in folding.due(now)})
        all_of_it[kind, rule] += 1
        told[kind, rule] += folding.passes(happened(kind, rule, at=number), now)
    for one in folding.rest():
        counted[one.kind, one.rule] += one.count
    assert told + counted == all_of_it
    assert folding.rest() == [] == folding.due(now + 1e9)


@given(st.lists(st.floats(0, 30), max_size=60))
def test_within_any_window_no_more_than_the_rate_is_told(pauses: list[float]) -> None:
    folding, now, told = Folding(RATE), 0.0, []
    for pause in pauses:
        now += pause
        folding.due(now)
        if folding.passes(happened(), now):
            told.append(now)
    begins = told[:: RATE.most]
    assert all(later - earlier >= RATE.seconds for earlier, later in pairwise(begins))


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=30))
def test_a_count_spans_from_the_first_to_the_last_that_it_stands_for(moments: list[int]) -> None:
    folding = Folding(RATE)
    for number, at in enumerate(moments):
        folding.passes(happened(at=at, decision=f"d{number}"), 0.0)
    counted = moments[RATE.most :]
    assert folding.rest() == [
        Folded(
            kind="decision.deny",
            rule="a/x",
            reason="",
            count=len(counted),
            from_ns=min(counted),
            until_ns=max(counted),
            example=f"d{RATE.most}",
        )
    ]


def test_a_count_comes_out_once_when_its_time_is_over_and_then_all_begins_again() -> None:
    folding = Folding(RATE)
    assert [folding.passes(happened(), 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert folding.due(69.9) == []
    assert [one.count for one in folding.due(70.0)] == [2]
    assert folding.due(70.0) == []
    assert [folding.passes(happened(), 70.0) for _ in range(4)] == [True, True, True, False]


def test_kinds_rules_and_reasons_are_counted_apart() -> None:
    folding = Folding(Rate(most=1, seconds=60.0))
    for kind, rule in (
        ("decision.deny", "a/x"),
        ("decision.deny", "a/y"),
        ("decision.deny", ""),
        ("grant.used", "a/x"),
    ):
        assert folding.passes(happened(kind, rule), 0.0)
        assert not folding.passes(happened(kind, rule), 0.0)
    other = Happening("decision.deny", "", (), "malformed-path", 0, "d")
    assert folding.passes(other, 0.0)
    assert sorted((one.kind, one.rule, one.reason, one.count) for one in folding.rest()) == [
        ("decision.deny", "", "no-rule-allows", 1),
        ("decision.deny", "a/x", "", 1),
        ("decision.deny", "a/y", "", 1),
        ("grant.used", "a/x", "", 1),
    ]


def test_what_is_over_is_forgotten() -> None:
    folding = Folding(RATE)
    for number in range(1000):
        folding.passes(happened(rule=f"p{number}/r"), float(number))
        folding.due(float(number))
    assert len(folding._windows) == RATE.seconds, "those of the last minute, and no others"
