"""Processes that write approvals and are killed at any moment: `mayhem.py URL FOLDER ROUNDS SEED`.

In each round two processes go on with what is in the store: they open approvals, vote on what is pending, use up what
was left, and deliver letters. Each writes into `journal` what it was told, as soon as it was, and then both are killed.
There are more rounds where the machine is so slow that nothing was used up in these.
"""

import asyncio
import os
import random
import signal
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from unittest.mock import patch

import msgspec
from store.parts import approval, given, letter

from extauthz.errors import StateUnavailable
from extauthz.store import redis, redis_calls  # noqa: F401 - a child lives for less time than `redis` takes to import
from extauthz.store.approvals import ApprovalQuery, Opened, Replaced
from extauthz.store.open import open_store
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Approver, Vote
from extauthz.values.identity import Subject
from extauthz.values.letters import Letter

PROCESSES = 2
LONGEST = 0.12
"""Seconds after which they are killed at the latest."""
MOST = 10
"""Times as many rounds at most."""
LEASE = 0.05
NEEDED = 3
"""So many votes leave a grant."""
KEEP = 86_400.0


class Journal:
    """A file that survives who writes into it: a line is there as soon as it was written."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: str) -> None:
        os.write(self._file, (" ".join(words) + "\n").encode())


def person(id_: str) -> Subject:
    return Subject("https://idp.example.com", id_)


def told(of: str, version: int, now: float) -> Letter:
    """The letter that tells of this version."""
    return letter(f"{of}-{version}", event=f"event-{of}-{version}", approval=of, at=now)


class Worker:
    """One of the processes."""

    def __init__(self, store: Store, journal: Journal, name: str, chance: random.Random) -> None:
        self._store, self._journal, self._name, self._chance = store, journal, name, chance
        self._number = 0

    async def go_on(self) -> None:
        """Do one thing or another."""
        self._number += 1
        act = self._chance.choices([self._open, self._vote, self._use, self._deliver], [2, 5, 2, 3])[0]
        try:
            await act()
        except StateUnavailable:  # a server that was killed, too
            await asyncio.sleep(0.005)

    async def _open(self) -> None:
        now, id_ = time.time(), f"{self._name}.{self._number}"
        new = approval(
            id_, subject=person(id_), opened_at=now, expires_at=now + 3600, due_at=now + 3600, state_at=now, since=now
        )
        opening = await self._store.open_approval(new, letters=(told(id_, 1, now),), keep=KEEP, most_open=50, now=now)
        if opening.how is Opened.OPENED:
            self._journal.write("opened", id_)

    async def _vote(self) -> None:
        pending = await self._some("pending")
        if pending is None:
            return
        now, name = time.time(), f"{self._name}.{self._number}"
        approver = Approver(subject=person(name), person=name)
        votes = (*pending.votes, Vote(approver=approver, stance="approve", at=now))
        version, is_given = pending.version + 1, len(votes) == NEEDED
        new = msgspec.structs.replace(
            pending, version=version, votes=votes, state="approved" if is_given else "pending", state_at=now
        )
        left = given(pending.id, subject=pending.subject, issued_at=now, expires_at=now + 3600)
        done = await self._store.replace_approval(
            new,
            version=pending.version,
            grants=(left,) if is_given else (),
            letters=(told(pending.id, version, now),),
            keep=KEEP,
            now=now,
        )
        if done is Replaced.DONE:
            self._journal.write("voted", pending.id, name)

    async def _use(self) -> None:
        approved = await self._some("approved")
        if approved is not None:
            used = await self._store.consume(approved.subject, [approved.id], fingerprint="", now=time.time())
            if used:
                self._journal.write("used", approved.id)

    async def _deliver(self) -> None:
        for claim in await self._store.claim_letters("hook", most=3, lease=LEASE, now=time.time()):
            self._journal.write("delivered", claim.letter.id, claim.letter.event)
            await self._store.letter_done(claim.letter.id, claim.attempt, now=time.time())

    async def _some(self, state: str) -> Approval | None:
        page = await self._store.approvals(ApprovalQuery(states=frozenset({state})), most=10)  # type: ignore[arg-type]  # it is a state
        return self._chance.choice(page.approvals) if page.approvals else None


async def work(url: str, folder: Path, name: str, seed: str, begun: int) -> None:
    """Until it is killed."""
    store = open_store(url, base=folder)
    worker = Worker(store, Journal(folder / "journal"), name, random.Random(seed))  # noqa: S311 - not for secrets
    with suppress(StateUnavailable):  # the server may have been killed, too
        await store.approval("")
    os.write(begun, b".")
    while True:
        await worker.go_on()


def one_round(url: str, folder: Path, number: int, chance: random.Random) -> None:
    """Some processes work, and are killed."""
    children = []
    begun, begins = os.pipe()
    for process in range(PROCESSES):
        seed = f"{number} {process} {chance.random()}"
        child = os.fork()
        if child == 0:
            asyncio.run(work(url, folder, f"{number}.{process}", seed, begins))
        children.append(child)
    for _ in children:
        os.read(begun, 1)
    for child in children:
        time.sleep(chance.uniform(0, LONGEST / PROCESSES))
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    os.close(begun)
    os.close(begins)


if __name__ == "__main__":
    # The machine is busy, and every call shall be answered.
    with patch.object(redis_calls, "CALL_SECONDS", 60.0):
        fate = random.Random(sys.argv[4])  # noqa: S311 - not for secrets
        folder, rounds = Path(sys.argv[2]), int(sys.argv[3])
        for round_ in count():
            if round_ >= rounds and (round_ >= MOST * rounds or "\nused " in (folder / "journal").read_text()):
                break
            one_round(sys.argv[1], folder, round_, fate)
