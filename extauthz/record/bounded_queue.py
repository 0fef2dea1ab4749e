"""A queue that is bounded in number and in bytes, and that gives out what is in it batch by batch.

The rule kept here: whoever puts something in is told at once whether it fits, and never waits for whoever takes it out.
"""

import threading
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class _Batch(Generic[T]):
    """What is taken out together, and the bytes of it."""

    def __init__(self) -> None:
        self.items: Final[list[T]] = []
        self.size = 0


class BoundedQueue(Generic[T]):
    """First in, first out. Safe to use from any thread."""

    def __init__(self, *, room: int, room_bytes: int, batch: int) -> None:
        self._room: Final = room
        self._room_bytes: Final = room_bytes
        self._most: Final = batch
        self._number = 0
        self._bytes = 0
        self._newest: _Batch[T] = _Batch()
        self._batches: Final[deque[_Batch[T]]] = deque([self._newest])  # all but this one are full
        self._changing: Final = threading.Lock()
        self._acquire: Final = self._changing.acquire  # a `with` takes compiled code three times as long
        self._release: Final = self._changing.release

    def __len__(self) -> int:
        return self._number

    @property
    def is_half_full(self) -> bool:
        """Whether more than half of the room is taken, by number or by bytes."""
        return self._number > self._room // 2 or self._bytes > self._room_bytes // 2

    def put(self, item: T, size: int) -> bool:
        """Take this in, of so many bytes; whether it fits. The last one may be larger than the room that was left."""
        self._acquire()
        try:
            if self._number >= self._room or self._bytes >= self._room_bytes:
                return False
            newest = self._newest
            if len(newest.items) >= self._most:
                newest = self._begin()
            newest.items.append(item)
            newest.size += size
            self._number += 1
            self._bytes += size
        finally:
            self._release()
        return True

    def take(self) -> list[T]:
        """The oldest ones, as many as a batch holds, or all where they are fewer."""
        with self._changing:
            oldest = self._batches.popleft()
            if oldest is self._newest:
                self._begin()
            self._number -= len(oldest.items)
            self._bytes -= oldest.size
        return oldest.items

    def take_all(self) -> list[T]:
        """All that are in it now."""
        with self._changing:
            taken = [item for batch in self._batches for item in batch.items]
            self._batches.clear()
            self._begin()
            self._number = self._bytes = 0
        return taken

    def _begin(self) -> _Batch[T]:
        """A further batch, for what comes now. For who holds the lock."""
        self._newest = _Batch()
        self._batches.append(self._newest)
        return self._newest
