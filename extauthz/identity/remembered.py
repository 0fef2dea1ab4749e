"""A bounded memory of what was worked out, for several threads.

The rule: what was longest unused goes first, and nothing is found that was not put there.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, Self, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """At most `most` values by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The value for `key`, `None` if there is none."""
        values: dict[Key, Value] = self._values  # as such it is looked into without a call, where this is compiled
        value = values.get(key)
        # While there is much room left nobody will be forgotten soon, and it does not matter yet who was used when.
        if value is not None and len(values) * 2 > self._most:
            # Without the lock: each of the two is one step for all threads, and in between it may be forgotten.
            try:  # noqa: SIM105 - `suppress` costs as much as all the rest
                self._values.move_to_end(key)
            except KeyError:
                pass
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember `value`, and forget what is too much."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def forget(self, key: Key) -> None:
        """Find nothing for `key` any more."""
        with self._lock:
            self._values.pop(key, None)

    def without(self, forgotten: Callable[[Value], bool]) -> Self:
        """A copy that does not hold the values that are to be `forgotten`."""
        kept = type(self)(self._most)
        with self._lock:
            kept._values = OrderedDict((key, value) for key, value in self._values.items() if not forgotten(value))
        return kept
