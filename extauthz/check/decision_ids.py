"""The ids of decisions: unique over replicas and restarts, at a small part of the cost of a UUID."""

from itertools import count
from typing import Final

_BLOCK: Final = 256
_LAST_DIGITS: Final = tuple(f"{number:02x}" for number in range(_BLOCK))


class DecisionIds:
    """Ids with a random prefix, counted up; may be shared by threads."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._next: Final = count(_BLOCK).__next__
        self._block = (0, "")

    def new(self) -> str:
        """An id that no other decision has."""
        number = self._next()  # one step for all threads
        block, last = number >> 8, number & 255
        # All but the last two digits is the same in a block.
        known, text = self._block
        if known != block:
            text = f"{self._prefix}-{block:x}"
            self._block = block, text
        return f"{text}{_LAST_DIGITS[last]}"
