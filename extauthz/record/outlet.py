"""What waits to be exported, and the thread that does it: in batches, again after a while where that may help.

The rule kept here: whoever hands something over never waits, and what waits is bounded in number and in bytes. What
does not fit, and what nobody took in time, is dropped, counted and logged.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar, assert_never

import msgspec
import structlog

LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries, at most, where the receiver names no time."""
CLOSING: Final = 3.0
"""Seconds that `close` gives to what waits."""
LOG_EVERY: Final = 10.0
"""Seconds between two log lines about what was dropped."""
_BREAKING_OFF: Final = 0.5

_log = structlog.get_logger(__name__)

P = TypeVar("P")
C = TypeVar("C", contravariant=True)


class Taken(msgspec.Struct, frozen=True):
    """The receiver has taken it, but for `rejected` spans; `word` is what it says to that."""

    rejected: int = 0
    word: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """It will never take it."""

    word: str


class NotNow(msgspec.Struct, frozen=True):
    """It may take it later, `after` as many seconds as it says."""

    word: str
    after: float | None = None


Outcome = Taken | Rejected | NotNow


class Carrier(Protocol[C]):
    """Brings parcels to a receiver."""

    def carry(self, parcels: Sequence[C], seconds: float) -> Outcome:
        """Bring them there within `seconds`. Never raises."""

    def close(self) -> None:
        """Let go of the connection; what is on its way is broken off."""


class Parcel(msgspec.Struct, Generic[P], frozen=True):
    """So many spans in their last form, of so many bytes."""

    spans: int
    size: int
    content: P


class Batching(msgspec.Struct, frozen=True, kw_only=True):
    """When spans are sent: `most` together, `delay` seconds after the first of them, with `patience` seconds for the
    whole. At most `queue` spans and `size` bytes wait."""

    queue: int
    most: int
    delay: float
    patience: float
    size: int


class SpanCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Spans that wait, with their bytes; and since the start those that arrived, and those that were dropped."""

    waiting: int
    bytes: int
    exported: int
    dropped: int


class Outlet(Generic[P]):
    """One receiver. `put` belongs to one thread, `counts` may be asked by any."""

    def __init__(
        self,
        carrier: Carrier[P],
        batching: Batching,
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._carrier = carrier
        self._batching = batching
        self._name = name
        self._clock = clock
        self._parcels: deque[Parcel[P]] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._waiting = self._bytes = 0
        self._first_at = 0.0
        self._given_up = False
        self._exported = self._dropped = 0
        self._told = 0
        self._told_at = -LOG_EVERY
        self._word = "too many wait"
        self._thread = threading.Thread(target=self._run, name=f"spans to {name}", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> SpanCounts:
        """How it stands."""
        return SpanCounts(waiting=self._waiting, bytes=self._bytes, exported=self._exported, dropped=self._dropped)

    def put(self, parcel: Parcel[P]) -> None:
        """Take a parcel to be sent soon, or drop it."""
        with self._changed:
            if (
                self._waiting + parcel.spans > self._batching.queue
                or self._bytes + parcel.size > self._batching.size
                or self._closing.is_set()
            ):
                self._dropped += parcel.spans
                return
            if not self._parcels:
                self._first_at = self._clock()
                self._changed.notify()  # from now on it has a time to wait for
            self._parcels.append(parcel)
            before = self._waiting
            self._waiting += parcel.spans
            self._bytes += parcel.size
            if before < self._batching.most <= self._waiting:
                self._changed.notify()

    def close(self) -> None:
        """Send what waits, and end; what is not taken within a few seconds is dropped."""
        self._give_up_at = self._clock() + CLOSING
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(CLOSING)
        self._carrier.close()  # what is still on its way ends with it, and whatever else waits is dropped
        self._thread.join(_BREAKING_OFF)
        with self._changed:
            if self._waiting:  # the thread is in a call that can't be broken off: all is given up
                self._given_up, self._word = True, "no answer"
                self._dropped += self._waiting
                self._waiting = self._bytes = 0
        self._tell(at_last=True)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            spans = sum(parcel.spans for parcel in batch)
            outcome = self._send([parcel.content for parcel in batch])
            with self._changed:
                if self._given_up:
                    return
                self._waiting -= spans
                self._bytes -= sum(parcel.size for parcel in batch)
                match outcome:
                    case Taken(rejected=rejected, word=word):
                        lost = min(max(rejected, 0), spans)
                        self._exported += spans - lost
                        self._dropped += lost
                        self._word = word or self._word
                    case Rejected(word=word) | NotNow(word=word):
                        self._dropped += spans
                        self._word = word
                    case _:
                        assert_never(outcome)
            self._tell()

    def _next(self) -> list[Parcel[P]] | None:
        """Wait until a batch is full or old, or all is to be sent; `None` at the end."""
        with self._changed:
            while True:
                due = self._first_at + self._batching.delay - self._clock()
                if self._closing.is_set() or (self._parcels and (self._waiting >= self._batching.most or due <= 0)):
                    break
                self._changed.wait(due if self._parcels else None)
            return self._taken() or None

    def _taken(self) -> list[Parcel[P]]:
        """As many parcels as go together; they count as waiting until they have arrived."""
        batch, spans = list[Parcel[P]](), 0
        while self._parcels and (not batch or spans + self._parcels[0].spans <= self._batching.most):
            parcel = self._parcels.popleft()
            spans += parcel.spans
            batch.append(parcel)
        self._first_at = self._clock()
        return batch

    def _send(self, contents: Sequence[P]) -> Outcome:
        """Bring a batch to the receiver, again and again with pauses that grow, while there is time and hope."""
        until = self._clock() + self._batching.patience
        pause = 1.0
        while True:
            remaining = min(until, self._give_up_at) - self._clock()
            if remaining <= 0:
                return Rejected("there was no time left")
            outcome = self._carrier.carry(contents, remaining)
            if not isinstance(outcome, NotNow):
                return outcome
            seconds = outcome.after
            if seconds is None:
                # Many clients of one receiver must not come back together.
                seconds = pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
                pause = min(pause * 2, LONGEST_PAUSE)
            if self._clock() + seconds >= min(until, self._give_up_at):
                return outcome
            self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Wait, but not for long once all is to end: then there is one more try."""
        if self._closing.is_set():
            time.sleep(min(seconds, 0.2))
        else:
            self._closing.wait(seconds)

    def _tell(self, *, at_last: bool = False) -> None:
        now = self._clock()
        if self._dropped > self._told and (at_last or now >= self._told_at + LOG_EVERY):
            self._told, self._told_at = self._dropped, now
            _log.error("spans-dropped", exporter=self._name, dropped=self._dropped, last=self._word)
