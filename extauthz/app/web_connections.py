"""Connections to the web listeners: how many there may be, and how long callers are waited for.

The rule: who sends nothing, or takes nothing in, holds no place that somebody else needs. Envoy, whose clients come
through it, sends whole requests and takes whole answers; whoever else reaches a listener need not.
"""

import asyncio
import time
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from extauthz.app import open_files

MOST: Final = 2048
"""Connections to one listener, if the process may have that many. For one more that connection is closed which has
waited longest for its caller, or else the new one."""
_SHARE: Final = 5
"""There are three listeners, and each has a fifth of the files and connections that the process may have. Some more
come at once, before any is closed; the rest is for Checks, the store, keys and the audit."""
_AT_ONCE: Final = 4
"""The part of its connections that a listener takes at once."""
LONGEST_WAIT: Final = 20.0
"""Seconds that a caller may take to send a request, from connecting or from the answer to the one before, or to take in
what there is no more room for."""


def most() -> int:
    """How many connections a listener of this process may have."""
    return max(1, min(MOST, open_files.how_many() // _SHARE))


def at_once() -> int:
    """How many a listener of this process may take before it looks whether they are too many."""
    return max(1, most() // _AT_ONCE)


class WebConnection(H11Protocol):
    """uvicorn's connection, which waits for no caller without end."""

    _waits_since: float | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Called by the event loop."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > most():
            waiting = [one for one in self.connections if isinstance(one, WebConnection) and one._waits_since]
            longest = min(waiting, key=lambda one: one._waits_since or 0.0, default=self)
            longest.transport.abort()
            self.connections.discard(longest)  # others that came with this one look before it has gone

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._done()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Called by uvicorn when something came, and when an answer was sent: it goes on with what came meanwhile."""
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        """Called by uvicorn when an answer is on its way; of one after which it closes, all has to be taken in."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Called by the event loop when there is no more room for what was not taken in."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """Called by the event loop when there is room again."""
        super().resume_writing()
        self._done()
        self._look()

    def _look(self) -> None:
        """Whether the caller is waited for: to send a request, or to take in what there is."""
        unread = self.flow.write_paused or self.transport.is_closing()
        if not unread and self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._done()
        elif self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._done()
        self._waits_since = time.monotonic()
        self._timer = self.loop.call_later(LONGEST_WAIT, self.transport.abort)

    def _done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._waits_since = None
