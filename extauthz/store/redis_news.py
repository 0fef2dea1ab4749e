"""News of approvals from a Redis: what is published where they are written, heard on a connection of its own.

The rules: a connection that is silent is asked whether it still is one; whoever was cut off is told to look at
everything once they listen again. What is published on one node of a cluster is heard on all.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from extauthz.errors import StateUnavailable
from extauthz.store.approvals import News
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_rows import texts_in

SILENT_SECONDS: Final = 5.0
"""How long nothing may come before the server is asked whether it is still there, and for how long it may be silent
then."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class RedisNews:
    """The news behind these calls on this channel."""

    def __init__(self, calls: RedisCalls, channel: str) -> None:
        self._calls = calls
        self._channel = channel
        self._heard: set[AbstractConnection] = set()
        self._closed = False

    async def listen(self) -> AsyncIterator[News]:
        """As `ApprovalStore.approval_news`, but it just ends when this is closed."""
        pause = _FIRST_PAUSE
        while not self._closed:
            try:
                connection = await self._calls.subscribed(self._channel)
            except StateUnavailable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self._heard.add(connection)
            try:
                yield News(everything=True)
                while (said := await _next(connection)) is not None:
                    if said:
                        yield News(ids=said)
            finally:
                self._heard.discard(connection)
                await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Let whoever listens come to an end."""
        self._closed = True
        for connection in tuple(self._heard):
            await connection.disconnect(nowait=True)


async def _next(connection: AbstractConnection) -> frozenset[str] | None:
    """What has changed, nothing if there was only an answer; `None` if the connection is lost."""
    try:
        message = await connection.read_response(timeout=SILENT_SECONDS)
        if message is None:
            await connection.send_packed_command(connection.pack_command("PING"))
            message = await connection.read_response(timeout=SILENT_SECONDS)
        if message is None:
            return None
        kind, *said = texts_in(message)
        return frozenset({said[-1].decode("utf-8")}) if kind == b"message" else frozenset()
    except (RedisError, OSError, StateUnavailable, ValueError):
        return None
