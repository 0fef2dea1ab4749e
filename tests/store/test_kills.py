"""Processes that write approvals are killed at random moments: nothing is lost, and nothing is done twice.

`KILLS` is how many of them are killed for each store; `make kills` kills ten times as many.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redises import RedisProcess
from store.mayhem import NEEDED, PROCESSES
from store.one_loop import run

from extauthz.store.approvals import ApprovalQuery
from extauthz.store.protocol import Selection, Store
from extauthz.values.approvals import Approval

TESTS = Path(__file__).parents[1]
KILLS = int(os.environ.get("KILLS", "20"))


def everything(store: Store) -> dict[str, Approval]:
    found: dict[str, Approval] = {}
    before = ""
    while True:
        page = run(store.approvals(ApprovalQuery(), most=500, before=before))
        found |= {one.id: one for one in page.approvals}
        before = page.next
        if not before:
            return found


def drained(store: Store, *, now: float) -> list[tuple[str, str]]:
    """The letters that nobody has delivered, and their events."""
    left: list[tuple[str, str]] = []
    while claims := run(store.claim_letters("hook", most=500, lease=60, now=now)):
        for claim in claims:
            left.append((claim.letter.id, claim.letter.event))
            assert run(store.letter_done(claim.letter.id, claim.attempt, now=now))
    return left


@contextmanager
def mayhem(address: str, folder: Path, *, kills: int) -> Iterator[subprocess.Popen[bytes]]:
    """So many processes are killed that write to the store."""
    seed = str(time.time())
    print(f"the seed is {seed}")  # noqa: T201 - for whoever looks for the cause of a failure
    program = str(TESTS / "store" / "mayhem.py")
    with subprocess.Popen(
        [sys.executable, program, address, str(folder), str(kills // PROCESSES), seed],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as running:
        yield running
    assert running.returncode == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("address", ["sqlite", "redis", "cluster"], indirect=True)
def test_killed_processes_lose_no_approval_apply_none_twice_and_leave_every_letter(
    address: str, opened: Callable[[str], Store], tmp_path: Path
) -> None:
    with mayhem(address, tmp_path, kills=KILLS):
        pass
    check(opened(address), tmp_path)


@pytest.mark.timeout(300)
def test_nor_does_a_redis_that_is_killed_with_them(opened: Callable[[str], Store], tmp_path: Path) -> None:
    with RedisProcess(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start() as redis:
        with mayhem(redis.url, tmp_path, kills=KILLS) as running:
            while running.poll() is None:
                time.sleep(random.uniform(0.05, 0.4))  # noqa: S311 - not for secrets
                redis.stop(how=signal.SIGKILL)
                redis.start()
        check(opened(redis.url), tmp_path)


def check(store: Store, folder: Path) -> None:
    """Hold what is in the store against what was told to those who are dead."""
    journal: dict[str, list[list[str]]] = defaultdict(list)
    for line in (folder / "journal").read_text().splitlines():
        what, *words = line.split()
        journal[what].append(words)
    there = everything(store)
    assert {id_ for (id_,) in journal["opened"]} <= there.keys()
    voters = {id_: [vote.approver.person for vote in one.votes] for id_, one in there.items()}
    for id_, voter in journal["voted"]:
        assert voters[id_].count(voter) == 1
    used = Counter(id_ for (id_,) in journal["used"])
    assert all(times == 1 for times in used.values())
    now, unsaid = time.time(), 0
    for id_, one in there.items():
        assert one.version == 1 + len(one.votes)
        assert len(set(voters[id_])) == len(one.votes) <= NEEDED
        assert one.state == ("approved" if len(one.votes) == NEEDED else "pending")
        left = run(store.grants(Selection(subject=one.subject), now=now))
        assert len(left) <= (1 if one.state == "approved" and id_ not in used else 0)
        unsaid += one.state == "approved" and id_ not in used and not left
    assert unsaid <= KILLS, "used up, and killed before anybody was told"
    delivered = [(id_, event) for id_, event in journal["delivered"]]
    told = {*delivered, *drained(store, now=now + 3600)}
    assert told == {
        (f"{id_}-{version}", f"event-{id_}-{version}")
        for id_, one in there.items()
        for version in range(1, one.version + 1)
    }
    assert {one.id for one in run(store.due_approvals(most=10_000, now=now + 7200))} == {
        id_ for id_, one in there.items() if one.state == "pending"
    }
    assert journal["voted"]
    assert journal["used"]
    assert delivered
