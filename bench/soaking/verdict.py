"""What became of every request, and whether it is as it must be.

The rules: each kind of request has the reasons that the policy gives it, worked out by hand and not by extauthz. Any
other reason is an error, unless it came within a fault that may cause it; to be let through where the policy says no is
wrong, whatever went on. A machine that stalls is a fault too, and is measured: whoever wakes too late was not let run.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

ALLOWED: Final = "allowed"
LATE: Final = 10.0
"""Seconds for which somebody may still hear of a fault that is over, unless it says otherwise."""


@dataclass(kw_only=True)
class Fault:
    """Something that was broken from `began` until `ended` (by the monotonic clock), and what that may cause.

    `causes` are reasons, `opens` whether it may also change who is let through, `kinds` of which requests (all if
    empty), and `after` for how many seconds more.
    """

    name: str
    began: float
    causes: frozenset[str]
    kinds: frozenset[str] = frozenset()
    opens: bool = False
    after: float = LATE
    ended: float = float("inf")

    def explains(self, asked: "Asked") -> bool:
        """Whether this request may have been answered so because of it."""
        if self.kinds and asked.kind not in self.kinds:
            return False
        if asked.reason not in self.causes or (asked.reason == ALLOWED and not self.opens):
            return False
        return asked.began <= self.ended + self.after and asked.ended >= self.began


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: when it was sent and answered, why it was decided so, and the reasons that are right."""

    kind: str
    began: float
    ended: float
    reason: str
    right: frozenset[str]


@dataclass(kw_only=True)
class Verdict:
    """All requests so far, since `began`."""

    began: float = field(default_factory=time.monotonic)
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    odd: list[Asked] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def minute(self, asked: Asked) -> float:
        """When it was sent, since the start."""
        return (asked.began - self.began) / 60

    def take(self, asked: Asked) -> None:
        """Count one."""
        self.counts.setdefault(asked.kind, Counter())[asked.reason] += 1
        taken = self.seconds.setdefault(asked.kind, [])
        if len(taken) < 200_000:
            taken.append(asked.ended - asked.began)
        if asked.reason not in asked.right:
            self.odd.append(asked)

    @contextmanager
    def fault(
        self,
        name: str,
        *causes: str,
        kinds: frozenset[str] = frozenset(),
        opens: bool = False,
        after: float = LATE,
    ) -> Iterator[None]:
        """Within it something is broken."""
        fault = Fault(
            name=name, began=time.monotonic(), causes=frozenset(causes), kinds=kinds, opens=opens, after=after
        )
        self.faults.append(fault)
        self.happened[name] += 1
        try:
            yield
        finally:
            fault.ended = time.monotonic()

    def stalled(self, began: float, ended: float) -> None:
        """Nobody was let run for this long."""
        causes = frozenset({"state-unavailable", "revocations-stale", "overloaded", "deadline", "envoy-503"})
        self.faults.append(Fault(name="stall of the machine", began=began, ended=ended, causes=causes, after=1.0))
        self.happened["stall of the machine"] += 1

    def explained(self) -> tuple[Mapping[str, Counter[str]], list[Asked], list[Asked]]:
        """By fault what it has caused; what nothing explains; and of that, who was let through wrongly."""
        by_fault: dict[str, Counter[str]] = {}
        unexplained = []
        for asked in self.odd:
            # What was broken on purpose, before what the machine did by itself.
            found = [fault for fault in self.faults if fault.explains(asked)]
            found.sort(key=lambda fault: fault.name == "stall of the machine")
            if found:
                by_fault.setdefault(found[0].name, Counter())[f"{asked.kind}: {asked.reason}"] += 1
            else:
                unexplained.append(asked)
        return by_fault, unexplained, [asked for asked in unexplained if asked.reason == ALLOWED]
