"""The clerk: lets approvals expire and escalate in time, so that people hear of it though nobody answers.

The rule: nothing is decided here. Whoever looks at an approval brings it up to the moment first; the clerk is only who
looks. Each server has one, and the version of an approval makes sure that what is due happens once.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from extauthz.approval import course
from extauthz.check.approvals import Approvals
from extauthz.errors import StateUnavailable

LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
MOST_AT_ONCE: Final = 100
"""Approvals of one look; the next one comes at once while there are more."""

_log = structlog.get_logger(__name__)


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """Works on `approvals`."""

    approvals: Approvals

    async def follow(self) -> None:
        """Look again and again, for ever."""
        told = False
        while True:
            try:
                found = await self.catch_up()
            except StateUnavailable as error:
                if not told:
                    _log.error("approvals-not-followed", error=str(error))
                told, found = True, 0
            else:
                told = False
            if found < MOST_AT_ONCE:
                await asyncio.sleep(LOOK_EVERY)

    async def catch_up(self) -> int:
        """Do what is due, once; how many approvals it was due of. Raises `StateUnavailable`."""
        due = await self.approvals.store.due_approvals(most=MOST_AT_ONCE, now=self.approvals.clock())
        for approval in due:
            await self.approvals.change(approval.id, lambda before, terms, now: course.bring_up(before, terms, now=now))
        return len(due)
