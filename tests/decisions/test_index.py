"""The index of the audit: what it finds, how it looks, and what a crash, a move or a removal does to it."""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from decisions.recorded_days import BOT, SECOND, START, append, decided, happened
from hypothesis import assume, given
from hypothesis import strategies as st

from extauthz.errors import ExtauthzError
from extauthz.history import indexing
from extauthz.history.index import Found, Index, TooMuch
from extauthz.history.index_form import WORDED
from extauthz.history.index_questions import (
    Pattern,
    Wanted,
    counting,
    counting_events,
    listing,
    on_path,
    paths,
)
from extauthz.history.indexing import MINUTE, Indexer
from extauthz.record.audit_line import DecisionLine

HUNDRED = [decided(number) for number in range(100)]


class Place:
    """An audit and its index in one folder."""

    def __init__(self, folder: Path) -> None:
        self.audit = folder / "audit.jsonl"
        self.index = folder / "audit.sqlite"

    def fill(self) -> "Place":
        """Take all that there is."""
        with Indexer(self.audit, self.index) as indexer:
            while indexer.step():
                pass
            while indexer.step():  # what is missing is let go of when it is missed for the second time
                pass
        return self

    def ids(self, **equal: str) -> list[int]:
        """The numbers of the decisions that are found, the newest first."""
        return [int(one.decision_id, 16) for one in self.found(Wanted(equal=equal))]

    def found(self, wanted: Wanted, most: int = 1000) -> list[Found]:
        return Index(self.audit, self.index).listed(wanted, most=most)

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.index)) as connection:
            return connection.execute(sql).fetchall()


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


@pytest.mark.parametrize(
    ("column", "value", "numbers"),
    [
        ("decision", "challenge", range(3, 100, 5)),
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


def planned(place: Place, sql: str, values: dict[str, object]) -> list[str]:
    """What SQLite means to do."""
    with closing(sqlite3.connect(place.index)) as connection:
        connection.create_function("fits", 1, lambda _: True, deterministic=True)
        given = {"most": 50, "width": MINUTE, "path": 1, "floor": 0, **values}
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]


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


@pytest.mark.parametrize("column", ["trace", "subject", "path", "workload", "rule", "host"])
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


@pytest.mark.parametrize("column", ["trace", "subject", "path", "workload", "rule", "host", "decision", None])
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


def test_a_line_that_is_being_written_is_taken_when_its_end_is_there(place: Place) -> None:
    append(place.audit, HUNDRED[:10])
    whole = place.audit.read_bytes()
    place.audit.write_bytes(whole[:-5])
    assert place.fill().ids() == list(range(8, -1, -1))
    place.audit.write_bytes(whole)
    assert place.fill().ids() == list(range(9, -1, -1))


def test_lines_that_are_no_records_are_passed_over(place: Place) -> None:
    append(place.audit, HUNDRED[:2])
    with place.audit.open("ab") as file:
        file.write(b'not json\n\n{"v":2}\n' + b'{"v":1,"event":"no.such"}\n')
    append(place.audit, [decided(2, time="yesterday"), *HUNDRED[3:5]])
    assert place.fill().ids() == [4, 3, 1, 0]


def test_a_rotation_loses_and_doubles_nothing(place: Place) -> None:
    append(place.audit, HUNDRED[:30])
    with Indexer(place.audit, place.index) as indexer:
        indexer.step()
        append(place.audit, HUNDRED[30:40])
        place.audit.rename(place.audit.with_name("audit-20261122T040500Z-1.jsonl"))
        append(place.audit, HUNDRED[40:60])
        while indexer.step():
            pass
    assert place.ids() == list(range(59, -1, -1))
    assert Index(place.audit, place.index).decision(HUNDRED[10].decision_id) == HUNDRED[10]


def test_a_file_that_is_moved_after_it_was_read_is_found_under_its_new_name(place: Place) -> None:
    append(place.audit, HUNDRED[:30])
    place.fill()
    place.audit.rename(place.audit.with_name("audit-20261122T040500Z-1.jsonl"))
    append(place.audit, HUNDRED[30:31])
    assert Index(place.audit, place.index).decision(HUNDRED[10].decision_id) == HUNDRED[10]


def test_what_a_removed_file_held_is_let_go_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "FORGOTTEN", 7)
    old = append(place.audit.with_name("audit-20261122T040500Z-1.jsonl"), [*HUNDRED[:50], happened("grant.used", 9)])
    append(place.audit, HUNDRED[50:])
    assert len(place.fill().ids()) == 100
    old.unlink()
    assert place.fill().ids() == list(range(99, 49, -1))
    assert Index(place.audit, place.index).decision(HUNDRED[10].decision_id) is None
    assert place.rows("SELECT count(*) FROM files") == [(1,)]
    kept = Counter((START + one * SECOND) // MINUTE for one in range(50, 100))
    assert dict(place.rows("SELECT minute, sum(number) FROM counts GROUP BY 1")) == kept


def words_of(place: Place) -> set[str]:
    return {word for (word,) in place.rows("SELECT word FROM words")}


def asked_on(number: int, path: str, host: str = "a.example.com") -> DecisionLine:
    """A decision whose path and host the caller has chosen."""
    one = decided(number)
    assert one.request is not None
    return msgspec.structs.replace(one, request=msgspec.structs.replace(one.request, path=path, host=host))


@pytest.mark.parametrize("rows", [1, 7, 2_000])
def test_words_go_with_the_last_row_that_has_them(place: Place, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(indexing, "FORGOTTEN", rows)
    old = place.audit.with_name("audit-20261122T040500Z-1.jsonl")
    append(old, [asked_on(number, f"/once/{number}", f"h{number}.example.com") for number in range(40)])
    append(old, [asked_on(40, "/still/asked"), asked_on(41, "/moved"), asked_on(42, "/x", "allow")])
    append(place.audit, [asked_on(50, "/still/asked"), asked_on(51, "/y", "/moved")])
    place.fill()
    assert {"/once/7", "h7.example.com", "/x"} <= words_of(place)
    old.unlink()
    place.fill()
    gone = [word for word in words_of(place) if word.startswith(("/once", "h", "/x"))]
    assert sorted(gone) == ["hold"]
    numbers = dict(place.rows("SELECT id, word FROM words"))
    kept = place.rows("SELECT decision, rule, subject, workload, host, path FROM decisions")
    used = {numbers[number] for row in kept for number in row if number is not None}
    assert {"/still/asked", "/moved", "/y"} <= used
    assert words_of(place) - used <= {"allow", "challenge", "hold", "deny"}
    assert [one.path for one in place.found(Wanted())] == ["/y", "/still/asked"]


def test_a_word_that_was_let_go_of_comes_again(place: Place) -> None:
    old = append(place.audit.with_name("audit-20261122T040500Z-1.jsonl"), [asked_on(1, "/again")])
    append(place.audit, HUNDRED[2:4])
    with Indexer(place.audit, place.index) as one, Indexer(place.audit, place.index) as other:
        while one.step():
            pass
        old.unlink()
        for _ in range(20):
            other.step()
        assert "/again" not in words_of(place)
        append(place.audit, [decided(50), asked_on(60, "/other"), asked_on(61, "/again")])
        for _ in range(5):
            one.step()
    assert [one.path for one in place.found(Wanted(), most=2)] == ["/again", "/other"]
    assert place.ids(path="/again") == [61]


def test_letting_go_of_a_word_looks_in_indexes_alone(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    with closing(sqlite3.connect(place.index)) as connection:
        plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {indexing.TAKE_WORD}", (1,))]
    assert [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step] == []
    looked = [step for step in plan if "decisions" in step]
    assert looked == [f"SEARCH decisions USING COVERING INDEX decisions_by_{one} ({one}=?)" for one in WORDED]


def test_two_that_fill_at_once_double_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 7)
    append(place.audit, HUNDRED)
    with Indexer(place.audit, place.index) as one, Indexer(place.audit, place.index) as other:
        busy = True
        while busy:
            busy = any([one.step(), other.step()])  # both, always
    assert place.ids() == list(range(99, -1, -1))


def test_a_crash_within_a_batch_loses_and_doubles_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 10)
    append(place.audit, HUNDRED)
    with Indexer(place.audit, place.index) as indexer:
        indexer.step()
        monkeypatch.setattr(indexing, "_COUNT", "INSERT INTO nowhere VALUES (?, ?, ?)")
        with pytest.raises(ExtauthzError, match="can't write the index"):
            indexer.step()
        monkeypatch.undo()
    assert place.ids() == list(range(9, -1, -1))
    assert place.fill().ids() == list(range(99, -1, -1))
    assert place.rows("SELECT sum(number) FROM counts") == [(100,)]


@pytest.mark.parametrize("broken", [b"", None])
def test_an_index_that_is_gone_or_none_is_made_anew(place: Place, broken: bytes | None) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    for beside in place.index.parent.glob("audit.sqlite*"):
        beside.unlink()
    if broken is not None:
        place.index.write_bytes(broken)
    assert place.fill().ids() == list(range(99, -1, -1))


def test_no_file_is_touched_that_is_no_index(place: Place, tmp_path: Path) -> None:
    """Whoever names the store, or the audit itself, for the index keeps them."""
    append(place.audit, HUNDRED)
    place.fill()
    store = tmp_path / "store.db"
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE grants (id TEXT)")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    for other in (store, place.audit):
        before = other.read_bytes()
        with pytest.raises(ExtauthzError, match="this is no index of an audit"):
            Indexer(place.audit, other)
        assert other.read_bytes() == before
        assert not list(other.parent.glob(f"{other.name}-*"))
    assert Index(place.audit, store).listed(Wanted(), most=1) == []


def test_an_index_that_is_damaged_is_made_anew(place: Place) -> None:
    append(place.audit, [decided(number % 100) for number in range(3000)])
    place.fill().rows("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(place.index.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    place.index.write_bytes(content)
    append(place.audit, HUNDRED)
    place.fill()
    assert place.rows("SELECT count(*) FROM decisions") == [(3100,)]
    assert place.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.0Z", "0001-01-01T00:00:00Z", "then", ""])
def test_a_line_of_no_time_stops_no_other(place: Place, time: str) -> None:
    append(place.audit, [*HUNDRED[:50], decided(50, time=time), *HUNDRED[51:]])
    assert place.fill().ids() == [number for number in range(99, -1, -1) if number != 50]


def test_what_is_no_file_is_not_read(place: Place) -> None:
    append(place.audit, HUNDRED)
    os.mkfifo(place.audit.with_name("audit-20260101T000000Z-1.jsonl"))
    place.audit.with_name("audit-20260101T000000Z-2.jsonl").mkdir()
    assert place.fill().ids() == list(range(99, -1, -1))


def test_an_index_of_another_version_is_made_anew_and_not_read(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill().rows("PRAGMA user_version = 99")
    assert place.ids() == []
    assert place.fill().ids() == list(range(99, -1, -1))


def test_an_index_that_is_taken_away_meanwhile_is_made_anew(place: Place) -> None:
    append(place.audit, HUNDRED)
    with Indexer(place.audit, place.index) as indexer:
        while indexer.step():
            pass
        for beside in place.index.parent.glob("audit.sqlite*"):
            beside.unlink()
        while indexer.step():
            pass
    assert place.ids() == list(range(99, -1, -1))


def test_without_audit_or_index_there_is_nothing_to_see(place: Place) -> None:
    assert place.ids() == []
    assert place.fill().ids() == []


def test_the_index_is_for_its_owner_alone(place: Place) -> None:
    append(place.audit, HUNDRED)
    with Indexer(place.audit, place.index) as indexer:
        indexer.step()
        modes = {one.stat().st_mode & 0o777 for one in place.index.parent.glob("audit.sqlite*")}
    assert modes == {0o600}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_index_that_cannot_be_written_is_told_with_its_place(place: Place) -> None:
    place.index.parent.chmod(0o500)
    with pytest.raises(ExtauthzError, match=r"audit\.sqlite: can't write the index of the audit: "):
        Indexer(place.audit, place.index)


def test_a_look_up_that_takes_too_long_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    append(place.audit, [decided(number % 100) for number in range(3000)])
    place.fill()
    monkeypatch.setattr("extauthz.history.index._STEPS", 1)
    moments = iter(range(0, 10_000_000, 1000))
    with pytest.raises(TooMuch, match="ask for less time"):
        Index(place.audit, place.index, clock=lambda: float(next(moments))).listed(Wanted(), most=1000)


def test_the_index_holds_nothing_that_the_audit_masks(place: Place) -> None:
    append(place.audit, HUNDRED)
    place.fill()
    words = {word for (word,) in place.rows("SELECT word FROM words")}
    assert {word for word in words if not str(word).startswith(("payments/", "/v1/", "host-", "user-"))} == {
        *("allow", "deny", "challenge", "hold", BOT),
    }
    reasons = {"rule-allows", "frozen", "step-up-required", "approval-required"}
    assert set(place.rows("SELECT reason, method FROM decisions")) == {(reason, "GET") for reason in reasons}
