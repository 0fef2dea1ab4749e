"""Who may look at decisions, and how the pages ask the index.

The rules: only operators look; and the index is asked by threads, a few at a time, never by the event loop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar
from urllib.parse import quote

from starlette.requests import Request

from extauthz.history.index import Index
from extauthz.stepup.approver_session import ApproverSession
from extauthz.web.approvers import notices
from extauthz.web.approvers.desk import Desk, TurnedAway
from extauthz.web.decisions.drafts import Drafts
from extauthz.web.decisions_config import TRACE_ID

DECISIONS_PATH: Final = "/decisions"
AT_ONCE: Final = 2
"""Look-ups that run at the same time; others wait."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What the pages share. `index` is what they look into, `groups` are those of operators, `drafts` tries
    what they paste."""

    index: Index
    groups: frozenset[str]
    trace_url: str | None
    drafts: Drafts
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def seated(self, desk: Desk, request: Request) -> ApproverSession:
        """The operator who is logged in.

        Raises:
            NotLoggedIn: nobody is.
            TurnedAway: somebody else is.
        """
        session = desk.seated(request)
        if not desk.is_operator(session):
            raise TurnedAway(notices.NO_OPERATOR)
        return session

    async def ask(self, look: Callable[_P, _T], *asked: _P.args, **named: _P.kwargs) -> _T:
        """What `look` says, in a thread."""
        async with self._turns:
            return await asyncio.to_thread(look, *asked, **named)

    def trace_link(self, trace: str | None) -> str | None:
        """Where a trace is looked at."""
        if trace is None or self.trace_url is None:
            return None
        return self.trace_url.replace(TRACE_ID, quote(trace, safe=""))


def page_of(decision_id: str) -> str:
    """The path of the page of a decision."""
    return f"{DECISIONS_PATH}/{quote(decision_id, safe='')}"
