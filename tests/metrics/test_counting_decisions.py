"""That a checker counts each of its decisions once, on its way, whether anybody takes records or not."""

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from audit_journal import DEFAULTS, AuditJournal
from checking import POLICY, Bench, make_bench
from metrics.counting import count, decided

from extauthz.check import committing
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling
from extauthz.errors import Overloaded
from extauthz.policy.load import load_text
from extauthz.record.keeping import Recorder
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import Propagation
from extauthz.store.open import open_store
from extauthz.values.decisions import Allow, RuleResult

REQUIRING = POLICY.replace('paths: ["/health"]', 'paths: ["/health"]\n      audit: required')
THREADS = 4
ROUNDS = 900


@pytest.fixture
def bench() -> Bench:
    return make_bench(open_store("memory:", base=Path()))


@pytest.fixture
def tallies() -> Tallies:
    return Tallies(Propagation().parent)


def counting(bench: Bench, tallies: Tallies, recorder: Recorder | None = None) -> Bench:
    """The bench with a policy that requires records of `/health`, and with these counts."""
    around = replace(bench.surroundings, tallies=tallies, recorder=recorder)
    return replace(
        bench, checker=Checker(Ruling(policies=load_text(REQUIRING), resolver=bench.checker.ruling.resolver), around)
    )


def test_decisions_are_counted_where_nobody_takes_records(bench: Bench, tallies: Tallies) -> None:
    bench = counting(bench, tallies)
    for _ in range(2):
        assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"
    assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "challenge"  # by way of a look-up
    bench.checker.turn_away(Overloaded("too many"))
    now = tallies.tallied
    assert sum(now.decisions.values()) == sum(times.counted.count for times in now.times.values()) == 4
    assert {decision: times.counted.count for decision, times in now.times.items()} == {
        "allow": 2,
        "deny": 1,
        "challenge": 1,
        "hold": 0,
    }
    assert now.events["challenge.opened"] == 1


def test_what_can_not_be_recorded_is_counted_as_what_it_was_answered_with(bench: Bench, tallies: Tallies) -> None:
    bench = counting(bench, tallies)
    assert bench.decision(bench.request("/health"))[1] == "audit-unavailable"
    ((_, reason, _),) = tallies.tallied.decisions
    assert reason == "audit-unavailable"


def test_an_answer_that_waits_for_its_record_is_counted_once_and_so_is_its_wait(
    bench: Bench, tallies: Tallies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "PATIENCE", 60.0)
    audit = AuditJournal(tmp_path / "audit.jsonl", DEFAULTS)
    bench = counting(bench, tallies, audit)
    assert bench.decision(bench.request("/health"))[0] == "allow"
    assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"
    audit.close()
    now = tallies.tallied
    assert sum(now.decisions.values()) == 2
    assert (now.waits["audit"].counted.count, now.waits["audit"].failed) == (1, 0)


def by_threads(decide: Callable[[], None]) -> None:
    """Let all of them do it, each interrupted as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=decide) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)


def test_however_many_threads_decide_alike_nothing_is_counted_twice_or_not_at_all(tallies: Tallies) -> None:
    allow, told = decided(Allow(rule="p/a"), took_ns=90_000_000_000), list[int]()

    def decide() -> None:
        for number in range(10 * ROUNDS):
            count(tallies, allow)
            if number % 100 == 0:
                told.append(sum(tallies.tallied.decisions.values()))

    by_threads(decide)
    now = tallies.tallied
    assert now.decisions == {("allow", "allowed", "p/a"): 10 * THREADS * ROUNDS}
    assert now.times["allow"].counted.count == 10 * THREADS * ROUNDS
    assert max(told) <= 10 * THREADS * ROUNDS


def test_however_many_threads_decide_nothing_is_counted_twice_or_not_at_all(tallies: Tallies) -> None:
    shadows = [
        decided(
            Allow(rule="p/a"), rules=(RuleResult(rule=f"p/{number}", effect="deny", mode="shadow", result="match"),)
        )
        for number in range(ROUNDS)
    ]
    together = threading.Barrier(THREADS)

    def decide() -> None:
        for shadow in shadows:
            together.wait()
            count(tallies, shadow)

    by_threads(decide)
    now = tallies.tallied
    assert now.decisions == {("allow", "allowed", "p/a"): THREADS * ROUNDS}
    assert set(now.shadowed.values()) == {THREADS}
