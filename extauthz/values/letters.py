"""What is to be told to whom: one letter for each event, of an approval or another one, and each addressee of it.

The rule: a letter says by itself all that is sent, so that it can be sent long after what it tells of is gone. A store
keeps it and never looks into it.
"""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

EventKind = Literal[
    "opened", "voted", "escalated", "approved", "denied", "expired", "cancelled", "broken-glass", "reviewed", "revoked"
]
"""What happened to an approval."""
EVENT_KINDS: Final[tuple[EventKind, ...]] = (
    "opened",
    "voted",
    "escalated",
    "approved",
    "denied",
    "expired",
    "cancelled",
    "broken-glass",
    "reviewed",
    "revoked",
)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """Tells of the `event` (its id) that happened at `at`, in seconds since the epoch, and what `kind` of event it is:
    an `EventKind` of the `approval` (its id), or, where that is empty, one of the event stream.

    `sink` is whose turn it has to wait for: a webhook by its name, or all mail. `to` is the address within it, empty
    where the sink is one. `id` is made of event, sink and address, so that what happens once is told once to each.
    `content` is what the letter says, for whoever sends it.
    """

    id: str
    sink: str
    to: str
    event: str
    kind: str
    approval: str
    at: float
    content: bytes


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that nobody else sends for a while; `attempt` counts how often it was claimed, this time included."""

    letter: Letter
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterState:
    """How it stands with a letter that is not delivered: next due at `due_at`, or given up at `dead_at`.

    `attempts` are those that were begun; `error` says what became of the last one, for the operator. Times in seconds
    since the epoch.
    """

    letter: Letter
    attempts: int
    due_at: float
    error: str = ""
    dead_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterCounts:
    """How many letters of a sink wait, and are dead; `oldest_at` is when the oldest event happened that waits."""

    waiting: int
    dead: int
    oldest_at: float | None = None
