"""What each call by grpcio passes before it is decided: the wait for its message, and the span that its caller names.

The rule: a thread that waits for its caller can be told from one that decides, and can be told to wait no longer.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar, final

import grpc

from extauthz.record.decision import TRACE_HEADERS, Trace
from extauthz.transport.framing import no_message

_T = TypeVar("_T")

Wait = tuple[float, Callable[[], object]]
"""A thread's wait for its caller: since when, and what ends it. A tuple, because one is made for each call."""

_SOON: Final = 0.25
"""Seconds within which a message comes whose caller sends it with the call."""
_TRACE: Final[frozenset[str]] = TRACE_HEADERS
_monotonic: Final[Callable[[], float]] = time.monotonic
_this_thread: Final[Callable[[], int]] = threading.get_ident


@final
class CallerWaits:
    """Who waits for a caller, by thread, the first one first.

    Whoever takes a wait out of `under_way` has it: the thread that made it, or, with its lock, who counts it as late
    and hears from `came_late` when it is over. `begun` hears of a wait that begins while nobody looks (`watched`).
    """

    def __init__(self, begun: Callable[[], object], came_late: Callable[[int], object]) -> None:
        self.under_way: dict[int, Wait] = {}
        self.watched = False
        self._begun = begun
        self._came_late = came_late

    def during(self, step: Callable[[], _T], cancel: Callable[[], object]) -> _T:
        """What `step` comes to, which needs something of the caller; `cancel` ends it."""
        me = _this_thread()
        self.under_way[me] = _monotonic(), cancel
        if not self.watched:
            self._begun()
        try:
            return step()
        finally:
            if self.under_way.pop(me, None) is None:
                self._came_late(me)


@final
class Unread:
    """Calls whose message was asked for and is not there yet, the first one first, each with what ends it.

    Only gRPC's own thread adds and removes them; others look, too, and end some, and gRPC tells of that.
    """

    def __init__(self, most: int, patience: float) -> None:
        """Those that are waited for longer than `patience`, in seconds, are ended; and for each one more than `most`
        the first one, but none whose message may just be on its way."""
        self._calls: dict[object, Wait] = {}
        self._most = most
        self._patience = patience

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: object, cancel: Callable[[], object]) -> None:
        """A call has come."""
        self._calls[call] = _monotonic(), cancel

    def remove(self, call: object) -> None:
        """Its message is there, or none will come."""
        self._calls.pop(call, None)

    def look(self) -> None:
        """End those that have been waited for long enough, and the first ones of too many."""
        if self._calls:
            now = _monotonic()
            calls = list(self._calls.values())
            too_many = len(calls) - self._most
            for place, (since, end) in enumerate(calls):
                if now - since > (_SOON if place < too_many else self._patience):
                    end()

    def make_room(self) -> None:
        """Look at once, if there are too many."""
        if len(self._calls) > self._most:
            self.look()


@final
class OneMessage:
    """A method that takes one message and gives one, for gRPC one that takes a stream of them."""

    def __init__(self, path: str, method: Callable[..., Any], waits: CallerWaits) -> None:
        self._path = path
        self._method = method
        self._waits = waits

    def call(self, messages: Iterator[object], context: grpc.ServicerContext) -> object:
        """Wait for the message, and make the call."""
        try:
            message = self._waits.during(messages.__next__, context.cancel)
        except StopIteration:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, no_message(self._path).details)
        return self._method(message, context)


def caller_trace(metadata: Iterable[tuple[str, str | bytes]]) -> Trace:
    """The caller's span, which Envoy sends beside the CheckRequest and not in it."""
    trace: Trace = ()
    for name, value in metadata:
        if name in _TRACE and isinstance(value, str):
            trace += ((name, value),)
    return trace
