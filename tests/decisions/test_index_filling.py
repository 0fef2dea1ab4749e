"""The index of the audit: how it is filled, and what a crash, a move or a removal does to it."""

import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from decisions.indexed import HUNDRED, Place
from decisions.recorded_days import BOT, SECOND, START, append, decided, happened

from extauthz.errors import ExtauthzError
from extauthz.history import indexing
from extauthz.history.index import Index, TooMuch
from extauthz.history.index_form import WORDED
from extauthz.history.index_questions import (
    Wanted,
)
from extauthz.history.indexing import MINUTE, Indexer
from extauthz.record import file_lines
from extauthz.record.audit_line import DecisionLine


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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


def test_a_line_that_is_too_long_is_passed_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lines, "LONGEST_LINE", 4_000)
    append(place.audit, HUNDRED[:2])
    with place.audit.open("ab") as file:
        file.write(b"x" * 50_000 + b"\n")
    append(place.audit, HUNDRED[2:5])
    assert place.fill().ids() == [4, 3, 2, 1, 0]
    assert Index(place.audit, place.index).decision(HUNDRED[4].decision_id) == HUNDRED[4], "the places are right"


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
    kept = place.rows(f"SELECT {', '.join(WORDED)} FROM decisions")  # noqa: S608 - ours
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
        *("rule-allows", "frozen", "step-up-required", "approval-required"),
    }
    assert set(place.rows("SELECT method FROM decisions")) == {("GET",)}
