"""Letters of the event stream on their way into the store.

The rules: whoever hands them over waits for nothing, and a store that is slow or away holds up nobody else. So a
bounded number waits here for each addressee, and another one in the store; what has no room is dropped, counted and
logged.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from extauthz.errors import StateUnavailable
from extauthz.store.letters import LetterStore
from extauthz.values.letters import Letter

MOST_HERE: Final = 1_000
"""Letters to one addressee that wait for the store."""
MOST_KEPT: Final = 10_000
"""Letters to one addressee that wait in the store, and as many that were given up."""
AT_ONCE: Final = 100
"""Letters that are put into the store in one step."""
PACE: Final = 0.5
"""Seconds between two times that letters are put."""
CLOSING: Final = 3.0
"""Seconds that the last letters have at the end."""
_AGAIN: Final = 1.0
"""Seconds after which a store that was out of reach is tried again."""
_LOG_EVERY: Final = 10.0
"""Seconds between two log lines about dropped letters."""

_log = structlog.get_logger(__name__)


class PostingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Letters to one addressee: put into the store and dropped since the start, and waiting for the store."""

    put: int
    dropped: int
    waiting: int


class Posting:
    """Puts letters to `sinks` into `store`. `clock` says the seconds since the epoch.

    Letters are taken on any one thread; everything else belongs to one event loop.
    """

    def __init__(self, store: LetterStore, sinks: Iterable[str], *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lanes = {sink: _Lane() for sink in sinks}
        self._told = 0

    @property
    def counts(self) -> Mapping[str, PostingCounts]:
        """How it stands now, by sink."""
        return {
            sink: PostingCounts(put=lane.put, dropped=lane.dropped, waiting=lane.waiting)
            for sink, lane in self._lanes.items()
        }

    def take(self, letters: Sequence[Letter]) -> None:
        """Take letters, to be put soon; drop and count those for which there is no room."""
        for letter in letters:
            lane = self._lanes[letter.sink]
            if len(lane.queue) < MOST_HERE:
                lane.queue.append(letter)
            else:
                lane.overflown += 1

    async def follow(self) -> None:
        """Put what there is, for ever."""
        log_at = 0.0
        while True:
            try:
                await self._put()
            except StateUnavailable:  # `store_watch` tells of it
                await asyncio.sleep(_AGAIN)
            now = asyncio.get_running_loop().time()
            if now >= log_at and self._tell_drops():
                log_at = now + _LOG_EVERY
            await asyncio.sleep(PACE)

    async def finish(self) -> None:
        """Put what there is left, if the store takes it soon; nothing is taken any more."""
        try:
            async with asyncio.timeout(CLOSING):
                while any(lane.waiting for lane in self._lanes.values()):
                    try:
                        await self._put()
                    except StateUnavailable:
                        await asyncio.sleep(_AGAIN)
        except TimeoutError:
            for lane in self._lanes.values():
                lane.drop_all()
        self._tell_drops()

    async def _put(self) -> None:
        """Everything that waits, a bounded number at a time, one addressee after the other."""
        while filled := [(sink, lane) for sink, lane in self._lanes.items() if lane.next()]:
            for sink, lane in filled:
                await self._put_some(sink, lane)

    async def _put_some(self, sink: str, lane: "_Lane") -> None:
        try:
            kept = await self._store.put_letters(sink, lane.held, most=MOST_KEPT, now=self._clock())
        except StateUnavailable:
            raise
        except Exception:  # noqa: BLE001 - these can't be put, whatever it is; others can
            _log.exception("events-not-kept", sink=sink, letters=len(lane.held))
            kept = 0
        lane.settle(kept)

    def _tell_drops(self) -> bool:
        dropped = {sink: lane.dropped for sink, lane in self._lanes.items() if lane.dropped}
        if sum(dropped.values()) == self._told:
            return False
        self._told = sum(dropped.values())
        _log.error("events-dropped", dropped=dropped)
        return True


class _Lane:
    """What waits for one addressee: in the queue, and held by who puts it until it is there.

    `overflown` is counted by who takes letters, the rest by who puts them: no number has two writers.
    """

    def __init__(self) -> None:
        self.queue: deque[Letter] = deque()
        self.held: list[Letter] = []
        self.put = self.overflown = self._refused = 0

    @property
    def dropped(self) -> int:
        return self.overflown + self._refused

    @property
    def waiting(self) -> int:
        return len(self.queue) + len(self.held)

    def next(self) -> bool:
        """Hold the next ones, if there are any; those that are held stay, for they may be there in part."""
        while self.queue and len(self.held) < AT_ONCE:
            self.held.append(self.queue.popleft())
        return bool(self.held)

    def settle(self, kept: int) -> None:
        """Of those that are held the first ones are in the store, and the others are not going to be."""
        self.put += kept
        self._refused += len(self.held) - kept
        self.held = []

    def drop_all(self) -> None:
        """Give up what waits."""
        self._refused += self.waiting
        self.queue.clear()
        self.held = []
