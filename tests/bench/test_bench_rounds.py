"""Rounds by turns: their order, what they are when a busy machine lets none begin, and whose time they take."""

from dataclasses import dataclass, field
from itertools import count

import pytest

from bench.harness import rates
from bench.harness.cores import Cores
from bench.harness.h2load import Ask, Load, LoadFailed, NothingAnswered
from bench.harness.rates import Asked, by_turns
from bench.harness.setting import QUICK, TINY, TRIES, Setting, Size

ROUNDS = QUICK.rounds(rates.ROUND)


def _setting(seconds: float) -> Setting:
    size = Size(seconds=seconds, starts=1, growth_calls=1, growth_seconds=1.0, counted=1)
    return Setting(size=size, cores=Cores(server=None, load=None), peers={}, transports=())


def test_the_same_time_makes_the_more_rounds_the_shorter_they_are() -> None:
    assert (QUICK.rounds(0.3), QUICK.rounds(1.5), TINY.rounds(1.5)) == (15, 3, 1)


def test_rounds_go_through_all() -> None:
    place = count(1)
    got = _setting(3.0).in_turn({"a": "A", "b": "B"}, lambda one: f"{one}{next(place)}", seconds=1.0)
    assert got == {"a": ["A1", "A3", "A5"], "b": ["B2", "B4", "B6"]}


def test_a_round_in_which_nothing_was_answered_is_repeated_but_not_for_ever() -> None:
    answers = iter([None] * (TRIES - 1) + [7] + [None] * TRIES)

    def ask(_: str) -> int:
        if (answer := next(answers)) is None:
            raise NothingAnswered("nothing")
        return answer

    assert _setting(1.0).in_turn({"a": "A"}, ask, seconds=1.0) == {"a": [7]}
    with pytest.raises(LoadFailed, match=r"^a: nothing$"):
        _setting(1.0).in_turn({"a": "A"}, ask, seconds=1.0)


def test_a_round_with_a_failed_call_is_not_repeated() -> None:
    failed = list[str]()

    def ask(one: str) -> None:
        failed.append(one)
        raise LoadFailed("a call failed")

    with pytest.raises(LoadFailed):
        _setting(1.0).in_turn({"a": "A"}, ask, seconds=1.0)
    assert failed == ["A"]


@dataclass
class _Machine:
    """Servers that take 100 and 125 µs for a call, and half as much more when they have time again; others leave them a
    fifth of the core at first, then all of it."""

    share: float = 0.2
    used: dict[int, float] = field(default_factory=lambda: {1: 0.0, 2: 0.0, 3: 0.0})
    later: dict[int, float] = field(default_factory=dict)
    cost: dict[int, float] = field(default_factory=lambda: {1: 100e-6, 2: 125e-6, 3: 1e-6})

    def rate_of(self, ask: Ask, load: Load, *, core: int | None) -> float:
        assert core is None
        assert load.calls is not None
        pid, self.share = int(ask.url), min(self.share * 1.1, 1.0)
        for one, seconds in self.later.items():
            self.used[one] += seconds
        self.used[pid] += load.calls * self.cost[pid]
        self.later = {pid: load.calls * self.cost[pid] / 2}
        return self.share / self.cost[pid]

    def processor_seconds(self, pid: int) -> float:
        return self.used[pid]

    def sleep(self, _: float) -> None:
        for one, seconds in self.later.items():
            self.used[one] += seconds
        self.later = {}


def test_calls_for_a_second_of_the_processor_are_what_a_core_can_do_whatever_others_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = _Machine()
    monkeypatch.setattr("bench.harness.h2load.rate_of", machine.rate_of)
    monkeypatch.setattr(rates, "processor_seconds", machine.processor_seconds)
    monkeypatch.setattr("time.sleep", machine.sleep)
    asked = {
        "of somebody": Asked(ask=Ask(url="3", headers={})),
        "noop": Asked(ask=Ask(url="1", headers={}), pids=(1,)),
        "product": Asked(ask=Ask(url="2", headers={}), pids=(2,)),
    }
    told = by_turns(asked, _setting(4.5))
    assert told["noop"].of_core == pytest.approx([1 / 150e-6] * ROUNDS)
    assert told["product"].of_core == pytest.approx([1 / 187.5e-6] * ROUNDS)
    assert told["product"].processor == pytest.approx([187.5] * ROUNDS)
    assert told["of somebody"].of_core == ()
    assert len(told["of somebody"].by_clock) == ROUNDS
    assert max(told["noop"].by_clock) > 2 * min(told["noop"].by_clock)
    assert [figure.name for figure in told["of somebody"].figures("of somebody")] == ["of somebody"]
