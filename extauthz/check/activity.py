"""When sessions were last active: remembered at once, written to the store now and then, off the path of requests.

The rules: no session ever looks more active than it was, so what can't be remembered or written is forgotten. A session
is written at most once in `touch_every` seconds, and what waits for that is as good as written in this process alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec
import structlog

from extauthz.errors import ExtauthzError
from extauthz.store.protocol import Activity, Store
from extauthz.values.grants import SessionTimes
from extauthz.values.identity import Subject

TICK: Final = 1.0
"""Seconds between two times that what is due is written."""
BATCH: Final = 200
"""Sessions that are written in one call."""
PATIENCE: Final = 5.0
"""Seconds that one call, and the last writing of all, may take."""
MOST: Final = 50_000
"""Sessions that are remembered at a time: those that were written lately, or wait for the store."""

_Key = tuple[Subject, str]

_log = structlog.get_logger(__name__)


class ActivityCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions wait to be written, and since the start: how many were `written`, how often a writing `failed`,
    how many requests were `forgotten` because there was no room to remember their session.
    """

    waiting: int
    written: int
    failed: int
    forgotten: int


class _Seen(msgspec.Struct, kw_only=True):
    """A session as this process saw it: active from `began` to `active`, of which the store knows until `written`."""

    began: float
    active: float
    written: float = float("-inf")


class Activities:
    """The activity of sessions on its way to `store`. Belongs to one event loop.

    `touch_every` is in seconds, as is `keep`: for how long the store remembers a session that is not active any more.
    Times are seconds since the epoch; `clock` is one that nobody sets.
    """

    def __init__(
        self, store: Store, *, touch_every: float, keep: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._touch_every = touch_every
        self._keep = keep
        self._clock = clock
        self._seen: dict[_Key, _Seen] = {}
        self._due: dict[_Key, None] = {}
        self._resting: deque[tuple[float, _Key]] = deque()
        self._failing = False
        self._told_full = False
        self._written = self._failed_writes = self._forgotten = 0

    @property
    def counts(self) -> ActivityCounts:
        """How it stands now."""
        return ActivityCounts(
            waiting=len(self._due), written=self._written, failed=self._failed_writes, forgotten=self._forgotten
        )

    def note(self, subject: Subject, session: str, *, at: float) -> None:
        """Remember that a session was active at `at`."""
        key = (subject, session)
        seen = self._seen.get(key)
        if seen is not None:
            seen.active = max(seen.active, at)
        elif len(self._seen) < MOST:
            self._seen[key] = _Seen(began=at, active=at)
            self._due[key] = None
        else:
            self._forgotten += 1
            if not self._told_full:
                self._told_full = True
                _log.warning("activity-forgotten", sessions=len(self._seen))

    def times(self, subject: Subject, session: str, found: SessionTimes | None) -> SessionTimes | None:
        """When a session was seen: as the store has `found` it, and as it was seen here since."""
        seen = self._seen.get((subject, session))
        if seen is None:
            return found
        if found is None:
            return SessionTimes(started_at=seen.began, last_seen=seen.active)
        return replace(found, last_seen=max(found.last_seen, seen.active))

    async def follow(self) -> None:
        """Write what is due, for ever."""
        while True:
            await asyncio.sleep(TICK)
            await self.write()

    async def write(self) -> None:
        """Write what is due. What the store does not take stays due; no error leaves."""
        self._wake(until=self._clock())
        try:
            while self._due:
                await self._write_some()
        except Exception as error:  # noqa: BLE001 - whatever it is, it stays due, and no decision waits for it
            self._failed(error)
        else:
            self._succeeded()

    async def close(self) -> None:
        """Write all that is not written yet, due or not, as far as the store takes it in time."""
        self._wake(until=float("inf"))
        try:
            async with asyncio.timeout(PATIENCE):
                await self.write()
        except TimeoutError:
            _log.error("activity-not-written", error=f"not done within {PATIENCE:g} s", sessions=len(self._due))

    def _wake(self, *, until: float) -> None:
        """What was written long enough ago is due again if it was active since, and else forgotten here."""
        while self._resting and self._resting[0][0] <= until:
            _, key = self._resting.popleft()
            if self._seen[key].active > self._seen[key].written:
                self._due[key] = None
            else:
                del self._seen[key]

    async def _write_some(self) -> None:
        some = {key: self._seen[key].active for key in islice(self._due, BATCH)}
        async with asyncio.timeout(PATIENCE):
            await self._store.touch(
                [
                    Activity(subject=subject, session=session, at=at, until=at + self._keep)
                    for (subject, session), at in some.items()
                ]
            )
        self._written += len(some)
        rests_until = self._clock() + self._touch_every
        for key, at in some.items():
            self._seen[key].written = at
            del self._due[key]
            self._resting.append((rests_until, key))

    def _failed(self, error: Exception) -> None:
        self._failed_writes += 1
        if not self._failing:
            self._failing = True
            known = isinstance(error, ExtauthzError | TimeoutError)
            said = str(error) or type(error).__name__
            _log.error("activity-not-written", error=said, sessions=len(self._due), exc_info=None if known else error)

    def _succeeded(self) -> None:
        if self._failing:
            _log.info("activity-written-again")
        self._failing = False
        self._told_full = self._told_full and len(self._seen) >= MOST
