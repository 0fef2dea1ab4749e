"""Streams of news that are open at the same time: how many there may be, in all and for each who has asked.

The rule: a stream has its place from when it is let in, before anything of it is sent, and gives it back once, however
it ends, also if it never begins.
"""

from collections import Counter
from collections.abc import AsyncIterator, Hashable
from typing import Generic, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

Who = TypeVar("Who", bound=Hashable)


class Place:
    """The place of one stream; leaving it twice is leaving it once."""

    def __init__(self, taken: "Counter[Hashable]", who: Hashable) -> None:
        self._taken = taken
        self._who = who
        self._left = False
        taken[who] += 1

    def leave(self) -> None:
        """Let others have it."""
        if not self._left:
            self._left = True
            self._taken[self._who] -= 1
            if not self._taken[self._who]:
                del self._taken[self._who]


class Places(Generic[Who]):
    """The places of one process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    def take(self, who: Who, *, most: int, most_of_one: int) -> Place | None:
        """A place among at most so many, `None` if there is none."""
        if self._taken.total() >= most or self._taken[who] >= most_of_one:
            return None
        return Place(self._taken, who)


class PlacedResponse(StreamingResponse):
    """Server-sent events from a place, which is left when the answer is over, also if it has never begun."""

    def __init__(self, place: Place, events: AsyncIterator[str | bytes], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.leave()
