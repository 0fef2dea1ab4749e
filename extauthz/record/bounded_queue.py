"""A queue that is bounded in number and in bytes.

The rule kept here: whoever puts something in is told at once whether it fits, and never waits for whoever takes it out.
"""

import threading
from collections import deque
from typing import Final, Generic, Protocol, TypeVar


class Sized(Protocol):
    """What knows its size."""

    @property
    def size(self) -> int:
        """Bytes that came with it from outside."""


T = TypeVar("T", bound=Sized)


class BoundedQueue(Generic[T]):
    """First in, first out. Safe to use from any thread."""

    def __init__(self, *, room: int, room_bytes: int) -> None:
        self._room: Final = room
        self._room_bytes: Final = room_bytes
        self._bytes = 0
        self._items: Final[deque[T]] = deque()
        self._changing: Final = threading.Lock()
        self._acquire: Final = self._changing.acquire  # a `with` takes compiled code three times as long
        self._release: Final = self._changing.release

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_half_full(self) -> bool:
        """Whether more than half of the room is taken, by number or by bytes."""
        return len(self._items) > self._room // 2 or self._bytes > self._room_bytes // 2

    def put(self, item: T) -> bool:
        """Take this in; whether it fits. The last one may be larger than the room that was left."""
        size, items = item.size, self._items
        self._acquire()
        try:
            if len(items) >= self._room or self._bytes >= self._room_bytes:
                return False
            items.append(item)
            self._bytes += size
        finally:
            self._release()
        return True

    def take(self, most: int) -> list[T]:
        """The oldest ones, at most so many."""
        taken: list[T] = []
        size, popleft = 0, self._items.popleft
        with self._changing:
            for _ in range(min(most, len(self._items))):
                item = popleft()
                size += item.size
                taken.append(item)
            self._bytes -= size
        return taken
