"""What every store promises of what is usual: counts in windows, what a subject is used to do, its devices."""

from collections.abc import Callable, Iterable
from math import ceil, nan

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import crowd, run
from store.parts import grant

from extauthz.risk.sketch import FINEST, HALF_LIFE, Quantiles
from extauthz.store.devices import MOST_DEVICES, ListedDevice
from extauthz.store.habits import (
    BASELINE_SECONDS,
    DAY,
    MOST_BASELINES,
    MOST_RAISED,
    MOST_SEEN,
    PLACE_SECONDS,
    RAISED_SECONDS,
    SEEN_SECONDS,
    Habit,
    Number,
    Raised,
)
from extauthz.store.protocol import Redemption, SpentTicket, Store
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")
MINUTE = Question("rate", ("client 203.0.113.9", 60.0))
HOUR = Question("rate", ("client 203.0.113.9", 3600.0))
AMOUNT = Question("baseline", ("payments/amount", "alice"))
PLACE = Question("place")
RAISED = Question("raised", ("default",))
ZURICH = LastPlace(latitude=47.3769, longitude=8.5417, accuracy_km=20.0, at=NOW)


def ask(store: Store, *questions: Question, now: float = NOW, subject: Subject | None = ALICE) -> list[object]:
    found = run(store.look_up(subject, None, questions=questions, fingerprint="", now=now))
    return [found.answers[question] for question in questions]


def seen(key: str) -> Question:
    return Question("seen", (key,))


def note(store: Store, *habits: Habit) -> None:
    run(store.note_habits(habits))


def habit(at: float = NOW, subject: Subject = ALICE, **left: object) -> Habit:
    return Habit(subject=subject, at=at, **left)  # type: ignore[arg-type]  # the types are those of the named fields


def amounts(values: Iterable[float], *, at: float = NOW, of: Question = AMOUNT) -> Habit:
    return habit(at, numbers=tuple(Number(of, value) for value in values))


def test_a_request_is_counted_once_in_each_window_itself_included(store: Store) -> None:
    assert ask(store, MINUTE) == [1]
    assert ask(store, MINUTE, HOUR, MINUTE) == [2, 1, 2], "however often it is asked about"
    assert ask(store, Question("rate", ("client 203.0.113.10", 60.0))) == [1]


def test_what_is_counted_slides_out_of_its_window(store: Store) -> None:
    for second in range(0, 60, 10):
        ask(store, MINUTE, now=NOW + second)
    assert ask(store, MINUTE, now=NOW + 59) == [7]
    assert ask(store, MINUTE, now=NOW + 72.5) == [6]
    assert ask(store, MINUTE, HOUR, now=NOW + 300) == [1, 1]


def test_rates_belong_to_no_subject(store: Store) -> None:
    assert ask(store, MINUTE, subject=ALICE) == [1]
    assert ask(store, MINUTE, subject=BOB) == [2]
    assert ask(store, MINUTE, subject=None) == [3]


def test_without_a_subject_nothing_but_rates_is_told(store: Store) -> None:
    found = run(
        store.look_up(None, None, questions=(MINUTE, seen("a"), AMOUNT, PLACE, RAISED), fingerprint="", now=NOW)
    )
    assert found.answers == {MINUTE: 1}
    assert run(store.look_up(None, None, fingerprint="", now=NOW)).answers == {}


def test_grants_the_session_and_what_is_usual_come_together(store: Store) -> None:
    ticket = SpentTicket(id="t", expires_at=NOW + 300)
    run(store.redeem(Redemption(subject=ALICE, burn=None, grants=(grant(),), ticket=ticket), now=NOW))
    note(store, habit(seen=("a",)))
    found = run(store.look_up(ALICE, SESSION, questions=(MINUTE, seen("a"), seen("b")), fingerprint="f", now=NOW))
    assert found.grants == (grant(),)
    assert found.answers == {MINUTE: 1, seen("a"): True, seen("b"): False}


def test_of_many_requests_at_once_each_is_counted(store: Store) -> None:
    async def race() -> list[object]:
        found = await crowd(store.look_up(None, None, questions=(MINUTE,), fingerprint="", now=NOW) for _ in range(100))
        return sorted((one.answers[MINUTE] for one in found), key=str)

    assert {int(str(one)) for one in run(race())} == set(range(1, 101))


def test_a_clock_that_is_ahead_takes_nothing_from_others(store: Store) -> None:
    assert ask(store, MINUTE) == [1]
    assert ask(store, MINUTE, now=NOW + 65) == [1]
    assert ask(store, MINUTE) == [3]


def test_keys_of_any_length_and_any_text_are_counted_apart(store: Store) -> None:
    keys = ["", " ", "a\nb", "{}", "\ud800", "ü" * 10_000, "ü" * 10_001, "60.0"]
    for key in keys:
        assert ask(store, Question("rate", (key, 60.0)), seen(key)) == [1, False]
        note(store, habit(seen=(key,)))
    for key in keys:
        assert ask(store, Question("rate", (key, 60.0)), seen(key)) == [2, True]


def test_what_a_subject_was_seen_with_is_its_own(store: Store) -> None:
    assert ask(store, seen("web GET /pay")) == [False]
    note(store, habit(seen=("web GET /pay", "web GET /docs")))
    assert ask(store, seen("web GET /pay"), seen("web GET /docs"), seen("cli GET /pay")) == [True, True, False]
    assert ask(store, seen("web GET /pay"), subject=BOB) == [False]


def test_what_was_seen_is_forgotten_in_time_and_each_time_begins_it_anew(store: Store) -> None:
    note(store, habit(seen=("a", "b")))
    note(store, habit(NOW + 30 * DAY, seen=("b",)))
    later = NOW + SEEN_SECONDS
    assert ask(store, seen("a"), seen("b"), now=later - 1) == [True, True]
    assert ask(store, seen("a"), seen("b"), now=later) == [False, True]
    note(store, habit(NOW, seen=("b",)))
    assert ask(store, seen("b"), now=later) == [True], "it only moves forward"


def test_no_more_keys_are_remembered_than_the_bound_and_the_latest_stay(store: Store) -> None:
    keys = [f"k{number}" for number in range(MOST_SEEN + 10)]
    note(store, *(habit(NOW + number, seen=(key,)) for number, key in enumerate(keys)))
    note(store, habit(NOW, BOB, seen=("k0",)))
    answers = ask(store, *map(seen, keys), now=NOW + 1000)
    assert answers == [False] * 10 + [True] * MOST_SEEN
    assert ask(store, seen("k0"), subject=BOB) == [True]


def test_a_baseline_tells_what_was_usual(store: Store) -> None:
    assert ask(store, AMOUNT) == [Quantiles(count=0)]
    note(store, *(amounts([float(value)]) for value in range(1, 101)))
    note(store, amounts([float(value) for value in range(101, 201)], at=NOW + 1))
    (found,) = ask(store, AMOUNT, now=NOW + 1)
    assert isinstance(found, Quantiles)
    assert found.count == 200
    for part, estimate in ((0.5, found.p50), (0.9, found.p90), (0.95, found.p95), (0.99, found.p99)):
        assert estimate == pytest.approx(ceil(part * 200), rel=FINEST)
    assert ask(store, AMOUNT, subject=BOB) == [Quantiles(count=0)]
    assert ask(store, Question("baseline", ("payments/amount", "bob"))) == [Quantiles(count=0)]


def test_numbers_that_are_none_leave_a_baseline_as_it_was_and_negative_ones_count(store: Store) -> None:
    note(store, amounts([nan, float("inf"), float("-inf")]))
    assert ask(store, AMOUNT) == [Quantiles(count=0)]
    note(store, amounts([-5.0, nan, 0.0]))
    (found,) = ask(store, AMOUNT)
    assert isinstance(found, Quantiles)
    assert (found.count, found.p99) == (2, 0.0)
    assert found.p50 == pytest.approx(-5, rel=FINEST)


def test_a_baseline_fades_and_is_forgotten(store: Store) -> None:
    note(store, amounts([10.0] * 100))
    (faded,) = ask(store, AMOUNT, now=NOW + HALF_LIFE)
    assert isinstance(faded, Quantiles)
    assert faded.count == 50
    assert ask(store, AMOUNT, now=NOW + BASELINE_SECONDS) == [Quantiles(count=0)]
    note(store, amounts([20.0], at=NOW + BASELINE_SECONDS))
    (anew,) = ask(store, AMOUNT, now=NOW + BASELINE_SECONDS)
    assert isinstance(anew, Quantiles)
    assert anew.count == 1
    assert anew.p50 == pytest.approx(20, rel=FINEST)


def test_a_subject_has_no_more_baselines_than_the_bound_and_the_latest_stay(store: Store) -> None:
    of = [Question("baseline", ("payments/amount", str(number))) for number in range(MOST_BASELINES + 3)]
    for number, one in enumerate(of):
        note(store, amounts([5.0], at=NOW + number, of=one))
    counts = [one.count for one in ask(store, *of, now=NOW + 100) if isinstance(one, Quantiles)]
    assert counts == [0] * 3 + [1] * MOST_BASELINES


def test_numbers_that_come_at_one_time_from_everywhere_are_all_added(
    store: Store, address: str, opened: Callable[[str], Store]
) -> None:
    others = [store if address == "memory:" else opened(address) for _ in range(3)]

    async def race() -> None:
        await crowd(one.note_habits([amounts([float(value)])]) for value in range(1, 6) for one in (store, *others))

    run(race())
    (found,) = ask(store, AMOUNT)
    assert isinstance(found, Quantiles)
    assert found.count == 20


def test_the_last_place_only_moves_forward_and_is_forgotten(store: Store) -> None:
    assert ask(store, PLACE) == [None]
    note(store, habit(place=ZURICH))
    assert ask(store, PLACE) == [ZURICH]
    sydney = LastPlace(latitude=-33.8688, longitude=151.2093, at=NOW + 60)
    note(store, habit(NOW + 60, place=sydney))
    note(store, habit(place=ZURICH))
    assert ask(store, PLACE) == [sydney]
    assert ask(store, PLACE, subject=BOB) == [None]
    assert ask(store, PLACE, now=NOW + 60 + PLACE_SECONDS) == [None]


def test_when_signals_were_raised_is_told_by_model(store: Store) -> None:
    assert ask(store, RAISED) == [{}]
    note(store, habit(raised=(Raised("default", "far-away", NOW), Raised("strict", "new-device", NOW + 1))))
    note(store, habit(raised=(Raised("default", "far-away", NOW + 5), Raised("default", "ü:\n", NOW + 2))))
    note(store, habit(raised=(Raised("default", "far-away", NOW + 3),)))
    assert ask(store, RAISED) == [{"far-away": NOW + 5, "ü:\n": NOW + 2}]
    assert ask(store, Question("raised", ("strict",))) == [{"new-device": NOW + 1}]
    assert ask(store, RAISED, subject=BOB) == [{}]
    assert ask(store, RAISED, now=NOW + 2 + RAISED_SECONDS) == [{"far-away": NOW + 5}]


def test_of_signals_the_latest_stay(store: Store) -> None:
    raised = tuple(Raised("default", f"s{number:03}", NOW + number) for number in range(MOST_RAISED + 2))
    note(store, habit(raised=raised))
    (moments,) = ask(store, RAISED)
    assert isinstance(moments, dict)
    assert sorted(moments) == [one.signal for one in raised[2:]]


def test_all_that_one_request_leaves_behind_is_noted_at_once(store: Store) -> None:
    note(
        store,
        habit(seen=("a",), numbers=(Number(AMOUNT, 5.0),), place=ZURICH, raised=(Raised("default", "x", NOW),)),
        habit(subject=BOB, seen=("b",)),
    )
    note(store)
    known, usual, place, moments = ask(store, seen("a"), AMOUNT, PLACE, RAISED)
    assert (known, place, moments) == (True, ZURICH, {"x": NOW})
    assert isinstance(usual, Quantiles)
    assert usual.count == 1
    assert ask(store, seen("b"), subject=BOB) == [True]


def device(id_: str = "d1", subject: Subject = ALICE, **changed: object) -> ListedDevice:
    fields = {"first_at": NOW, "proven_at": NOW, "until": NOW + 100 * DAY, "name": "Firefox", **changed}
    return ListedDevice(id=id_, subject=subject, **fields)  # type: ignore[arg-type]  # of the named fields


def put(store: Store, *devices: ListedDevice, now: float = NOW) -> None:
    for one in devices:
        run(store.put_device(one, now=now))


def test_devices_are_listed_by_subject_the_latest_last(store: Store) -> None:
    put(store, device("d2", proven_at=NOW + 5), device("d1"), device("d3", BOB, proven_at=NOW + 2))
    assert [one.id for one in run(store.devices(ALICE, now=NOW))] == ["d1", "d2"]
    assert run(store.devices(None, now=NOW)) == (
        device("d1"),
        device("d3", BOB, proven_at=NOW + 2),
        device("d2", proven_at=NOW + 5),
    )


def test_a_device_that_is_proven_on_again_keeps_when_it_was_first_seen(store: Store) -> None:
    put(store, device(), device(subject=BOB))
    put(store, device(first_at=NOW + 9, proven_at=NOW + 9, until=NOW + 50, name="ü\nSafari"))
    assert run(store.devices(ALICE, now=NOW)) == (device(proven_at=NOW + 9, until=NOW + 50, name="ü\nSafari"),)
    assert run(store.devices(BOB, now=NOW)) == (device(subject=BOB),)


def test_a_device_that_counts_no_more_is_not_listed(store: Store) -> None:
    put(store, device(until=NOW + 10))
    assert run(store.devices(ALICE, now=NOW + 9)) != ()
    assert run(store.devices(ALICE, now=NOW + 10)) == run(store.devices(None, now=NOW + 10)) == ()
    again = device(first_at=NOW + 20, proven_at=NOW + 20)
    put(store, again, now=NOW + 20)
    assert run(store.devices(ALICE, now=NOW + 20)) == (again,)


def test_no_more_devices_are_listed_than_the_bound_and_the_latest_stay(store: Store) -> None:
    put(store, *(device(f"d{number:02}", proven_at=NOW + number) for number in range(MOST_DEVICES + 3)))
    put(store, device("old", proven_at=NOW - 10))
    listed = [one.id for one in run(store.devices(ALICE, now=NOW))]
    assert listed == ["old", *(f"d{number:02}" for number in range(4, MOST_DEVICES + 3))], "and what was put now"
