"""A bounded memory of what sources said.

The rule: an answer is found under exactly the question that it was given to, until its time is over. What was longest
unused goes first, as soon as there are too many or they are too large together.
"""

import sys
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import msgspec

OVERHEAD: Final = 512
"""Bytes that are reckoned for an answer besides what it says and its question: its place in this memory."""


class _Kept(msgspec.Struct, frozen=True):
    attributes: Mapping[str, Any]
    until: float
    size: int


class Answers:
    """At most `most` answers, and `most_bytes` of them; for several threads. Times are on one monotonic clock.

    `found` is how often there was one.
    """

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self.found = 0
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, question: str, now: float) -> Mapping[str, Any] | None:
        """What was said, `None` if that is not known at `now`."""
        with self._lock:
            kept = self._kept.get(question)
            if kept is None:
                return None
            if now >= kept.until:
                self._drop(question)
                return None
            self._kept.move_to_end(question)
            self.found += 1
            return kept.attributes

    def put(self, question: str, attributes: Mapping[str, Any], *, until: float) -> None:
        """Remember an answer."""
        whole = _size(attributes) + len(question) + OVERHEAD
        with self._lock:
            if question in self._kept:
                self._drop(question)
            if whole > self._most_bytes:
                return
            self._kept[question] = _Kept(attributes, until, whole)
            self._bytes += whole
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._drop(next(iter(self._kept)))

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, question: str) -> None:
        self._bytes -= self._kept.pop(question).size


def _size(value: object) -> int:
    """Bytes of a value with all that it holds."""
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        size += sum(_size(name) + _size(item) for name, item in value.items())
    elif isinstance(value, list):
        size += sum(map(_size, value))
    return size
