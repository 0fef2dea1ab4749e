"""Limiters in a Redis: what they hold, and the holders that they know.

The rule: each limiter has a slot of its own, so a try that one of them refuses is given back to those that have counted
it meanwhile.
"""

from collections.abc import Sequence

from extauthz.stepup.lockout import KNOWN_SECONDS, MOST_KNOWN, SKEW, Limit
from extauthz.store.key_digest import digest
from extauthz.store.protocol import Tried
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import tally_key, try_in
from extauthz.store.redis_scripts import ATTEMPT, GIVE_BACK, KNOW, Run


class RedisLimits:
    """The limiters behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix

    async def attempt(self, limits: Sequence[Limit], now: float) -> Tried:
        """As `Store.attempt`."""
        replies = await self._calls.run(*(self._attempt(limit, now) for limit in limits))
        counts = list(zip(limits, map(try_in, replies), strict=True))
        own = [one for _, one in counts if one.which == "own"]
        asked = own[:1] or [one for _, one in counts]
        wait = max((one.wait for one in asked), default=0.0)
        locks = 0.0 if wait else max((one.locks for one in asked), default=0.0)
        if not own and wait == 0:
            return Tried(counted=tuple(limits), locks=locks)
        counted = [limit for limit, one in counts if one.which == "all" and one.wait == 0]
        await self._calls.run(*(self._give_back(limit, now) for limit in counted))
        return Tried(wait=wait, locks=locks)

    async def give_back(self, limits: Sequence[Limit], known_to: Limit | None, now: float) -> None:
        """Give back a try that was right, and know its holder from now on."""
        knowing = () if known_to is None else (self._know(known_to, now, counted_elsewhere=bool(limits)),)
        await self._calls.run(*(self._give_back(limit, now) for limit in limits), *knowing)

    async def forget(self, limits: Sequence[Limit]) -> None:
        """Forget what these hold and know."""
        keys = [self._keys(limit) for limit in limits]
        await self._calls.exchange(*(Command(key=names[0], words=("DEL", *names)) for names in keys))

    def _keys(self, limit: Limit) -> tuple[str, str]:
        tally = tally_key(self._prefix, limit.key)
        return tally, f"{tally}:known"

    def _attempt(self, limit: Limit, now: float) -> Run:
        schedule = (limit.free, repr(limit.pause), repr(limit.longest), repr(limit.memory), repr(SKEW))
        holder = digest(limit.holder) if limit.holder else ""
        return Run(script=ATTEMPT, keys=self._keys(limit), arguments=(repr(now), *schedule, holder))

    def _give_back(self, limit: Limit, now: float) -> Run:
        tally, _ = self._keys(limit)
        return Run(script=GIVE_BACK, keys=(tally,), arguments=(repr(now), repr(limit.memory)))

    def _know(self, limit: Limit, now: float, *, counted_elsewhere: bool) -> Run:
        _, known = self._keys(limit)
        becomes = "empty" if limit.forgives else "kept" if counted_elsewhere else "back"
        until = (repr(now + KNOWN_SECONDS), int(KNOWN_SECONDS) + 1)
        arguments = (digest(limit.holder), *until, MOST_KNOWN, repr(now), repr(limit.memory), becomes)
        return Run(script=KNOW, keys=(known,), arguments=arguments)
