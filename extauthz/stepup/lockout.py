"""How many wrong codes are put up with, and how long the pause grows after that.

The rules: a try is counted before its code is looked at and given back when it was right, so that no number of tries at
the same moment gets more than the limit allows; nobody's right codes buy anybody else a try. Who was right before, from
what only they hold, is counted apart, so that no guesser elsewhere locks them out. The counting itself is one call of
the store.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final

import msgspec

from extauthz.values.identity import Subject

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
KNOWN_SECONDS: Final = 30 * DAY
"""How long a holder is known after its last right code."""
MOST_KNOWN: Final = 16
"""How many holders are known of one limiter; the one goes whose last right code is the oldest."""

SKEW: Final = 0.01
"""By how much of a try the clocks of servers may differ before it counts as one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limiter: its key and its schedule.

    It holds tries: each one that is counted comes in, and one is forgotten in `memory` seconds, steadily. The try with
    which it holds `free` of them, and each one above, locks for `pause` seconds, doubled with each one above, up to
    `longest`. With `longest` no shorter than `memory` it holds never more than `most`, so that whoever tries, and
    however they wait in between, gets at most `most` tries and one more in each `memory`.

    `holder` is what the one who tries holds, empty if that is unknown. A holder that is known to the limiter, because
    it was right before, has a tally of its own on the same schedule.
    """

    key: str
    free: int
    pause: float
    longest: float
    memory: float
    holder: str = ""

    @property
    def forgives(self) -> bool:
        """Whether a right code forgets all that the holder got wrong: not where others may hold the same, who would
        get their tries back; there it takes back its own try alone.
        """
        return not self.holder.startswith("peer:")

    @property
    def most(self) -> int:
        """How many tries it can hold: those that cost nothing, and one for each pause up to the longest."""
        pauses = 1
        while self.pause * 2.0 ** (pauses - 1) < self.longest:
            pauses += 1
        return self.free - 1 + pauses


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What a store keeps of a limiter: until when it is locked, when it is empty if nothing comes; in epoch seconds."""

    locked_until: float = 0.0
    empty_at: float = 0.0

    def locks(self, now: float) -> float:
        """Seconds for which no try is made."""
        return max(self.locked_until - now, 0.0)


FRESH: Final = Tally()


def limits_of(subject: Subject, address: str, holder: str = "") -> tuple[Limit, ...]:
    """The limiters of one try: the subject's, and that of the client's address if it is known.

    The subject's leaves a guesser `most` tries (17) and one a day, with a chance of three in a million each. Many
    people may share an address: it puts up with more, and forgets sooner.
    """
    limits = [
        Limit(key=f"subject:{subject.key}", free=5, pause=30.0, longest=DAY, memory=DAY, holder=holder),
    ]
    if address:
        limits.append(
            Limit(
                key=f"address:{_network(address)}",
                free=30,
                pause=30.0,
                longest=HOUR,
                memory=120.0,
            )
        )
    return tuple(limits)


def count(tally: Tally, limit: Limit, now: float) -> Tally:
    """The tally after one more try at `now`."""
    empty_at = max(tally.empty_at, now) + limit.memory
    over = ceil((empty_at - now) / limit.memory - SKEW) - limit.free
    # Nothing, and not `now`: where the clock is set back, who was not locked stays so.
    locked_until = 0.0
    if over >= 0:
        # 2**40 pauses are beyond any ceiling; without a bound the power would overflow a float.
        locked_until = now + min(limit.pause * 2.0 ** min(over, 40), limit.longest)
    return Tally(locked_until=locked_until, empty_at=empty_at)


def give_back(tally: Tally, limit: Limit, now: float) -> Tally:
    """The tally as if a try that was counted had never come: it was right, or another limiter has refused it."""
    empty_at = tally.empty_at - limit.memory
    return FRESH if empty_at <= now else Tally(empty_at=empty_at)


def _network(address: str) -> str:
    """An IPv6 client owns at least a /64: its address alone would be a limiter that it can leave at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
