"""What is counted, and that it takes bounded room."""

import sys
from bisect import bisect_left
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics.counting import SPAN, TRACE, count, decided, told
from record.making_records import NOW_NS

from extauthz.record.decision import DECISION_NAMES, DecisionRecord, Wait
from extauthz.record.life import LifeRecord
from extauthz.record.tallied import Tallied
from extauthz.record.tallies import DECISION_SECONDS, MOST, OTHER, Tallies
from extauthz.record.trace_context import Propagation
from extauthz.values.decisions import Allow, Deny, RuleResult, denial
from extauthz.values.histogram import Histogram
from extauthz.values.span_ids import SpanIds


def tallied(*records: DecisionRecord | LifeRecord) -> Tallied:
    tallies = Tallies(Propagation().parent)
    count(tallies, *records)
    return tallies.tallied


def test_decisions_are_counted_by_decision_reason_and_rule() -> None:
    denied = decided(Deny(reason="frozen", rule="p/frozen"))
    now = tallied(decided(Allow(rule="p/a")), denied, denied, decided(denial("no-rule-allows")))
    assert now.decisions == {
        ("allow", "allowed", "p/a"): 1,
        ("deny", "frozen", "p/frozen"): 2,
        ("deny", "no-rule-allows", ""): 1,
    }
    assert now.times["deny"].counted.count == 3


def test_however_many_rules_come_and_go_the_room_is_bounded_and_nothing_goes_uncounted() -> None:
    many = [decided(Deny(reason=f"r-{number}", rule=f"p/{number}")) for number in range(3 * MOST)]
    events = [told("challenge.opened", rule=f"p/{number}") for number in range(3 * MOST)]
    now = tallied(*many, *events, many[0])
    assert sum(now.decisions.values()) == 3 * MOST + 1
    assert len(now.decisions) == MOST + 1
    assert now.decisions["deny", OTHER, OTHER] == 2 * MOST
    assert now.decisions["deny", "r-0", "p/0"] == 2, "what was known before goes on"
    assert sum(now.challenges.values()) == 3 * MOST
    assert len(now.challenges) <= MOST + 1


DECISIONS = [
    Allow(rule="p/a"),
    Allow(rule="p/b"),
    Deny(reason="allowed", rule="p/a"),
    Deny(reason="frozen", rule="p/a"),
    denial("no-rule-allows"),
]
RULES = [
    (),
    (RuleResult(rule="p/new", effect="deny", mode="shadow", result="match"),),
    (
        RuleResult(rule="p/new", effect="deny", mode="shadow", result="error"),
        RuleResult(rule="p/old", effect="allow", mode="shadow", result="match"),
    ),
]


@given(st.lists(st.tuples(st.sampled_from(DECISIONS), st.sampled_from(RULES)), max_size=30))
def test_what_comes_again_is_counted_as_if_it_came_for_the_first_time(
    came: list[tuple[Allow | Deny, tuple[RuleResult, ...]]],
) -> None:
    now = tallied(*[decided(decision, rules=rules) for decision, rules in came])
    words = [(DECISION_NAMES[type(one)], one.reason, one.rule or "") for one, _ in came]
    assert now.decisions == Counter(words)
    assert {kind: times.counted.count for kind, times in now.times.items()} == {
        "challenge": 0,
        "hold": 0,
        **{kind: sum(word[0] == kind for word in words) for kind in ("allow", "deny")},
    }
    results = [one for _, rules in came for one in rules]
    assert now.shadowed == Counter((one.rule, one.effect) for one in results if one.result == "match")
    assert now.failing == Counter((one.rule,) for one in results if one.result == "error")


MANY = 3500
"""More than are remembered."""


def test_of_many_ways_in_which_rules_come_out_each_is_counted_as_what_it_is() -> None:
    denied = Deny(reason="frozen", rule="p/a")
    ways = [
        (RuleResult(rule=f"s/{number % 50}", effect="deny", mode="shadow", result="match"),) for number in range(MANY)
    ]
    now = tallied(*[decided(denied, rules=rules) for rules in ways for _ in range(2)])
    assert now.decisions == {("deny", "frozen", "p/a"): 2 * MANY}
    assert now.shadowed == {(f"s/{number}", "deny"): 2 * MANY / 50 for number in range(50)}


def test_of_many_reasons_each_is_counted_as_what_it_is() -> None:
    denials = [Deny(reason=f"r-{number % 70}", rule="p/a") for number in range(MANY)]
    now = tallied(*[decided(denied) for denied in denials for _ in range(2)])
    assert now.decisions == {("deny", f"r-{number}", "p/a"): 2 * MANY / 70 for number in range(70)}


def test_the_text_of_an_error_is_not_kept() -> None:
    rules = (
        RuleResult(rule=f"p/{len(RULES)}", effect="deny", mode="enforce", result="error", error="`x` is no number"),
    )
    record, tallies = decided(Allow(rule="p/a"), rules=rules), Tallies(Propagation().parent)
    known = sys.getrefcount(rules)
    count(tallies, record)
    assert sys.getrefcount(rules) == known


@given(st.lists(st.floats(-1, 100), max_size=50))
def test_a_histogram_counts_each_time_in_every_bucket_that_is_not_shorter(times: list[float]) -> None:
    histogram = Histogram(DECISION_SECONDS)
    places = [histogram.add(seconds) for seconds in times]
    counted = histogram.counted
    assert counted.count == len(times)
    assert counted.up_to == tuple(sum(seconds <= bound for seconds in times) for bound in DECISION_SECONDS)
    assert counted.up_to == (*accumulate(places.count(place) for place in range(len(DECISION_SECONDS))),)
    assert counted.seconds == pytest.approx(sum(max(seconds, 0) for seconds in times))


def test_a_bucket_has_the_exemplar_of_a_recent_decision() -> None:
    first, soon, late = (
        decided(Allow(rule="p/a"), number=number, at_ns=NOW_NS + number * 600_000_000) for number in (0, 1, 2)
    )
    slow = decided(Allow(rule="p/a"), number=3, took_ns=30_000_000)
    times = tallied(first, soon, slow).times["allow"]
    quick = bisect_left(DECISION_SECONDS, 0.0002)
    assert {place: one.decision_id for place, one in times.exemplars.items()} == {
        quick: "d-0",
        bisect_left(DECISION_SECONDS, 0.03): "d-3",
    }
    newer = tallied(first, soon, late).times["allow"].exemplars[quick]
    assert (newer.decision_id, newer.seconds, newer.at) == ("d-2", 0.0002, (NOW_NS + 1_200_000_000) / 1e9)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (decided(Allow(rule="p/a")), (TRACE, SPAN)),
        (decided(Allow(rule="p/a"), flags="00"), ("", "")),
        (decided(denial("no-rule-allows"), flags="00"), (TRACE, SPAN)),
        (decided(denial("no-rule-allows"), span=SpanIds(1, 2, sampled=True)), (f"{1:032x}", f"{2:016x}")),
    ],
    ids=["sampled", "an allow that nobody records", "a denial, which is always recorded", "a span that others know"],
)
def test_an_exemplar_names_a_trace_that_is_recorded(record: DecisionRecord, expected: tuple[str, str]) -> None:
    ((one,),) = [times.exemplars.values() for times in tallied(record).times.values() if times.exemplars]
    assert (one.trace_id, one.span_id) == expected


def test_rules_in_shadow_mode_and_errors_are_counted() -> None:
    rules = (
        RuleResult(rule="p/new", effect="deny", mode="shadow", result="match"),
        RuleResult(rule="p/other", effect="deny", mode="shadow", result="no-match"),
        RuleResult(rule="p/a", effect="allow", mode="enforce", result="match"),
        RuleResult(rule="p/odd", effect="deny", mode="shadow", result="error"),
    )
    now = tallied(decided(Allow(rule="p/a"), rules=rules))
    assert now.shadowed == {("p/new", "deny"): 1}
    assert now.failing == {("p/odd",): 1}


def test_waits_are_timed_by_who_was_waited_for() -> None:
    waits = (Wait("store", NOW_NS, NOW_NS + 4_000_000), Wait("store", NOW_NS, NOW_NS + 80_000_000, failed=True))
    now = tallied(decided(Allow(rule="p/a"), waits=waits)).waits
    assert (now["store"].counted.count, now["store"].failed) == (2, 1)
    assert now["store"].counted.seconds == pytest.approx(0.084)
    assert (now["attributes"].counted.count, now["attributes"].failed) == (0, 0)


def test_the_ways_of_challenges_and_approvals_are_counted_and_timed() -> None:
    now = tallied(
        told("challenge.opened"),
        told("challenge.opened"),
        told("challenge.failed"),
        told("challenge.met", took=42.0),
        told("challenge.expired"),
        told("approval.opened", rule="p/wire"),
        told("approval.denied", rule="p/wire", took=300.0),
        told("approval.reviewed", rule="p/wire", took=9.0),
        told("subject.blocked", rule=None),
    )
    assert +Counter(now.challenges) == {
        ("asked", "p/pay"): 2,
        ("failed", "p/pay"): 1,
        ("met", "p/pay"): 1,
        ("given-up", "p/pay"): 1,
    }
    assert (now.meeting["totp"].count, now.meeting["totp"].seconds) == (1, 42.0)
    assert +Counter(now.approvals) == {("asked", "p/wire"): 1, ("denied", "p/wire"): 1}
    assert (now.answering["denied"].count, now.answering["approved"].count) == (1, 0)
    assert (now.events["subject.blocked"], now.events["approval.reviewed"], now.events["keys.changed"]) == (1, 1, 0)
