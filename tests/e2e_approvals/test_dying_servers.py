"""Servers are killed at random moments, and their Redis, and who they tell: nothing is lost, and nothing is done twice.

`KILLS` is how many processes die in each run; `make kills` has many more. `tests/store` asks the same of stores alone.
"""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from e2e_approvals.dying import NEEDED, PEOPLE, Dying, dying
from patience import comes

from extauthz.store.approvals import ApprovalQuery
from extauthz.store.protocol import Selection, Store
from extauthz.values.approvals import Approval
from extauthz.values.grants import Grant

KILLS = int(os.environ.get("KILLS", "6"))


@pytest.mark.timeout(120 + 5 * KILLS)
@pytest.mark.parametrize("kind", [pytest.param("redis", marks=pytest.mark.long), "sqlite"])
def test_killed_servers_lose_no_approval_apply_none_twice_and_tell_of_each(kind: str, tmp_path: Path) -> None:
    seed = str(time.time())
    print(f"the seed is {seed}")  # noqa: T201 - for whoever looks for the cause of a failure
    with dying(tmp_path, kind, seed) as all_of_it:
        asyncio.run(all_of_it.live(KILLS))
        assert comes(lambda: is_quiet(all_of_it))
        there, left = all_of_it.site.store.do(everything)
    noted = all_of_it.noted
    states = Counter(one.state for one in there.values())
    print(states, noted.killed, noted.reasons, len(noted.votes), len(all_of_it.taken))  # noqa: T201 - what was done
    assert noted.asked <= there.keys()
    for id_, person in noted.votes:
        assert [vote.approver.person for vote in there[id_].votes].count(person) == 1
    for one in there.values():
        explained(one)
    passes(list(there.values()), left, noted.passed)
    told(there, all_of_it)
    assert states["approved"]
    assert states["expired"]


def is_quiet(all_of_it: Dying) -> bool:
    """Whether everybody was told of everything, and nothing expires any more."""

    async def look(store: Store) -> bool:
        counts = (await store.letter_counts(now=time.time())).values()
        untold = await store.letters(most=1) or any(one.waiting or one.dead for one in counts)
        return not untold and not await store.due_approvals(most=1, now=time.time() + 60)

    return all_of_it.site.store.do(look)


async def everything(store: Store) -> tuple[Mapping[str, Approval], Sequence[Grant]]:
    """All approvals, and the grants that are left of them."""
    found: dict[str, Approval] = {}
    before = ""
    while True:
        page = await store.approvals(ApprovalQuery(), most=500, before=before)
        found |= {one.id: one for one in page.approvals}
        before = page.next
        if not before:
            return found, await store.grants(Selection(), now=time.time())


def explained(one: Approval) -> None:
    """Hold its state to its votes, and its version to what has happened to it."""
    voters = [vote.approver.person for vote in one.votes]
    assert len(set(voters)) == len(voters)
    assert set(voters) <= set(PEOPLE)
    stances = [vote.stance for vote in one.votes]
    assert "deny" not in stances[:-1]
    match one.state:
        case "approved":
            assert stances == ["approve"] * NEEDED
        case "denied":
            assert stances[-1] == "deny"
            assert len(stances) <= NEEDED
        case "pending":
            assert stances in ([], ["approve"])
            assert one.rule != "bank/late"
        case "expired":
            assert (one.rule, stances) == ("bank/late", [])
        case _:
            raise AssertionError(one)
    assert one.version == 1 + len(one.votes) + one.escalated + (one.state == "expired")


def passes(approvals: Sequence[Approval], left: Sequence[Grant], passed: Mapping[str, int]) -> None:
    """Each approval has let one Check through, or its grant is there."""
    approved = Counter(one.subject.id for one in approvals if one.state == "approved")
    unused = Counter(grant.subject.id for grant in left)
    assert {grant.id for grant in left} <= {one.id for one in approvals if one.state == "approved"}
    assert approved == Counter(passed) + unused


def told(there: Mapping[str, Approval], all_of_it: Dying) -> None:
    """Each event was taken at least once, by one id and with the same content each time."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for one in all_of_it.taken:
        bodies[one.headers["webhook-id"]].add(one.body)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for event, said in bodies.items():
        (body,) = said
        content = json.loads(body)
        id_ = content["data"]["id"]
        assert content["id"] == event
        kinds[id_][content["type"].rpartition(".")[2]] += 1
    assert kinds == {
        id_: +Counter(
            {"opened": 1, "voted": len(one.votes), "escalated": one.escalated}
            | ({one.state: 1} if one.state != "pending" else {})
        )
        for id_, one in there.items()
    }
