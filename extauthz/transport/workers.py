"""The threads in which grpcio's calls are made: a few that decide, and others that stand in for those who wait.

The rule: as many calls are being decided at a time, however many wait for a look-up, or for a caller who sends the
beginning of a call and no message. More threads would only contend for the interpreter, among them with gRPC's own
thread, which takes the calls.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import structlog

from extauthz.transport.admission import Pace
from extauthz.transport.grpc_calls import CallerWaits, Unread
from extauthz.transport.methods import LONGEST_REQUEST

CALLERS = 128
"""Callers that may be waited for at a time; for one more the call of the first one is ended."""
_LOOK: Final = 0.02
"""Seconds between looks at those who wait for their callers. What takes no longer is no waiting: a message mostly comes
with the call."""
_STUCK: Final = 0.25
"""Seconds after which a thread that waits for its caller counts as one that does not decide, though others do."""

_DOZE: Final = 1.0
"""Seconds between those looks while no call waits for its turn: nobody is in anybody's way then."""

KEPT: Final = 16
"""Threads that wait for being needed again; more of them end, and are made anew by the next crowd."""

MADE: Final["futures.Future[Any]"] = futures.Future()
"""What gRPC gets for every call: it counts those that are under way, for a limit that we don't set."""
MADE.set_result(None)

_log = structlog.get_logger(__name__)

_Job = tuple[float, int, Callable[..., object], tuple[object, ...]]
_NO_CALL: Final[_Job] = (0.0, 0, bool, ())
"""For whoever waits for a call, and is to look whether there are too many who do."""
_T = TypeVar("_T")


class _LateWait:
    """One for whose thread another stands in."""

    __slots__ = ("cancel", "cancelled", "since")

    def __init__(self, since: float, cancel: Callable[[], object]) -> None:
        self.since = since
        self.cancel = cancel
        self.cancelled = False


class Workers(futures.Executor):
    """Makes calls in the order in which they come, `deciding` at a time."""

    def __init__(self, deciding: int, *, patience: float = LONGEST_REQUEST) -> None:
        """A call is ended whose caller is waited for longer than `patience`, in seconds."""
        self._patience = patience
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pace = Pace()
        self._lock = threading.Lock()
        self._posts: SimpleQueue[bool] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._too_many: deque[None] = deque()
        self._over = False
        self.waits = CallerWaits(begun=self._begun, came_late=self._come_back)
        """Those that are not late, which the threads make themselves."""
        self.unread = Unread(CALLERS, patience)
        """Calls whose message no thread waits for."""
        self._late: dict[int, _LateWait] = {}
        self._watch_on: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._watch, name="check_callers", daemon=True).start()
        for _ in range(deciding):
            self._add()

    def admits(self) -> bool:
        """Whether a call that comes now has its turn soon enough. Those whose message is on its way go before it."""
        self.unread.make_room()
        return self._pace.admits(self._jobs.qsize() + len(self.unread))

    def submit(self, fn: Callable[..., Any], /, *args: object, **_: object) -> "futures.Future[Any]":
        """Make a call when it is its turn. What it comes to is the call's own affair."""
        self._jobs.put((time.monotonic(), self._jobs.qsize(), fn, args))
        if not self.waits.watched and self.waits.under_way:
            self._watch_them()
        return MADE

    @contextmanager
    def away(self) -> Iterator[None]:
        """While this lasts, another thread decides in place of the one that is here, which waits."""
        with self._lock:
            self._stand_in()
        try:
            yield
        finally:
            self._too_many.append(None)

    def with_caller(self, step: Callable[[], _T], cancel: Callable[[], object]) -> _T:
        """What `step` comes to, which needs something of the caller. If that takes long, another thread decides
        meanwhile, and if it takes too long, or too many are waited for, `cancel` is called, which ends the step."""
        return self.waits.during(step, cancel)

    def _begun(self) -> None:
        """A wait begins that nobody looks at. Of this and of a call that comes the later one sees the other."""
        if not self._jobs.empty():
            self._watch_them()

    def _watch_them(self) -> None:
        self.waits.watched = True
        self._watch_on.put(None)

    def _come_back(self, me: int) -> None:
        """From a wait that was late."""
        with self._lock:
            del self._late[me]
            self._too_many.append(None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as Executor has it
        """Let the threads end after the calls that are there."""
        with self._lock:
            self._over = True
            self._watch_on.put(None)
            for _ in range(self._idle):
                self._posts.put(False)
            for _ in range(self._threads):
                self._jobs.put(None)

    def _watch(self) -> None:
        taken = self._pace
        while not self._over:
            if not (self.waits.under_way or self._late):
                self.waits.watched = False
                for _ in range(len(self._too_many)):
                    self._jobs.put(_NO_CALL)
                if not self.waits.under_way:  # else one began in this very moment
                    with suppress(Empty):
                        self._watch_on.get(timeout=_DOZE)
                self.waits.watched = True
            time.sleep(_LOOK)
            self.unread.look()
            pace, taken = taken, self._pace
            try:
                self._look(stalled=pace is taken and not self._jobs.empty())
            except RuntimeError:  # the machine has no thread to give; the next look may find one
                _log.exception("no-thread")

    def _look(self, *, stalled: bool) -> None:
        """Let others stand in for those who wait for their callers; `stalled` says that no call has had its turn since
        the last look, though some wait for it."""
        now, cancelled = time.monotonic(), []
        with self._lock:
            longest = _LOOK if stalled else _STUCK
            stuck = [me for me, (since, _) in self.waits.under_way.copy().items() if now - since > longest]
            room = CALLERS - len(self._late)
            for me in stuck[:room]:
                self._stand_in()
                wait = self.waits.under_way.pop(me, None)
                if wait is None:  # it was over in this very moment
                    self._too_many.append(None)
                else:
                    self._late[me] = _LateWait(*wait)
            if stalled and stuck:
                # There may be many more of them: as many again take their turns, and those who are done give way.
                for _ in range(min(self._jobs.qsize(), len(self._late)) - len(self._too_many)):
                    self._stand_in()
                    self._too_many.append(None)
            wanted = len(stuck) - room
            for late in self._late.values():
                if not late.cancelled and (wanted > 0 or now - late.since > self._patience):
                    late.cancelled = True
                    cancelled.append(late)
                wanted -= late.cancelled
        for late in cancelled:
            late.cancel()

    def _stand_in(self) -> None:
        """Let another thread decide, too; whoever calls this has the lock."""
        if self._idle:
            self._idle -= 1
            self._posts.put(True)
        else:
            self._add()

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
            if job is not _NO_CALL:
                self._pace = self._pace.after(time.monotonic() - came, ahead)
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
            if self._idle >= KEPT:
                self._threads -= 1
                return False
            self._idle += 1
        return self._posts.get()
