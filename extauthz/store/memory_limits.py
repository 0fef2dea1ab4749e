"""Limiters in the memory of one process. Whoever calls holds the lock of the store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from extauthz.stepup.lockout import FRESH, KNOWN_SECONDS, MOST_KNOWN, Limit, Tally, count, give_back
from extauthz.store.protocol import Tried


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    tally: Tally
    until: float


class MemoryLimits:
    """What limiters hold by their key, and the holders that they know."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._known: dict[str, dict[str, _Known]] = {}

    def attempt(self, limits: Sequence[Limit], now: float) -> Tried:
        """As `Store.attempt`."""
        for limit in limits:
            known = self._known.get(limit.key, {}).get(limit.holder)
            if known is not None and known.until > now:
                if known.tally.locked_until > now:
                    return Tried(wait=known.tally.locked_until - now)
                after = count(known.tally, limit, now)
                self._known[limit.key][limit.holder] = replace(known, tally=after)
                return Tried(locks=after.locks(now))
        tallies = [(limit, self._tallies.get(limit.key, FRESH)) for limit in limits]
        locked_until = max((tally.locked_until for _, tally in tallies), default=now)
        if locked_until > now:
            return Tried(wait=locked_until - now)
        counted = {limit.key: count(tally, limit, now) for limit, tally in tallies}
        self._tallies |= counted
        return Tried(counted=tuple(limits), locks=max((one.locks(now) for one in counted.values()), default=0.0))

    def give_back(self, limits: Sequence[Limit], known_to: Limit | None, now: float) -> None:
        """Give back a try that was right, and know its holder from now on."""
        for limit in limits:
            self._tallies[limit.key] = give_back(self._tallies.get(limit.key, FRESH), limit, now)
        if known_to is not None:
            holders = dict(self._known.get(known_to.key, {}))
            known = holders.get(known_to.holder)
            tally = FRESH
            if known is not None and known.until > now and not known_to.forgives:
                tally = known.tally if limits else give_back(known.tally, known_to, now)
            holders[known_to.holder] = _Known(tally=tally, until=now + KNOWN_SECONDS)
            lasting = sorted(holders, key=lambda holder: (holders[holder].until, holder), reverse=True)
            self._known[known_to.key] = {holder: holders[holder] for holder in lasting[:MOST_KNOWN]}

    def forget(self, limits: Sequence[Limit]) -> None:
        """Forget what these hold and know."""
        for limit in limits:
            self._tallies.pop(limit.key, None)
            self._known.pop(limit.key, None)

    def sweep(self, now: float) -> None:
        """Forget what changes no answer any more."""
        self._tallies = {
            key: tally for key, tally in self._tallies.items() if max(tally.empty_at, tally.locked_until) > now
        }
        self._known = {
            key: left
            for key, holders in self._known.items()
            if (left := {holder: known for holder, known in holders.items() if known.until > now})
        }
