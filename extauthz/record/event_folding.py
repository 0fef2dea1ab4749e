"""How often somebody is told of one thing, and what becomes of what is more.

The rule kept here: whatever is not passed on is counted, and the count comes out once, when its time is over. So what
was passed on and what was counted is together all that there was.

Pure: the time is an argument, in seconds that only go on.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from extauthz.record.event_types import EventKind, Happening
from extauthz.values.rate import Rate

DEFAULT: Final = Rate(most=10, seconds=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """So many events of a kind, under a rule or, without one, with a reason, that were not told one by one: the first
    at `from_ns`, the last at `until_ns`, in nanoseconds since the epoch. `example` is the decision of the first, empty
    where it has none."""

    kind: EventKind
    rule: str
    reason: str
    count: int
    from_ns: int
    until_ns: int
    example: str


class _Window(msgspec.Struct):
    ends_at: float
    passed: int = 0
    folded: int = 0
    from_ns: int = 0
    until_ns: int = 0
    example: str = ""


class Folding:
    """Passes on so many of a kind and a rule within a time, by `rate`, and counts the rest.

    There are as many counts at a time as kinds and rules: no client makes one.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        # By when they end: all last as long, and time only goes on.
        self._windows: dict[tuple[EventKind, str, str], _Window] = {}

    def passes(self, happening: Happening, now: float) -> bool:
        """Whether this is told by itself; if not, it is counted."""
        key = (happening.kind, happening.rule, happening.reason)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now + self._rate.seconds)
        if window.passed < self._rate.most:
            window.passed += 1
            return True
        if not window.folded:
            window.from_ns = window.until_ns = happening.at_ns
            window.example = happening.decision_id
        window.folded += 1
        window.from_ns = min(window.from_ns, happening.at_ns)
        window.until_ns = max(window.until_ns, happening.at_ns)
        return False

    def due(self, now: float) -> list[Folded]:
        """What was counted where the time is over, each once; from then on as many are passed on again."""
        over = []
        for key, window in self._windows.items():
            if window.ends_at > now:
                break
            over.append(key)
        return self._end(over)

    def rest(self) -> list[Folded]:
        """What was counted and did not come out yet: nothing follows."""
        return self._end(list(self._windows))

    def _end(self, keys: list[tuple[EventKind, str, str]]) -> list[Folded]:
        ended = [(key, self._windows.pop(key)) for key in keys]
        return [
            Folded(
                kind=kind,
                rule=rule,
                reason=reason,
                count=window.folded,
                from_ns=window.from_ns,
                until_ns=window.until_ns,
                example=window.example,
            )
            for (kind, rule, reason), window in ended
            if window.folded
        ]
