"""News of approvals within one process: each listener in its own event loop, told from any thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from extauthz.store.approvals import MOST_NEWS, News


@dataclass(slots=True, kw_only=True, eq=False)
class _Listener:
    loop: asyncio.AbstractEventLoop
    told: asyncio.Event = field(default_factory=asyncio.Event)
    ids: set[str] = field(default_factory=set)


class MemoryNews:
    """Who listens, and what they were not told yet."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: set[_Listener] = set()
        self._closed = False

    async def listen(self) -> AsyncIterator[News]:
        """As `ApprovalStore.approval_news`, but it just ends when this is closed."""
        listener = _Listener(loop=asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield News(everything=True)
            while not self._closed:
                await listener.told.wait()
                listener.told.clear()
                with self._lock:
                    ids, listener.ids = frozenset(listener.ids), set()
                if ids:
                    yield News(ids=ids) if len(ids) <= MOST_NEWS else News(everything=True)
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def tell(self, id_: str) -> None:
        """This approval has changed."""
        with self._lock:
            for listener in self._listeners:
                if len(listener.ids) <= MOST_NEWS:
                    listener.ids.add(id_)
            self._wake()

    def close(self) -> None:
        """Nothing changes any more."""
        with self._lock:
            self._closed = True
            self._wake()

    def _wake(self) -> None:
        for listener in self._listeners:
            with suppress(RuntimeError):  # its loop has ended, and so will it
                listener.loop.call_soon_threadsafe(listener.told.set)
