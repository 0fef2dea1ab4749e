"""The long run, for some seconds; and that it tells what is wrong, what nothing explains, and what grows."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from redises import find_redis

from bench.soaking.site import Site
from bench.soaking.verdict import ALLOWED, Asked, Fault, Verdict
from bench.soaking.watch import Watch

ROOT = Path(__file__).parents[2]
AWAY = Fault(name="away", began=10.0, ended=20.0, causes=frozenset({"state-unavailable", ALLOWED}), after=2.0)


def asked(reason: str, *, at: float, kind: str = "people") -> Asked:
    return Asked(kind=kind, began=at, ended=at + 0.1, reason=reason, right=frozenset({"no-rule-allows"}))


def test_what_is_answered_as_it_must_be_is_no_error() -> None:
    verdict = Verdict()
    verdict.take(asked("no-rule-allows", at=1.0))
    assert verdict.explained() == ({}, [], [])


def test_an_error_within_a_fault_that_may_cause_it_is_that_faults() -> None:
    verdict = Verdict(faults=[AWAY])
    for at in (9.95, 15.0, 21.9):
        verdict.take(asked("state-unavailable", at=at))
    by_fault, unexplained, _ = verdict.explained()
    assert by_fault == {"away": {"people: state-unavailable": 3}}
    assert unexplained == []


@pytest.mark.parametrize(
    "odd",
    [
        asked("state-unavailable", at=9.0),
        asked("state-unavailable", at=22.1),
        asked("invalid-token", at=15.0),
    ],
    ids=["before", "after", "another"],
)
def test_any_other_error_has_no_reason(odd: Asked) -> None:
    verdict = Verdict(faults=[AWAY])
    verdict.take(odd)
    assert verdict.explained()[1] == [odd]


def test_to_be_let_through_is_wrong_whatever_goes_on() -> None:
    verdict = Verdict(faults=[AWAY])
    verdict.take(asked(ALLOWED, at=15.0))
    assert len(verdict.explained()[2]) == 1


def test_a_fault_is_of_the_requests_that_it_names() -> None:
    fault = Fault(name="reload", began=0.0, ended=9.0, causes=frozenset({ALLOWED}), kinds=frozenset({"a"}), opens=True)
    verdict = Verdict(faults=[fault])
    verdict.take(asked(ALLOWED, at=1.0, kind="a"))
    verdict.take(asked(ALLOWED, at=1.0, kind="b"))
    assert [one.kind for one in verdict.explained()[2]] == ["b"]


@pytest.mark.parametrize(("by_the_second", "leaks"), [(0.0, False), (0.005, False), (0.1, True)])
def test_what_grows_by_more_than_it_may_is_a_leak(by_the_second: float, leaks: bool) -> None:
    looks: list[tuple[float, Mapping[str, float]]] = [
        # It starts, breathes and is looked at for a quarter of an hour.
        (float(at), {"resident": (40.0 if at < 10 else 100.0) + by_the_second * at + (3 if at % 20 == 0 else 0)})
        for at in range(0, 800, 2)
    ]
    watch = Watch(site=Site.__new__(Site), verdict=Verdict(), looks={1: looks}, names={1: "server"})
    ((growth,), unjudged) = watch.growth(20.0)
    assert (growth.leaks, unjudged) == (leaks, 0)


def test_a_process_that_lived_for_too_short_a_time_is_not_judged() -> None:
    looks: list[tuple[float, Mapping[str, float]]] = [(float(at), {"resident": 1.0 * at}) for at in range(50)]
    watch = Watch(site=Site.__new__(Site), verdict=Verdict(), looks={1: looks}, names={1: "server"})
    assert watch.growth(5.0) == ([], 1)


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_run_of_some_seconds_finds_nothing_wrong(tmp_path: Path) -> None:
    find_redis()
    told = tmp_path / "soak.json"
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.soak",
            "--minutes",
            "0.15",
            "--rest",
            "1",
            "--seed",
            "4",
            "--json",
            told,
            "--check",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(told.read_text())
    assert found["misses"] == []
    assert any("blocks" in look for looks in found["looks"].values() for look in looks)
    assert {"open", "people", "forged token", "TCP", "workload", "code", "held, approved"} <= set(found["requests"])
    assert sum(found["faults"].values()) > 0
