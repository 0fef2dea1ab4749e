"""Processes that write approvals are killed at random moments: nothing is lost, and nothing is done twice.

`KILLS` is how many of them are killed for each store; `make kills` kills as many as the project promises.
"""

import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from store.mayhem import NEEDED, PROCESSES
from store.one_loop import run

from extauthz.store.approvals import ApprovalQuery
from extauthz.store.protocol import Selection, Store
from extauthz.values.approvals import Approval

TESTS = Path(__file__).parents[1]
KILLS = int(os.environ.get("KILLS", "30"))


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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("address", ["sqlite", "redis", "cluster"], indirect=True)
def test_killed_processes_lose_no_approval_apply_none_twice_and_leave_every_letter(
    address: str, opened: Callable[[str], Store], tmp_path: Path
) -> None:
    store = opened(address)
    seed = str(time.time())
    print(f"the seed is {seed}")  # noqa: T201 - for whoever looks for the cause of a failure
    mayhem = [sys.executable, str(TESTS / "store" / "mayhem.py"), address, str(tmp_path), str(KILLS // PROCESSES), seed]
    subprocess.run(mayhem, check=True, env={**os.environ, "PYTHONPATH": str(TESTS)})
    journal: dict[str, list[list[str]]] = defaultdict(list)
    for line in (tmp_path / "journal").read_text().splitlines():
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
