"""A process that is killed in the middle of its work: `worker.py URL FOLDER`.

Proves with one step after the other, each of which leaves a grant for one use, uses up every other grant, and says of
each thing that it is done as soon as the store has said so.
"""

import asyncio
import sys
from pathlib import Path
from unittest.mock import patch

from stepup.proofs import ALICE, NOW
from store.parts import grant, redemption

from extauthz.store import redis, redis_calls, sqlite_grants
from extauthz.store.open import open_store
from extauthz.store.protocol import Redeemed


async def work(url: str, folder: Path) -> None:
    """Until it is killed."""
    store = open_store(url, base=folder)
    for step in range(1, 1_000_000):
        id_ = f"g{step}"
        assert await store.redeem(redemption(grant(id_, uses=1), step=step, ticket=id_), now=NOW) is Redeemed.DONE
        print("proven", step, flush=True)  # noqa: T201 - the parent reads it
        if step % 2:
            assert await store.consume(ALICE, [id_], fingerprint="", now=NOW)
            print("used", step, flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    # The machine is busy, and every call shall be answered; and nothing goes for want of room.
    with (
        patch.object(redis_calls, "CALL_SECONDS", 60.0),
        patch.object(redis, "MOST_GRANTS", 10**6),
        patch.object(sqlite_grants, "MOST_GRANTS", 10**6),
    ):
        asyncio.run(work(sys.argv[1], Path(sys.argv[2])))
