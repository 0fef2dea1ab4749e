"""Pieces of audit lines that many lines have in common, made once.

The rules kept here: a piece is what the general way makes of the same values. What is remembered is bounded, in number
and in size, whatever requests bring, and nothing is remembered by a secret. An object that a piece is remembered by is
held, so that no other object can take its place.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

MOST: Final = 4_096
"""Pieces of a kind that are remembered; then all are made anew."""
ROOM: Final = 4_194_304
"""Characters of all that is remembered of a kind, what is held with it included; then all are made anew."""
LARGEST: Final = 32_768
"""Characters of a piece that is remembered, and of what is held with it."""

encoded: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode
"""A value as JSON. Raises `UnicodeEncodeError` for a lone surrogate."""

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def text_of(value: object) -> str:
    """A value as JSON. Raises `UnicodeEncodeError` for a lone surrogate."""
    return encoded(value).decode()


def is_plain(text: str) -> bool:
    """Whether a text stands in JSON as it is: then its encoding is as long as that in UTF-8, and the quotes.

    Raises `UnicodeEncodeError` for a lone surrogate.
    """
    return len(encoded(text)) == (len(text) if text.isascii() else len(text.encode())) + 2


def escaped(text: str) -> bytes:
    """A text as it stands between quotes."""
    return encoded(text)[1:-1]


class Remembered(Generic[K, V]):
    """A memory that is bounded: what is put in may take the place of all that was there, or not be kept at all.

    `known` are the values by their keys: for who can't spare a call.
    """

    def __init__(self) -> None:
        self.known: Final[dict[K, V]] = {}
        self._size = 0

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value that takes so many characters."""
        if size > LARGEST:
            return
        if len(self.known) >= MOST or self._size + size > ROOM:
            self.clear()
        self._size += size
        self.known[key] = value

    def clear(self) -> None:
        """Forget all."""
        self.known.clear()
        self._size = 0


class ByValue(Generic[K]):
    """The piece of each value, made when it is first asked for. What a value holds is in its piece."""

    def __init__(self, make: Callable[[K], bytes]) -> None:
        self._make = make
        self._pieces: Remembered[K, bytes] = Remembered()
        self.known: Final = self._pieces.known

    def of(self, value: K) -> bytes:
        """The piece of this value."""
        piece = self.known.get(value)
        if piece is None:
            piece = self._make(value)
            self._pieces.put(value, piece, len(piece))
        return piece


class ByIdentity(Generic[T]):
    """The piece of each object, made when it is first asked for. The objects never change.

    `weight` says how many characters an object holds that are not in its piece, so that what clients send does not stay
    because something short is remembered of it. `known` are the objects by id, with their pieces and the characters
    that these and they hold: for who can't spare the call.
    """

    def __init__(self, make: Callable[[T], bytes], weight: Callable[[T], int] = lambda _: 0) -> None:
        self._make = make
        self._weight = weight
        self._pieces: Remembered[int, tuple[T, bytes, int]] = Remembered()
        self.known: Final = self._pieces.known

    def of(self, one: T) -> bytes:
        """The piece of this object."""
        known = self.known.get(id(one))
        return self.new(one) if known is None else known[1]

    def new(self, one: T) -> bytes:
        """The piece of an object that is not known."""
        piece = self._make(one)
        size = len(piece) + self._weight(one)
        self._pieces.put(id(one), (one, piece, size), size)
        return piece
