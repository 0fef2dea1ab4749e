"""Values that were seen lately, known by being the very same object."""

from typing import Final

_PLACES: Final = 1_021


class Seen:
    """Remembers values, for several threads: each has one place, and leaves it to the next that belongs there."""

    def __init__(self) -> None:
        self._places: Final[list[object]] = [None] * _PLACES

    def has(self, value: object) -> bool:
        """Whether this very object was added lately."""
        return self._places[id(value) % _PLACES] is value

    def add(self, value: object) -> None:
        """Know it from now on."""
        self._places[id(value) % _PLACES] = value
