"""News for pages that are open: that something has changed, never what (server-sent events, HTML standard 9.2).

The rules: a stream tells nothing of any approval, a page that hears of news asks for itself again, with its session;
and a stream ends with the session that has opened it, and with the server. How many there are is bounded, in all and
for one person.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.approval_news import ApprovalNews
from extauthz.stepup.approver_session import ApproverSession
from extauthz.web.approvers.desk import Desk, TurnedAway
from extauthz.web.streams import PlacedResponse, Places

MOST: Final = 1000
MOST_OF_ONE: Final = 16
BEAT: Final = 15.0
"""Seconds after which a stream without news says that it is still there, and its session is looked at again."""
PAUSE: Final = 0.5
"""Seconds between two news: pages ask for themselves no more often."""

_CHANGED: Final = b"event: changed\ndata: \n\n"
_BEAT: Final = b":\n\n"
_RETRY: Final = b"retry: 3000\n\n"


class Live:
    """The streams of one process. Belongs to one event loop."""

    def __init__(self, desk: Desk, news: ApprovalNews) -> None:
        self._desk = desk
        self._news = news
        self._places: Places[str] = Places()

    async def serve(self, request: Request) -> Response:
        """GET: the stream of whoever is logged in.

        Raises:
            NotLoggedIn: nobody is.
        """
        session = self._desk.seated(request)
        place = self._places.take(session.approver.person, most=MOST, most_of_one=MOST_OF_ONE)
        if place is None:
            # The page asks for itself now and then all the same.
            return Response(status_code=503, headers={**self._desk.pages.headers, "retry-after": "30"})
        headers = {**self._desk.pages.headers, "x-accel-buffering": "no"}
        return PlacedResponse(place, self._stream(session), headers)

    async def _stream(self, session: ApproverSession) -> AsyncIterator[bytes]:
        yield _RETRY
        with self._news.listening() as listener:
            # What has changed since the page was made.
            yield _CHANGED
            while self._counts(session) and not self._news.is_over:
                try:
                    async with asyncio.timeout(BEAT):
                        await listener.next()
                except TimeoutError:
                    yield _BEAT
                else:
                    yield _CHANGED
                    await asyncio.sleep(PAUSE)

    def _counts(self, session: ApproverSession) -> bool:
        if self._desk.clock() >= session.expires_at:
            return False
        try:
            self._desk.check(session)
        except TurnedAway:
            return False
        return True
