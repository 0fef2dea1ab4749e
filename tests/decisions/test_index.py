"""The index of the audit: what it finds, and how it looks."""

import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from decisions.indexed import HUNDRED, Place
from decisions.recorded_days import BOT, SECOND, START, append, decided, happened
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from extauthz.history.index import Index
from extauthz.history.index_questions import (
    BY,
    Pattern,
    Wanted,
    counting,
    counting_events,
    listing,
    on_path,
    paths,
    used,
)
from extauthz.history.indexing import MINUTE
from extauthz.record.audit_line import DecisionLine


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_every_decision_is_found_newest_first(place: Place) -> None:
    append(place.audit, HUNDRED)
    assert place.fill().ids() == list(range(99, -1, -1))
    one = place.found(Wanted(), most=1)[0]
    assert (one.decision, one.reason, one.rule) == ("hold", "approval-required", "payments/rule-1")
    assert (one.subject, one.workload, one.method) == ("user-4", BOT, "GET")
    assert (one.host, one.path) == ("host-0.example.com", "/v1/accounts/a0")


def test_an_index_that_is_made_anew_in_this_moment_is_waited_for(place: Place) -> None:
    append(place.audit, HUNDRED)
    assert len(place.fill().ids()) == 100
    whole = place.index.rename(place.index.with_name("aside"))
    place.index.write_bytes(b"half of one" * 100)
    made = threading.Timer(0.1, whole.replace, [place.index])
    made.start()
    try:
        assert len(place.ids()) == 100
    finally:
        made.join()


@pytest.mark.parametrize(
    ("column", "value", "numbers"),
    [
        ("decision", "challenge", range(3, 100, 5)),
        ("reason", "frozen", range(2, 100, 5)),
        ("reason", "payments/rule-2", []),
        ("rule", "payments/rule-2", range(2, 100, 7)),
        ("subject", "user-3", range(3, 100, 5)),
        ("workload", BOT, range(1, 100, 2)),
        ("host", "host-1.example.com", range(1, 100, 3)),
        ("path", "/v1/accounts/a10", range(10, 100, 11)),
        ("trace", f"{43:032x}", [42]),
        ("subject", "nobody", []),
    ],
)
def test_a_filter_finds_its_decisions_and_no_others(
    place: Place, column: str, value: str, numbers: Iterator[int]
) -> None:
    append(place.audit, HUNDRED)
    assert place.fill().ids(**{column: value}) == sorted(numbers, reverse=True)


def test_filters_combine_with_each_other_and_with_the_time(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    assert place.ids(subject="user-3", workload=BOT) == [93, 83, 73, 63, 53, 43, 33, 23, 13, 3]
    wanted = Wanted(equal={"subject": "user-3"}, since=START + 20 * SECOND, until=START + 40 * SECOND)
    assert [int(one.decision_id, 16) for one in place.found(wanted)] == [38, 33, 28, 23]


def test_pages_follow_each_other_without_gap_or_overlap(place: Place) -> None:
    same = [decided(number, time=decided(7).time) for number in range(50)]
    append(place.audit, same + HUNDRED[50:])
    place.fill()
    seen: list[int] = []
    before: tuple[int, int] | None = None
    while page := place.found(Wanted(before=before), most=7):
        seen += [int(one.decision_id, 16) for one in page]
        before = page[-1].place
    assert seen == list(range(99, -1, -1))


def test_what_is_no_allow_is_found_by_what_indexes_say(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    asked: list[dict[str, str]] = [{}, {"host": "host-1.example.com"}, {"decision": "deny"}, {"decision": "allow"}]
    for equal in asked:
        ids = [int(one.decision_id, 16) for one in place.found(Wanted(blocked=True, equal=equal))]
        assert ids == [one for one in place.ids(**equal) if one in BLOCKED]
    older = place.found(Wanted(blocked=True, before=(START + 40 * SECOND, 0)))
    assert [int(one.decision_id, 16) for one in older] == [one for one in reversed(BLOCKED) if one < 40]
    for index in ("decisions_by_time", *BY.values()):
        assert "decision" in [name for *_, name in place.rows(f"PRAGMA index_info({index})")], (
            "no row is looked at for it"
        )


def test_where_nothing_was_allowed_all_is_blocked(place: Place) -> None:
    append(place.audit, [decided(one) for one in (2, 3, 4)])
    assert len(place.fill().found(Wanted(blocked=True))) == 3


def planned(place: Place, sql: str, values: dict[str, object]) -> list[str]:
    """What SQLite means to do."""
    with closing(sqlite3.connect(place.index)) as connection:
        connection.create_function("fits", 1, lambda _: True, deterministic=True)
        given = {"most": 50, "width": MINUTE, "path": 1, "floor": 0, **values}
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]


BLOCKED = [one for one in range(100) if one % 5 > 1]
LIKE = Wanted(path=Pattern("/v1/*/x"), since=START, until=START + MINUTE)


def test_paths_that_are_like_that_are_looked_up_where_they_are(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    among_words = "SEARCH words USING COVERING INDEX sqlite_autoindex_words_1 (word>? AND word<?)"
    assert planned(place, *paths(Pattern("/v1/*"))) == [among_words]
    by_path = "SEARCH decisions USING COVERING INDEX decisions_by_path (path=? AND at>? AND at<?)"
    assert by_path in planned(place, *on_path(LIKE, {}))
    assert {by_path, among_words} <= set(planned(place, *counting(LIKE, {}, by_path=True)))
    walking = planned(place, *listing(LIKE, {}))
    assert "SEARCH decisions USING INDEX decisions_by_time (at>? AND at<?)" in walking
    assert "SEARCH words USING INTEGER PRIMARY KEY (rowid=?)" in walking
    assert "USE TEMP B-TREE FOR ORDER BY" not in walking


@pytest.mark.parametrize("column", ["trace", "subject", "path", "workload", "rule", "reason", "host"])
def test_a_plot_is_counted_in_an_index_alone(place: Place, column: str) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    wanted = Wanted(equal={column: "1"}, since=START, until=START + MINUTE)
    searched = f"SEARCH decisions USING COVERING INDEX decisions_by_{column} ({column}=? AND at>? AND at<?)"
    assert searched in planned(place, *counting(wanted, {column: 1}, by_path=False))
    events = planned(place, *counting_events(wanted, {column: 1}))
    assert "SEARCH events USING COVERING INDEX events_by_kind (event=? AND at>? AND at<?)" in events
    assert "SEARCH decisions USING INDEX decisions_by_id (decision_id=?)" in events


@pytest.mark.parametrize("walked", [0, 100])
@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("*", range(100)),
        ("/v1/*", range(100)),
        ("/v1/accounts/a1*", [one for one in range(100) if one % 11 in (1, 10)]),
        ("*/a10", range(10, 100, 11)),
        ("/v1/*/a10", range(10, 100, 11)),
        ("/v1*1*0", range(10, 100, 11)),
        ("/v1/accounts/a10*10", []),
        ("/v2/*", []),
    ],
)
def test_a_path_with_stars_finds_what_is_like_that(
    place: Place, monkeypatch: pytest.MonkeyPatch, pattern: str, numbers: Iterator[int], walked: int
) -> None:
    """Whether they are walked to, or looked up path by path."""
    monkeypatch.setattr("extauthz.history.index._WALKED", walked)
    monkeypatch.setattr("extauthz.history.index._STEPS", 1 if walked == 0 else 10_000)
    append(place.audit, HUNDRED)
    place.fill()
    expected = sorted(numbers, reverse=True)
    found = place.found(Wanted(path=Pattern(pattern)))
    assert [int(one.decision_id, 16) for one in found] == expected
    assert [int(one.decision_id, 16) for one in place.found(Wanted(path=Pattern(pattern)), most=7)] == expected[:7]
    denied = place.found(Wanted(path=Pattern(pattern), equal={"decision": "deny"}, until=START + 50 * SECOND))
    assert [int(one.decision_id, 16) for one in denied] == [one for one in expected if one % 5 == 2 and one < 50]
    older = place.found(Wanted(path=Pattern(pattern), before=(START + 40 * SECOND, 0)))
    assert [int(one.decision_id, 16) for one in older] == [one for one in expected if one < 40]


@given(st.text("ab/*", max_size=8), st.text("ab/", max_size=12))
def test_a_pattern_fits_what_its_texts_make_in_their_order(pattern: str, text: str) -> None:
    regular = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert Pattern(pattern + "*").fits(text) == (re.fullmatch(regular.pattern + ".*", text) is not None)
    assert Pattern("*" + pattern).fits(text) == (re.fullmatch(".*" + regular.pattern, text) is not None)


@given(st.text(max_size=3), st.text(max_size=3), st.text(max_size=6))
def test_what_begins_so_is_from_low_on_and_before_high(beginning: str, rest: str, other: str) -> None:
    pattern = Pattern(beginning + "*")

    def within(text: str) -> bool:
        sent = text.encode()
        if pattern.high is not None and sent >= pattern.high.encode():
            return False
        return sent >= pattern.low.encode()

    assume("*" not in beginning)
    assert within(beginning + rest)
    assert within(other) == other.startswith(beginning)


@pytest.mark.parametrize("column", ["trace", "subject", "path", "workload", "rule", "reason", "host", "decision", None])
def test_no_filter_scans_the_table(place: Place, column: str | None) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    wanted = Wanted(
        equal={} if column is None else {column: "1"}, since=START, until=START + MINUTE, before=(START + SECOND, 5)
    )
    plan = planned(place, *listing(wanted, {} if column is None else {column: 1}))
    table = [step for step in plan if "decisions" in step]
    by = "time" if column is None else column
    condition = "at>? AND at<?" if column is None else f"{column}=? AND at>? AND at<?"
    assert table == [f"SEARCH decisions USING INDEX decisions_by_{by} ({condition})"]
    # The time comes out of the index in its order, or with no more than its ties to be sorted.
    assert not [step for step in plan if step == "USE TEMP B-TREE FOR ORDER BY"]


@pytest.mark.parametrize(
    "equal", [{"reason": "rule-allows", "host": "rare"}, {"reason": "rare", "host": "host-0.example.com"}]
)
def test_of_several_filters_the_rarest_is_walked(
    place: Place, monkeypatch: pytest.MonkeyPatch, equal: dict[str, str]
) -> None:
    """Whichever that is: what is asked for beside it may be on every other decision."""
    monkeypatch.setattr("extauthz.history.index_questions.ENOUGH", 20)
    monkeypatch.setattr("extauthz.history.index._STEPS", 10)
    common = [decided(15 * number) for number in range(1000)]  # allowed at the first host, all of them
    rare = asked_at(decided(1), "rare")
    append(place.audit, [decided(0, reason="rare", decision="deny"), rare, *common])
    place.fill()
    looks = count()
    index = Index(place.audit, place.index, clock=lambda: next(looks) * 0.0)
    assert len(index.listed(Wanted(equal=equal), most=50)) == 1
    assert next(looks) < 300, "steps of SQLite, by tens; a thousand decisions take more"


@pytest.mark.parametrize("column", ["reason", "rule", "host"])
def test_the_words_of_a_column_are_stepped_to(place: Place, column: str) -> None:
    append(place.audit, [decided(0, reason=word) for word in "dbbac"] + [decided(0, rule=None, reason="a")])
    index = Index(place.audit, place.fill().index)
    expected = {"reason": list("abcd"), "rule": ["payments/rule-0"], "host": ["host-0.example.com"]}
    assert index.words(column, most=10) == expected[column]
    assert len(index.words(column, most=2)) == min(2, len(expected[column]))
    plan = planned(place, used(column), {})
    assert f"SEARCH decisions USING COVERING INDEX decisions_by_{column} ({column}>?)" in plan
    assert [step for step in plan if step.startswith("SCAN decisions")] == []


def asked_at(line: DecisionLine, host: str) -> DecisionLine:
    """This decision on a request to another host."""
    assert line.request is not None
    return replace(line, request=replace(line.request, host=host))


def test_a_line_is_read_from_where_it_is(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    index = Index(place.audit, place.index)
    assert index.decision(HUNDRED[42].decision_id) == HUNDRED[42]
    assert index.decision("unknown") is None


def test_of_decisions_with_one_id_the_last_is_what_was_answered(place: Place) -> None:
    later = decided(3, decision="allow")
    append(place.audit, [decided(3), later])
    assert Index(place.audit, place.fill().index).decision(later.decision_id) == later


def test_what_happened_because_of_a_decision(place: Place) -> None:
    asked = decided(4, approvals=["ap-1"])
    story = [
        happened("challenge.opened", 5, decision_id=asked.decision_id, challenge="c-1"),
        happened("challenge.met", 7, challenge="c-1"),
        happened("approval.voted", 8, approval="ap-1"),
    ]
    others = [happened("challenge.met", 6, challenge="c-2"), happened("approval.opened", 6, approval="ap-2")]
    append(place.audit, [asked, *reversed(story), *others])
    assert Index(place.audit, place.fill().index).events(asked) == story


def test_minutes_are_counted(place: Place) -> None:
    append(place.audit, [*HUNDRED, happened("challenge.opened", 61), happened("challenge.met", 62)])
    counts = Index(place.audit, place.fill().index).counts(Wanted(), START // MINUTE * MINUTE, START + 5 * MINUTE, 5)
    assert counts == {
        (0, "allow"): 40,
        (0, "deny"): 20,
        (0, "challenge"): 20,
        (0, "hold"): 20,
        (0, "challenge.opened"): 1,
        (0, "challenge.met"): 1,
    }


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(equal={"decision": "deny"}), range(2, 100, 5)),
        (Wanted(equal={"decision": "challenge"}), range(3, 100, 5)),
        (Wanted(blocked=True), BLOCKED),
        (Wanted(blocked=True, equal={"host": "host-1.example.com"}), [one for one in BLOCKED if one % 3 == 1]),
        (Wanted(blocked=True, path=Pattern("/v1/*/a10")), [one for one in BLOCKED if one % 11 == 10]),
        (Wanted(equal={"reason": "approval-required"}), range(4, 100, 5)),
        (Wanted(equal={"subject": "user-3"}), range(3, 100, 5)),
        (Wanted(equal={"rule": "payments/rule-2", "host": "host-1.example.com"}), range(16, 100, 21)),
        (Wanted(equal={"subject": "nobody"}), []),
        (Wanted(equal={"trace": f"{9:032x}"}), [8]),
        (Wanted(path=Pattern("/v1/*/a10")), range(10, 100, 11)),
        (Wanted(equal={"decision": "challenge"}, path=Pattern("/v1/*")), range(3, 100, 5)),
    ],
)
@pytest.mark.parametrize("few", [0, 100_000])
def test_a_plot_counts_what_the_list_finds(
    place: Place, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, numbers: Iterator[int], few: int
) -> None:
    monkeypatch.setattr("extauthz.history.index._FEW", few)
    append(place.audit, HUNDRED)
    asked = [line for line in HUNDRED if line.decision == "challenge"]
    append(place.audit, [happened("challenge.opened", 61, decision_id=one.decision_id) for one in asked])
    counts = Index(place.audit, place.fill().index).counts(wanted, START // MINUTE * MINUTE, START + 5 * MINUTE, 5)
    expected: Counter[str] = Counter(HUNDRED[one].decision for one in numbers)
    expected["challenge.opened"] = expected["challenge"]
    assert counts == {(0, kind): number for kind, number in expected.items() if number}


def test_a_challenge_and_an_approval_are_known_by_the_decision_that_began_them(place: Place) -> None:
    one = decided(4, approvals=["ap-1"])
    append(
        place.audit,
        [
            one,
            happened("approval.opened", 5, decision_id=one.decision_id, approval="ap-1"),
            happened("challenge.opened", 6, decision_id=one.decision_id, challenge="c-1"),
            happened("challenge.met", 7, decision_id=HUNDRED[9].decision_id, challenge="c-1"),
        ],
    )
    index = Index(place.audit, place.fill().index)
    assert [index.began(name) for name in ("ap-1", "c-1", "c-2")] == [one.decision_id, one.decision_id, None]
