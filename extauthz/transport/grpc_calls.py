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
