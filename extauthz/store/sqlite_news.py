"""News of approvals from an SQLite file: it is looked at again and again, less often while nothing happens.

The rules: a look costs one read of one row, on a connection of its own, so nobody waits for it and it waits for nobody.
The longest pause is below what people notice.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

from extauthz.errors import ExtauthzError
from extauthz.store import sqlite_approvals
from extauthz.store.approvals import News
from extauthz.store.sqlite_file import SqliteFile

SHORTEST: Final = 0.01
LONGEST: Final = 0.08
"""Seconds between two looks: while things happen, and at most."""
AFTER_OUTAGE: Final = 0.5
_SLOWER: Final = 1.3


class SqliteNews:
    """The news in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closed = False

    def close(self) -> None:
        """Let whoever listens come to an end with their next look."""
        self._closed = True

    async def listen(self) -> AsyncIterator[News]:
        """As `ApprovalStore.approval_news`, but it just ends when this is closed."""
        while not self._closed:
            try:
                file = await asyncio.to_thread(SqliteFile, self._path, durable=False)
            except ExtauthzError:
                await asyncio.sleep(AFTER_OUTAGE)
                continue
            try:
                async for told in self._followed(file):
                    yield told
            finally:
                file.let_go()

    async def _followed(self, file: SqliteFile) -> AsyncIterator[News]:
        """What changes in it until it is out of reach."""
        pause = SHORTEST
        try:
            known = await file.read(sqlite_approvals.mark)
            yield News(everything=True)
            while not self._closed:
                await asyncio.sleep(pause)
                known, told = await file.read(partial(sqlite_approvals.news, since=known))
                pause = SHORTEST if told is not None else min(pause * _SLOWER, LONGEST)
                if told is not None:
                    yield told
        except ExtauthzError:
            await asyncio.sleep(AFTER_OUTAGE)
