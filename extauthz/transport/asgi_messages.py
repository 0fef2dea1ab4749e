"""The messages of calls that come by ASGI, and those that never come.

The server in front ends a call whose message is not there in time, and pyvoy tells the application nothing of it: what
waits for `receive` would do so for ever, one coroutine more for each call that was cut off. So every LONGEST_REQUEST
seconds those are ended that were waited for at the last look already: by then nobody is there any more. Looking costs a
call less than a timer of its own would.
"""

import asyncio
from typing import Any, Final

from extauthz.transport.methods import LONGEST_REQUEST

Task = asyncio.Task[Any]


class CallerGone(OSError):
    """Nobody waits for the answer any more; an `OSError`, as what `send` raises then (ASGI, "Disconnected Client")."""


class Coming:
    """Calls whose message has not come yet. Belongs to one event loop; `patience` is in seconds.

    Whoever waits for a message is in `calls` meanwhile. A call that is given up is cancelled, once.
    """

    def __init__(self, *, patience: float = LONGEST_REQUEST) -> None:
        self.calls: Final[set[Task]] = set()
        self._patience = patience
        self._seen: set[Task] = set()
        self._given_up: set[Task] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at them from now on."""
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def was_given_up(self, call: Task) -> bool:
        """Whether this call was cancelled here, and by nobody else; asked once."""
        if call not in self._given_up:
            return False
        self._given_up.discard(call)
        return call.uncancel() == 0

    def _look(self) -> None:
        for call in self.calls & self._seen:
            self._given_up.add(call)
            call.cancel()
        self._seen = self.calls - self._given_up
        self.start()
