"""News of approvals from an SQLite file: it is looked at again and again, less often while nothing happens.

The rules: a look costs one read of one row, on a connection of its own, so nobody waits for it and it waits for nobody.
While an approval is pending the longest pause is below what people notice; what this process writes itself it looks
for at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from extauthz.errors import ExtauthzError
from extauthz.store import sqlite_approvals
from extauthz.store.approvals import News
from extauthz.store.sqlite_file import SqliteFile

SHORTEST: Final = 0.01
LONGEST: Final = 0.05
IDLE: Final = 0.4
"""Seconds between two looks: while things happen, at most while an approval is pending, and while none is."""
AFTER_OUTAGE: Final = 0.5
_SLOWER: Final = 1.3


@dataclass(slots=True, kw_only=True, eq=False)
class _Listener:
    loop: asyncio.AbstractEventLoop
    hurried: asyncio.Event = field(default_factory=asyncio.Event)


class SqliteNews:
    """The news in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listeners: set[_Listener] = set()
        self._closed = False

    def hurry(self) -> None:
        """There is something to be seen."""
        for listener in tuple(self._listeners):
            with suppress(RuntimeError):  # its loop has ended
                listener.loop.call_soon_threadsafe(listener.hurried.set)

    def close(self) -> None:
        """Let whoever listens come to an end."""
        self._closed = True
        self.hurry()

    async def listen(self) -> AsyncIterator[News]:
        """As `ApprovalStore.approval_news`, but it just ends when this is closed."""
        listener = _Listener(loop=asyncio.get_running_loop())
        self._listeners.add(listener)
        file: SqliteFile | None = None
        try:
            while not self._closed:
                try:
                    if file is None:
                        file = await asyncio.to_thread(SqliteFile, self._path, durable=False, create=False)
                    async for told in self._followed(file, listener):
                        yield told
                except ExtauthzError:
                    await asyncio.sleep(AFTER_OUTAGE)
        finally:
            self._listeners.discard(listener)
            if file is not None:
                file.let_go()

    async def _followed(self, file: SqliteFile, listener: _Listener) -> AsyncIterator[News]:
        """What changes in it until it is out of reach, which raises."""
        pause = SHORTEST
        known = await file.read(sqlite_approvals.mark)
        yield News(everything=True)
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await listener.hurried.wait()
            listener.hurried.clear()
            known, told, is_pending = await file.read(partial(sqlite_approvals.news, since=known))
            longest = LONGEST if is_pending else IDLE
            pause = SHORTEST if told is not None else min(pause * _SLOWER, longest)
            if told is not None:
                yield told
