"""The part of the protocol of stores that keeps letters until they are delivered.

The rules: a letter that tells of an approval is written with its change, in one step; others are put, and of those
there is a most. A letter is there until it was delivered, so it is delivered at least once. Who has claimed one has it
alone for a while; what is said of it later, after somebody else has claimed it, changes nothing, unless it was
delivered.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState

DEAD_SECONDS: Final = 30 * 86_400.0
"""How long a letter is kept that was given up."""
WAITING_SECONDS: Final = 60 * 86_400.0
"""How long a letter is kept that nobody claims: its sink may be configured no more."""


class LetterStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def put_letters(self, sink: str, letters: Sequence[Letter], *, most: int, now: float) -> int:
        """Keep new letters of this sink, the first of them, while no more than `most` of it wait; how many are kept.

        Of its dead ones no more than `most` stay, the newest. Where several servers put letters at one time there may
        be a few more.
        """

    async def claim_letters(self, sink: str, *, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        """Letters of this sink that are due, those first that have been for longest; they are due again in `lease`
        seconds."""

    async def letter_done(self, id_: str, attempt: int, *, now: float) -> bool:
        """Forget a letter that was delivered, by whomever; false if it is not there."""

    async def letter_later(self, id_: str, attempt: int, *, due_at: float, error: str, now: float) -> bool:
        """Let it be due at `due_at`; false if somebody else has claimed it since, or it is not there."""

    async def letter_dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        """Give it up; false if somebody else has claimed it since, or it is not there."""

    async def letters(
        self, *, dead: bool | None = None, sink: str | None = None, most: int, after: str = ""
    ) -> tuple[LetterState, ...]:
        """Letters by id, those alone that follow the id `after`: dead ones, others, or all for `None`; of a sink."""

    async def replay_letters(self, ids: Sequence[str] | None = None, sink: str | None = None, *, now: float) -> int:
        """Let dead letters be due at once as if they were new, those with these ids, of this sink; how many."""

    async def letter_counts(self, *, now: float) -> Mapping[str, LetterCounts]:
        """How many there are, by sink; a sink without any may be missing."""
