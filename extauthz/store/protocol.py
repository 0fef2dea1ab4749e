"""The protocol of stores: grants, burned tickets, steps and proofs, factors, limiters, revocations (design section 5).

The rules: what must be atomic is one call; a call that raises has changed nothing that the caller may count on; and
when a store is out of reach, for whatever reason, every call raises `StateUnavailable`, never anything else. All times
are seconds since the epoch and come from the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from extauthz.stepup.lockout import Limit
from extauthz.store.revocations import RevocationStore
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

CLOCK_SKEW: Final = 300.0
"""How long what was burned is remembered beyond its own end: other replicas' clocks may be behind."""
SWEEP_SECONDS: Final = 60.0
"""How often, at most, what has expired is removed in passing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpFactor:
    """One authenticator app of a subject.

    `sealed` is the secret as `KeyRing.seal` made it for the place (subject, id). `last_step` is the newest step that
    was burned; no step up to it is good. A factor that is not `confirmed` proves nothing yet.
    """

    id: str
    subject: Subject
    sealed: str
    created_at: float
    confirmed: bool
    last_step: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentTicket:
    """A challenge ticket that a redemption burns."""

    id: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpStep:
    """A step of a factor that a redemption burns."""

    factor: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """A proof that was found right: what it burns, what it leaves, and the limiters that get the try back."""

    step: TotpStep
    grants: tuple[Grant, ...]
    limits: tuple[Limit, ...]
    ticket: SpentTicket | None = None


class Redeemed(Enum):
    """How a redemption went; anything but `DONE` has changed nothing."""

    DONE = "done"
    TICKET_USED = "ticket-used"
    STEP_USED = "step-used"
    FACTOR_GONE = "factor-gone"


class Store(RevocationStore, Protocol):
    """State shared by all processes that open the same one. Every method raises `StateUnavailable`."""

    async def grants(self, subject: Subject, session: str, *, fingerprint: str, now: float) -> tuple[Grant, ...]:
        """The grants of this subject in this session that are good at `now`, oldest first.

        A grant whose last use was spent by `fingerprint` no more than REPEAT_SECONDS ago is among them, with one use:
        the same Check sent again may rest on it again. An empty fingerprint is that of no Check.
        """

    async def consume(self, grants: Sequence[str], *, fingerprint: str, now: float) -> bool:
        """Use up one use of each of these grants, by id; false, and nothing used, if one of them has none left.

        What `fingerprint` has used no more than REPEAT_SECONDS ago costs it nothing again.
        """

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        """Burn the ticket and the step, leave the grants, give back the try: all of it or nothing.

        A ticket is burned once; a step only if it is newer than every one that was burned of its factor.
        """

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        """Remember that a proof of possession was used, by its id, until `expires_at`; false if it was used before.

        The Check that has used it, sent again no more than REPEAT_SECONDS later, uses it no second time. An empty
        fingerprint is that of no Check.
        """

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> float:
        """Count one try in each limiter and return 0, or return the seconds to wait and count nothing."""

    async def add_factor(self, factor: TotpFactor) -> None:
        """Remember a factor under its id, which is new."""

    async def confirm_factor(self, step: TotpStep) -> bool:
        """Burn this step and let its factor prove from now on; false if the factor is gone or the step is burned."""

    async def factors(self, subject: Subject | None) -> tuple[TotpFactor, ...]:
        """The factors of a subject, of everybody for `None`; oldest first."""

    async def remove_factor(self, factor: str) -> bool:
        """Forget one factor, by id; false if it is not there. What it proved stays good."""

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit]) -> int:
        """Forget the factors and the grants of a subject, and what these limiters counted; how many factors it had.

        Grants go with the factor: who resets because a phone was stolen wants what it proved to end, too.
        """

    async def ping(self) -> None:
        """Return if the store can be written to."""

    async def close(self) -> None:
        """Let go of it; closing twice is fine. Every other call raises `StateUnavailable` from then on."""
