"""Several processes on one store: races for what is there once, and processes that are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import LIMIT, enrolment, factor, grant, redemption

from extauthz.store.protocol import Redeemed, Store

TESTS = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS)}
SHARED = ("sqlite", "redis", "cluster")


class Racer:
    """A process that runs one race after the other: to start one takes longer than most races."""

    def __init__(self) -> None:
        racer = [sys.executable, str(TESTS / "store" / "racer.py")]
        self.process = subprocess.Popen(
            racer, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def told(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().removesuffix("\n")


@pytest.fixture(scope="module")
def racers() -> Iterator[tuple[Racer, Racer]]:
    two = Racer(), Racer()
    yield two
    for racer in two:
        racer.process.kill()
        racer.process.communicate()


@pytest.mark.parametrize(
    ("kind", "expected", "calls", "address"),
    [
        *((kind, 1, 1000, address) for kind in ("grant", "step", "code") for address in SHARED),
        *((kind, 1, 200, address) for kind in ("ticket", "proof", "first", "last") for address in SHARED[:2]),
        *(("tries", LIMIT.free, 200, address) for address in SHARED[:2]),
    ],
    indirect=["address"],
)
def test_of_two_processes_that_race_for_one_thing_one_gets_it(
    address: str,
    opened: Callable[[str], Store],
    racers: tuple[Racer, Racer],
    tmp_path: Path,
    kind: str,
    expected: int,
    calls: int,
) -> None:
    store = opened(address)
    run(store.enroll(enrolment(factor(), factor("f0"), factor("r1", kind="recovery")), now=NOW))
    assert run(store.redeem(redemption(grant(uses=1), of="f0"), now=NOW)) is Redeemed.DONE
    for racer in racers:
        racer.told(json.dumps([address, str(tmp_path), kind, calls // 2]))
    assert [racer.said() for racer in racers] == ["ready", "ready"]
    for racer in racers:
        racer.told("go")
    assert sum(int(racer.said()) for racer in racers) == expected


@pytest.mark.parametrize("address", SHARED, indirect=True)
def test_a_process_that_is_killed_loses_nothing_that_it_was_told_of_and_nothing_is_given_twice(
    address: str, opened: Callable[[str], Store], tmp_path: Path
) -> None:
    store = opened(address)
    run(store.enroll(enrolment(factor()), now=NOW))
    command = [sys.executable, str(TESTS / "store" / "worker.py"), address, str(tmp_path)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert worker.stdout is not None
    told = [worker.stdout.readline().split() for _ in range(601)]
    worker.send_signal(signal.SIGKILL)
    # `communicate` would pass over what was read ahead of the last line.
    told += [line.split() for line in worker.stdout.read().splitlines(keepends=True) if line[-1] == "\n"]
    worker.stdout.close()
    worker.wait(timeout=60)
    proven = {int(step) for what, step in told if what == "proven"}
    used = {int(step) for what, step in told if what == "used"}
    there = {grant.id for grant in run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants}
    # What it was doing when it died may be done or not.
    doing = {max(proven), max(proven) + 1}
    assert {f"g{step}" for step in proven - used - doing} <= there
    for step in sorted(used):
        assert not run(store.consume(ALICE, [f"g{step}"], fingerprint="", now=NOW))
    for step in sorted(proven):
        again = redemption(grant(f"again{step}", uses=1), step=step, ticket=f"g{step}")
        assert run(store.redeem(again, now=NOW)) is Redeemed.TICKET_USED
        assert run(store.redeem(redemption(step=step), now=NOW)) is Redeemed.MARK_USED
    for step in sorted(proven - used - doing):
        assert run(store.consume(ALICE, [f"g{step}"], fingerprint="", now=NOW))
        assert not run(store.consume(ALICE, [f"g{step}"], fingerprint="", now=NOW))
