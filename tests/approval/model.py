"""Approvals told naively, by people instead of names, groups and subjects: what the real ones must come to.

Nothing here is taken from the code that it is held against: it knows who everybody is, which that code has to find out.
"""

from dataclasses import dataclass, field
from typing import Literal

PEOPLE = ("anna", "ben", "cleo", "dora", "uma", "vic")
TREASURY = {"anna", "ben", "cleo", "uma", "vic"}
BOARD = {"dora"}
WAITS, COOLDOWN, VALID, WIDENS, HALF_A_DAY = 900.0, 600.0, 300.0, 120.0, 43_200.0

Rule = Literal["one", "two", "duty"]
RULES: tuple[Rule, ...] = ("one", "two", "duty")
NEEDED: dict[Rule, int] = {"one": 1, "two": 2, "duty": 1}
DENIALS: dict[Rule, int] = {"one": 1, "two": 2, "duty": 1}


@dataclass(frozen=True, slots=True)
class Away:
    """Somebody is away, and who answers for them."""

    id: str
    who: str
    delegate: str | None
    since: float
    until: float


@dataclass(slots=True)
class Ballot:
    """A vote that was taken: who has given it, and in whose place."""

    by: str
    place_of: str | None
    approves: bool


@dataclass(slots=True)
class Told:
    """One approval. `last` is when something has happened to it, `uses` how often its grant was used."""

    rule: Rule
    asking: frozenset[str]
    requester: str
    session: str
    opened: float
    last: float
    state: str = "pending"
    ballots: list[Ballot] = field(default_factory=list)
    given_at: float = 0.0
    denied_at: float = 0.0
    broken: bool = False
    reviewed: bool = False
    taken_back: bool = False
    uses: int = 0

    @property
    def spent(self) -> set[str]:
        """The people whose votes are taken."""
        return {name for one in self.ballots for name in (one.by, one.place_of) if name is not None}

    def denies(self, now: float) -> bool:
        """Whether nobody is to be asked for the same: it was denied, or taken back when somebody was against it."""
        return self.state in ("denied", "cancelled") and self.denied_at > 0 and now < self.denied_at + COOLDOWN

    def look(self, now: float) -> float:
        """Let it expire if that is due; its own time."""
        moment = max(now, self.last)
        if self.state == "pending" and moment >= self.opened + WAITS:
            self.state = "expired"
            self.last = self.opened + WAITS
        return moment

    def answer(self, who: str, approves: bool, away: list[Away], now: float) -> bool:
        """Somebody answers; whether that counts."""
        moment = self.look(now)
        if self.state != "pending" or who in self.spent:
            return False
        able = [name for name in self.right_of(who, away, moment, now) if name not in self.spent]
        if not able:
            return False
        self.ballots.append(Ballot(who, None if able[0] == who else able[0], approves))
        self.last = moment
        if sum(not one.approves for one in self.ballots) >= DENIALS[self.rule]:
            self.state, self.denied_at = "denied", moment
        elif sum(one.approves for one in self.ballots) >= NEEDED[self.rule]:
            self.state, self.given_at = "approved", moment
        return True

    def right_of(self, who: str, away: list[Away], moment: float, now: float) -> list[str]:
        """By whose right this person may answer, themselves first."""
        if who in self.asking:
            return []
        own = [who] if self.is_asked(who, away, moment, now, own=True) else []
        absent = [one.who for one in current(away, now) if one.delegate == who and one.who not in self.asking]
        return own + [name for name in absent if self.is_asked(name, away, moment, now, own=False)]

    def is_asked(self, who: str, away: list[Away], moment: float, now: float, *, own: bool) -> bool:
        """Whether the rule asks this person; by their own hand, or in their place."""
        if self.rule == "duty":
            is_away = any(one.who == who for one in current(away, now))
            return who == on_duty(now) and not (own and is_away)
        return who in TREASURY or (self.rule == "two" and who in BOARD and moment - self.opened >= WIDENS)

    def is_good(self, requester: str, session: str, now: float) -> bool:
        """Whether its grant is there for this caller."""
        return (
            self.state == "approved"
            and not self.taken_back
            and self.uses == 0
            and (self.requester, self.session) == (requester, session)
            and now < self.given_at + VALID
        )

    def holds(self, asking: set[str]) -> bool:
        """Whether it is enough where these ask: who acts for the caller now may have answered then."""
        if self.broken:
            return True
        counted = [one for one in self.ballots if one.approves and not {one.by, one.place_of} & asking]
        return len(counted) >= NEEDED[self.rule]


def current(away: list[Away], now: float) -> list[Away]:
    """The absences of the moment, in the order in which they began."""
    found = [one for one in away if one.since <= now < one.until]
    return sorted(found, key=lambda one: (one.since, one.id))


def on_duty(now: float) -> str:
    """Who is on call: anna before noon (UTC), ben after."""
    return "anna" if now % 86_400 < HALF_A_DAY else "ben"
