"""Whether the store can be reached, for whoever runs the server; no decision asks this.

The rule: a store that must not be used as it is set up ends a start; later it is told, and what needs it is denied.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from extauthz.errors import ConfigurationError, ExtauthzError, StateUnavailable
from extauthz.store.protocol import Store

LOOK_EVERY: Final = 1.0
"""Seconds between two looks: each also opens the way to a store that is back or has moved."""
FIRST_SECONDS: Final = 0.5
"""How long a store that is silent at the start is asked again: a machine that is busy with starting must not be why one
that must not be used is found out later.
"""
_FIRST_PAUSE: Final = 0.05

_log = structlog.get_logger(__name__)


class StoreStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands: `reached` if it could be written to at some time since the start.

    Since `failing_since` (seconds since the epoch) it can't, because of `error`; both are `None` while all is well.
    """

    reached: bool
    failing_since: float | None
    error: str | None

    @property
    def in_reach(self) -> bool:
        """Whether the last look has reached it."""
        return self.reached and self.error is None


class StoreWatch:
    """Looks at `store`. `now` gives seconds since the epoch."""

    def __init__(self, store: Store, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._reached = False
        self._failing_since: float | None = None
        self._error: str | None = None

    @property
    def standing(self) -> StoreStanding:
        """How it stands now."""
        return StoreStanding(reached=self._reached, failing_since=self._failing_since, error=self._error)

    async def start(self) -> None:
        """Look for the first time; a store that is out of reach may come later.

        Raises:
            ConfigurationError: it must not be used as it is set up.
        """
        end = time.monotonic() + FIRST_SECONDS
        while not self._reached:
            try:
                await self._store.ping()
            except StateUnavailable as error:
                if time.monotonic() > end:
                    self._failed(error)
                    return
                await asyncio.sleep(_FIRST_PAUSE)
            else:
                self._reached = True

    async def follow(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._store.ping()
            except (StateUnavailable, ConfigurationError) as error:
                self._failed(error)
            else:
                self._succeeded()

    def _failed(self, error: ExtauthzError) -> None:
        if self._error != str(error):
            _log.error("store-unavailable", error=str(error))
        self._error = str(error)
        if self._failing_since is None:
            self._failing_since = self._now()

    def _succeeded(self) -> None:
        if self._failing_since is not None:
            _log.info("store-back", seconds=round(self._now() - self._failing_since, 3))
        self._reached, self._failing_since, self._error = True, None, None
