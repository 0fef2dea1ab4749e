"""The threads in which grpcio's calls are made: a few that decide, and others that stand in for those who wait.

The rule: as many calls are being decided at a time, however many wait for a look-up. More threads would only contend
for the interpreter, among them with gRPC's own thread, which takes the calls.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final

import structlog

from extauthz.transport.admission import Pace

_MADE: Final["futures.Future[Any]"] = futures.Future()
"""What gRPC gets for every call: it counts those that are under way, for a limit that we don't set."""
_MADE.set_result(None)

_log = structlog.get_logger(__name__)

_Job = tuple[float, int, Callable[..., object], tuple[object, ...]]


class Workers(futures.Executor):
    """Makes calls in the order in which they come, `deciding` at a time."""

    def __init__(self, deciding: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pace = Pace()
        self._lock = threading.Lock()
        self._posts: SimpleQueue[bool] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._too_many: deque[None] = deque()
        self._over = False
        for _ in range(deciding):
            self._add()

    def admits(self) -> bool:
        """Whether a call that comes now has its turn soon enough."""
        return self._pace.admits(self._jobs.qsize())

    def submit(self, fn: Callable[..., Any], /, *args: object, **_: object) -> "futures.Future[Any]":
        """Make a call when it is its turn. What it comes to is the call's own affair."""
        self._jobs.put((time.monotonic(), self._jobs.qsize(), fn, args))
        return _MADE

    @contextmanager
    def away(self) -> Iterator[None]:
        """While this lasts, another thread decides in place of the one that is here, which waits."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._posts.put(True)
            else:
                self._add()
        try:
            yield
        finally:
            self._too_many.append(None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as Executor has it
        """Let the threads end after the calls that are there."""
        with self._lock:
            self._over = True
            for _ in range(self._idle):
                self._posts.put(False)
            for _ in range(self._threads):
                self._jobs.put(None)

    def _add(self) -> None:
        self._threads += 1
        # Not waited for at the end of the process: gRPC has given up what is left in them by then.
        threading.Thread(target=self._work, name=f"check_{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            came, ahead, call, args = job
            self._pace = self._pace.after(waited=time.monotonic() - came, ahead=ahead)
            try:
                call(*args)
            except Exception:  # noqa: BLE001 - gRPC answers for its calls; a thread less would be for good
                _log.exception("call-failed")
            del job, call, args  # not kept until the next one comes
            if self._too_many and not self._stay():
                return

    def _stay(self) -> bool:
        """Give way to the one that came back from waiting; whether there is more to do, some time later."""
        with self._lock:
            if not self._too_many or self._over:
                return True
            self._too_many.pop()
            self._idle += 1
        return self._posts.get()
