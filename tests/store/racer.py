"""One of several processes that race for the same thing: `racer.py URL FOLDER RACE`.

Says `ready`, waits for a line, runs 100 calls at once, prints how many succeeded.
"""

import asyncio
import os
import sys
from pathlib import Path

from stepup.proofs import ALICE, NOW, SESSION
from store.parts import LIMIT, grant, redemption

from extauthz.store.open import open_store
from extauthz.store.protocol import Redeemed

CALLS = 100


async def race(url: str, folder: Path, kind: str) -> int:
    """How many of CALLS calls at once succeeded."""
    store = open_store(url, base=folder)
    await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)
    print("ready", flush=True)  # noqa: T201 - the parent waits for it
    sys.stdin.readline()
    who = os.getpid()
    if kind == "grant":
        used = (store.consume(ALICE, ["g1"], fingerprint=f"{who} {number}", now=NOW) for number in range(CALLS))
        succeeded = sum(await asyncio.gather(*used))
    elif kind == "proof":
        proofs = (
            store.use_proof("p1", expires_at=NOW + 90, fingerprint=f"{who} {number}", now=NOW)
            for number in range(CALLS)
        )
        succeeded = sum(await asyncio.gather(*proofs))
    elif kind == "step":
        made = (store.redeem(redemption(grant(f"{who} {number}")), now=NOW) for number in range(CALLS))
        succeeded = (await asyncio.gather(*made)).count(Redeemed.DONE)
    elif kind == "ticket":
        # Steps that differ, so that only the ticket stands in the way.
        made = (
            store.redeem(redemption(grant(f"{who} {number}"), step=who * CALLS + number, ticket="t"), now=NOW)
            for number in range(CALLS)
        )
        succeeded = (await asyncio.gather(*made)).count(Redeemed.DONE)
    else:
        tried = (store.attempt([LIMIT], now=NOW) for _ in range(CALLS))
        succeeded = (await asyncio.gather(*tried)).count(0)
    await store.close()
    return succeeded


if __name__ == "__main__":
    print(asyncio.run(race(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))  # noqa: T201 - the parent reads it
