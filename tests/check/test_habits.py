"""What requests leave behind, on its way to the store: when it is known, written, and lost."""

import asyncio
from collections.abc import Iterable

import pytest
from stepup.proofs import ALICE, NOW
from structlog.testing import capture_logs

from extauthz.check import habits as module
from extauthz.check.habits import HabitCounts, Habits
from extauthz.errors import StateUnavailable
from extauthz.risk.sketch import Quantiles
from extauthz.store.habits import Habit, Number, Raised
from extauthz.store.memory import MemoryStore
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")
SEEN, PLACE, RAISED = Question("seen", ("a",)), Question("place"), Question("raised", ("default",))
AMOUNT = Question("baseline", ("p/amount", "alice"))
ZURICH = LastPlace(latitude=47.4, longitude=8.5, at=NOW)
ALL = Habit(
    subject=ALICE,
    at=NOW,
    seen=("a",),
    numbers=(Number(AMOUNT, 5.0),),
    place=ZURICH,
    raised=(Raised("default", "far-away", NOW),),
)


class Failing(MemoryStore):
    """A store that is out of reach for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.is_there = False
        self.calls: list[int] = []

    async def note_habits(self, habits: Iterable[Habit]) -> None:
        noted = list(habits)
        self.calls.append(len(noted))
        if not self.is_there:
            raise StateUnavailable("store: it is gone")
        await super().note_habits(noted)


def known(store: MemoryStore, habits: Habits, *, of: Subject = ALICE) -> list[object]:
    asked = (SEEN, PLACE, RAISED, AMOUNT)
    found = asyncio.run(store.look_up(of, None, questions=asked, fingerprint="", now=NOW))
    answers = habits.beside(of, found.answers)
    return [answers[question] for question in asked]


def count(of: object) -> int:
    assert isinstance(of, Quantiles)
    return of.count


def test_what_one_request_leaves_behind_the_next_one_knows_before_it_is_written() -> None:
    store = MemoryStore()
    habits = Habits(store)
    assert known(store, habits)[:3] == [False, None, {}]
    habits.note(ALL)
    assert known(store, habits)[:3] == [True, ZURICH, {"far-away": NOW}]
    assert count(known(store, habits)[3]) == 0, "a number is in no baseline before it is written"
    assert known(store, habits, of=BOB)[:3] == [False, None, {}]
    assert habits.beside(None, {}) == {}
    asyncio.run(habits.write())
    assert known(store, Habits(store))[:3] == [True, ZURICH, {"far-away": NOW}]
    assert count(known(store, habits)[3]) == 1
    asyncio.run(habits.write())
    assert count(known(store, habits)[3]) == 1, "and is added once"
    assert habits.counts == HabitCounts(waiting=0, written=1, lost=0, forgotten=0)


def test_the_later_of_two_places_and_moments_counts_wherever_it_is() -> None:
    store = MemoryStore()
    habits = Habits(store)
    later = LastPlace(latitude=1.0, longitude=2.0, at=NOW + 5)
    asyncio.run(store.note_habits([Habit(subject=ALICE, at=NOW + 5, place=later)]))
    habits.note(Habit(subject=ALICE, at=NOW, place=ZURICH, raised=(Raised("strict", "x", NOW),)))
    assert known(store, habits)[1:3] == [later, {}]


def test_what_the_store_does_not_take_is_lost_once_and_said_once() -> None:
    store = Failing()
    habits = Habits(store)
    with capture_logs() as logs:
        for _ in range(3):
            habits.note(ALL)
            asyncio.run(habits.write())
        store.is_there = True
        habits.note(ALL)
        asyncio.run(habits.write())
    assert [log["event"] for log in logs] == ["habits-not-written", "habits-written-again"]
    assert habits.counts == HabitCounts(waiting=0, written=1, lost=3, forgotten=0)
    assert count(known(store, habits)[3]) == 1


def test_no_more_waits_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    habits = Habits(MemoryStore())
    with capture_logs() as logs:
        for _ in range(8):
            habits.note(ALL)
    assert habits.counts == HabitCounts(waiting=5, written=0, lost=0, forgotten=3)
    assert [log["event"] for log in logs] == ["habits-forgotten"]


def test_many_are_written_in_batches_and_all_of_them_at_the_end() -> None:
    store = Failing()
    store.is_there = True
    habits = Habits(store)
    for number in range(2 * module.BATCH + 1):
        habits.note(Habit(subject=(ALICE, BOB)[number % 2], at=NOW, seen=("a",)))
    asyncio.run(habits.close())
    assert store.calls == [module.BATCH, module.BATCH, 1]
    assert known(store, habits)[0] is known(store, habits, of=BOB)[0] is True


def test_what_waits_no_more_takes_no_room_though_its_subject_never_pauses() -> None:
    class Busy(Failing):
        async def note_habits(self, noted: Iterable[Habit]) -> None:
            habits.note(Habit(subject=ALICE, at=NOW, seen=("b",)))
            await super().note_habits(noted)

    habits = Habits(Busy())
    habits.note(Habit(subject=ALICE, at=NOW, seen=("a", "b")))
    asyncio.run(habits.write())
    other = Question("seen", ("b",))
    assert habits.beside(ALICE, {SEEN: False, other: False}) == {SEEN: False, other: True}
