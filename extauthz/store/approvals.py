"""The part of the protocol of stores that keeps approvals, who is away, and who waits for news of approvals.

The rules: a change of an approval, the grants that it leaves or takes back, and the letters that tell of it are one
step, done whole or not at all, and only on the version that was read. Whoever begins to listen and then looks misses
no change, unless a Redis loses a message; so who waits looks once more when the wait is over.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from extauthz.values.approvals import Absence, Approval, State
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.letters import Letter

MOST_FINAL: Final = 1000
"""How many approvals of a subject are kept that are over: beyond that the one goes that would be the first to go, but
denials that still count and break-glasses without a review last."""
MOST_ALIKE: Final = 4
"""For how many sessions and holders a subject may have asked for the same at a time: somebody may begin anew elsewhere,
and nobody is asked again and again. One that was cancelled counts until it would have expired."""
MOST_ABSENCES: Final = 10_000
"""How many absences there are at a time."""
MOST_NEWS: Final = 10_000
"""Of how many changes a listener is told one by one; one that has missed more is told to look at everything."""


class Opened(Enum):
    """How an opening went; anything but `OPENED` has changed nothing.

    `JOINED`: another approval has its key, or denies what it asks for. `FULL`: its subject has enough that are pending,
    in all or of this. `BLOCKED`, `REVOKED`: as of `Redeemed`, of the grants that it would leave.
    """

    OPENED = "opened"
    JOINED = "joined"
    FULL = "full"
    BLOCKED = "blocked"
    REVOKED = "revoked"


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How it went, and the approval that has the key now, or denies it; `None` if there is none."""

    how: Opened
    approval: Approval | None = None


class Replaced(Enum):
    """How a change went; anything but `DONE` has changed nothing.

    `CONFLICT`: somebody else has changed it. `GONE`: it is kept no more. `BLOCKED`, `REVOKED`: as of `Redeemed`, of the
    grants that it would leave.
    """

    DONE = "done"
    CONFLICT = "conflict"
    GONE = "gone"
    BLOCKED = "blocked"
    REVOKED = "revoked"


class ApprovalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which approvals are meant; `None` is any. `unreviewed`: only broken glass that nobody has looked at."""

    states: frozenset[State] | None = None
    rule: str | None = None
    subject: Subject | None = None
    unreviewed: bool = False

    def includes(self, approval: Approval) -> bool:
        """Whether this approval is meant."""
        return (
            (self.states is None or approval.state in self.states)
            and self.rule in (None, approval.rule)
            and self.subject in (None, approval.subject)
            and (not self.unreviewed or is_unreviewed(approval))
        )


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some approvals, and where those go on that are older: `next`, a store's own word, empty if there are none."""

    approvals: tuple[Approval, ...]
    next: str = ""


class News(msgspec.Struct, frozen=True, kw_only=True):
    """These approvals have changed; `everything`: perhaps others, too, so look at all that you wait for."""

    ids: frozenset[str] = frozenset()
    everything: bool = False


class ApprovalStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def open_approval(
        self,
        new: Approval,
        *,
        grants: Sequence[Grant] = (),
        letters: Sequence[Letter] = (),
        keep: float,
        most_open: int,
        despite: str = "",
        now: float,
    ) -> Opening:
        """Keep a new approval, of version 1, with the grants that it leaves and the letters that tell of it.

        Not if it is there already, nor if the newest one with its key has the key still: one that is pending and not
        overdue, one that is in its cooldown, or one that was approved, whose grant is good and that is not `despite`.
        Nor if one that is alike (`Approval.alike`) is in its cooldown, under whatever key. If it is to be pending: nor
        if its subject has `most_open` others that have a place, or, being a user,
        MOST_ALIKE that are alike. One has a place that is
        pending and not overdue, or was cancelled and would not be overdue yet.

        Each of these calls keeps an approval for `keep` seconds after it is over. Its grants, and those with the ids
        that a change takes back, are its subject's.
        """

    async def replace_approval(
        self,
        new: Approval,
        *,
        version: int,
        grants: Sequence[Grant] = (),
        forget: Sequence[str] = (),
        letters: Sequence[Letter] = (),
        keep: float,
        now: float,
    ) -> Replaced:
        """Let it take the place of this version of itself; forget the grants with these ids, then leave others."""

    async def approval(self, id_: str) -> Approval | None:
        """The approval with this id."""

    async def approvals_of(self, ids: Sequence[str]) -> Mapping[str, Approval]:
        """The approvals with these ids, by id; those that are not there are left out."""

    async def approvals(self, query: ApprovalQuery, *, most: int, before: str = "") -> ApprovalPage:
        """The newest that are meant, those opened last first; with `before`, those that follow the page that said it as
        its `next`. A page may be short.

        Raises:
            ValueError: no page has said so.
        """

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        """Pending ones that were due by `now`, those first that have been due for longest."""

    def approval_news(self) -> AsyncIterator[News]:
        """What has changed from now on: everything as soon as it listens, and again when it was cut off.

        It goes on while the store is out of reach, and raises `StateUnavailable` when the store was closed.
        """

    async def put_absence(self, absence: Absence, *, now: float) -> bool:
        """Keep an absence, in the place of the one with its id; false if there are MOST_ABSENCES."""

    async def end_absence(self, id_: str, *, now: float) -> bool:
        """Forget an absence; false if it was over, or is not known."""

    async def absences(self, *, now: float) -> tuple[Absence, ...]:
        """Those that are not over at `now`, also such as have not begun; who goes first is first."""


def is_unreviewed(approval: Approval) -> bool:
    """Whether somebody has broken the glass, and nobody has looked at it."""
    return approval.break_glass is not None and approval.break_glass.review is None
