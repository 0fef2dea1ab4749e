"""One of several processes that want the same thing, in one race after the other.

Reads a line `[URL, FOLDER, RACE, CALLS]` for each of them. Then it says `ready`, waits for a line, makes so many calls
at once and prints how many succeeded.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import crowd
from store.parts import FIRST, LIMIT, enrolment, factor, grant, redemption

from extauthz.store import redis_calls
from extauthz.store.open import open_store
from extauthz.store.protocol import Changed, Redeemed, Redemption, Store, UseUp
from extauthz.values.identity import Subject


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One call: a name that no other has, and its number in this process."""

    who: str
    number: int


Race = Callable[[Store, Turn], Coroutine[Any, Any, bool]]
BOB = Subject(ALICE.issuer, "bob")


async def use_grant(store: Store, turn: Turn) -> bool:
    """Use up the grant `g1`."""
    return bool(await store.consume(ALICE, ["g1"], fingerprint=turn.who, now=NOW))


async def use_proof(store: Store, turn: Turn) -> bool:
    """Use the proof of possession `p1`."""
    return await store.use_proof("p1", expires_at=NOW + 90, fingerprint=turn.who, now=NOW)


async def use_step(store: Store, turn: Turn) -> bool:
    """Prove with a step of the app `f1`."""
    return await store.redeem(redemption(grant(turn.who)), now=NOW) is Redeemed.DONE


async def use_ticket(store: Store, turn: Turn) -> bool:
    """Prove with a ticket and steps that differ, so that only the ticket stands in the way."""
    step = os.getpid() * 10_000 + turn.number
    return await store.redeem(redemption(grant(turn.who), step=step, ticket="t"), now=NOW) is Redeemed.DONE


async def use_code(store: Store, turn: Turn) -> bool:
    """Prove with the recovery code `r1`."""
    proof = Redemption(subject=ALICE, burn=UseUp(factor="r1"), grants=(grant(turn.who),))
    return await store.redeem(proof, now=NOW) is Redeemed.DONE


async def be_first(store: Store, turn: Turn) -> bool:
    """Enroll the first factor of Bob."""
    first = enrolment(factor(turn.who, BOB), ground=FIRST)
    return await store.enroll(first, now=NOW) is Changed.DONE


async def remove(store: Store, turn: Turn) -> bool:
    """Remove one of the apps of Alice, who has two."""
    return await store.remove_factor(ALICE, ("f0", "f1")[turn.number % 2], now=NOW) is Changed.DONE


async def guess(store: Store, _: Turn) -> bool:
    """Make a try that is counted."""
    return (await store.attempt([LIMIT], now=NOW)).wait == 0


RACES: dict[str, Race] = {
    "grant": use_grant,
    "proof": use_proof,
    "step": use_step,
    "ticket": use_ticket,
    "code": use_code,
    "first": be_first,
    "last": remove,
    "tries": guess,
}


async def race(url: str, folder: Path, kind: str, calls: int) -> int:
    """How many of so many calls at once succeeded."""
    store = open_store(url, base=folder)
    await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)
    print("ready", flush=True)  # noqa: T201 - the parent waits for it
    sys.stdin.readline()
    succeeded = await crowd(
        RACES[kind](store, Turn(who=f"{os.getpid()} {number}", number=number)) for number in range(calls)
    )
    await store.close()
    return sum(succeeded)


if __name__ == "__main__":
    # The machine is busy, and every call shall be answered.
    with patch.object(redis_calls, "CALL_SECONDS", 60.0):
        for line in sys.stdin:
            url, folder, kind, calls = json.loads(line)
            print(asyncio.run(race(url, Path(folder), kind, calls)), flush=True)  # noqa: T201 - the answer
