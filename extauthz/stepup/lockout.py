"""How many wrong codes are put up with, and how long the pause grows after that.

The rule: a try is counted before its code is looked at and given back when it was right, so that no number of tries at
the same moment gets more than the limit allows. The counting itself is one call of the store.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from extauthz.values.identity import Subject

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limiter: its key and its schedule.

    The first `free` tries cost nothing; the last of them and each one after it locks for `pause` seconds, doubled each
    time, up to `longest`. What was counted is forgotten `memory` seconds after the last lock has ended. `resets`: a
    right code forgets all of it; otherwise it only takes back its own try.
    """

    key: str
    free: int
    pause: float
    longest: float
    memory: float
    resets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a store keeps for one key: tries counted, locked until, forgotten at; seconds since the epoch."""

    tries: int = 0
    locked_until: float = 0.0
    forgotten_at: float = 0.0


FRESH: Final = Tally()


def limits_of(subject: Subject, address: str) -> tuple[Limit, ...]:
    """The limiters of one try: the subject's, and that of the client's address if it is known.

    A day's pause leaves a guesser one try a day with a chance of three in a million. Many people may share an address,
    and whoever has a factor can reset nothing there: it puts up with more tries, and success takes back its own only.
    """
    limits = [
        Limit(key=f"subject:{subject.key}", free=5, pause=30.0, longest=DAY, memory=DAY, resets=True),
    ]
    if address:
        limits.append(
            Limit(
                key=f"address:{_network(address)}",
                free=30,
                pause=30.0,
                longest=HOUR,
                memory=HOUR,
                resets=False,
            )
        )
    return tuple(limits)


def count(tally: Tally, limit: Limit, now: float) -> Tally:
    """The tally after one more try at `now`."""
    tries = (tally.tries if now < tally.forgotten_at else 0) + 1
    over = tries - limit.free
    locked_until = now
    if over >= 0:
        # 2**40 pauses are beyond any ceiling; without a bound the power would overflow a float.
        locked_until = now + min(limit.pause * 2.0 ** min(over, 40), limit.longest)
    return Tally(tries=tries, locked_until=locked_until, forgotten_at=locked_until + limit.memory)


def give_back(tally: Tally, limit: Limit, now: float) -> Tally:
    """The tally after the try that was counted last turned out right."""
    if limit.resets or tally.tries <= 1:
        return FRESH
    return replace(tally, tries=tally.tries - 1, locked_until=min(tally.locked_until, now))


def _network(address: str) -> str:
    """An IPv6 client owns at least a /64: its address alone would be a limiter that it can leave at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
