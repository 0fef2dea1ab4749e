"""Pieces of audit lines that many lines have in common, made once.

The rules kept here: a piece is what the general way makes of the same values. What is remembered is bounded, in number
and in size, whatever requests bring, and nothing is remembered by a secret. An object that a piece is remembered by is
held, so that no other object can take its place.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from extauthz.record.decision import TRACE_HEADERS
from extauthz.record.masking import Keep

MOST: Final = 4_096
"""Pieces of a kind that are remembered; then all are made anew."""
ROOM: Final = 4_194_304
"""Characters of all that is remembered of a kind, what is held with it included; then all are made anew."""
LARGEST: Final = 32_768
"""Characters of a piece that is remembered, and of what is held with it."""
NO_TRACE: Final = -1
"""In place of the place of the header that tells the trace: no header tells one."""
_NAMED: Final = 64
"""Characters that the place of a name takes beside it, more or less."""
_TRACEPARENT: Final = "traceparent"

encoded: Final = msgspec.json.Encoder().encode
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


def escaped(text: str) -> str:
    """A text as it stands between quotes."""
    return text_of(text)[1:-1]


class Remembered(dict[K, V]):
    """A memory that is bounded: what is put in may take the place of all that was there, or not be kept at all."""

    def __init__(self) -> None:
        super().__init__()
        self._size = 0

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value that takes so many characters."""
        if size > LARGEST:
            return
        if len(self) >= MOST or self._size + size > ROOM:
            self.clear()
        self._size += size
        self[key] = value

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._size = 0


class ByValue(Remembered[K, str]):
    """The piece of each value, made when it is first asked for. What a value holds is in its piece."""

    def __init__(self, make: Callable[[K], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> str:
        piece = self._make(key)
        self.put(key, piece, len(piece))
        return piece


class ByIdentity(Generic[T]):
    """The piece of each object, made when it is first asked for. The objects never change.

    `weight` says how many characters an object holds that are not in its piece, so that what clients send does not stay
    because something short is remembered of it. `known` are the objects with their pieces by id: for who can't spare
    the call.
    """

    def __init__(self, make: Callable[[T], str], weight: Callable[[T], int] = lambda _: 0) -> None:
        self._make = make
        self._weight = weight
        self.known: Remembered[int, tuple[T, str]] = Remembered()

    def of(self, one: T) -> str:
        """The piece of this object."""
        known = self.known.get(id(one))
        return self.new(one) if known is None else known[1]

    def new(self, one: T) -> str:
        """The piece of an object that is not known."""
        piece = self._make(one)
        self.known.put(id(one), (one, piece), len(piece) + self._weight(one))
        return piece

    def clear(self) -> None:
        """Forget all."""
        self.known.clear()


class HeaderShape(NamedTuple):
    """The headers of all requests with the same names, a line each: which are in the clear, and the text around them.

    `clear` gives of all lines those in the clear, in the order of their names; they belong into the gaps at the odd
    places of `pieces`. `trace` is the place of the `traceparent` among the lines; `NO_TRACE` where no header tells a
    trace, `None` where others may. `places` are what the shape is known by.
    """

    pieces: list[str]
    clear: Callable[[tuple[str, ...]], tuple[str, ...]]
    trace: int | None
    places: Mapping[str, int]

    def filled(self, values: tuple[str, ...]) -> str:
        """The field of the line, with these values in the clear, which are plain."""
        pieces = self.pieces.copy()
        pieces[1::2] = values
        return "".join(pieces)


class HeaderShapes:
    """The shape of each set of names, which requests with the same names have in common."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._known: Remembered[int, HeaderShape] = Remembered()

    def of(self, places: Mapping[str, int]) -> HeaderShape:
        """The shape of these names, at least one, with the place of each value."""
        shape = self._known.get(id(places))
        if shape is None:
            shape = _shape_of(places, self._keep)
            self._known.put(id(places), shape, sum(2 * len(name) + _NAMED for name in places))
        return shape


def _shape_of(places: Mapping[str, int], keep: Keep) -> HeaderShape:
    pieces = [',"headers":{']
    for name in places:
        pieces[-1] += f"{text_of(name)}:"
        if name in keep.headers:
            pieces[-1] += '["'
            pieces += ["", '"],']
        else:
            pieces[-1] += "1,"
    pieces[-1] = pieces[-1].removesuffix(",") + "}"
    trace = places.get(_TRACEPARENT)
    if trace is None and TRACE_HEADERS.isdisjoint(places):
        trace = NO_TRACE
    return HeaderShape(
        pieces, _taking([place for name, place in places.items() if name in keep.headers]), trace, places
    )


def _taking(places: Sequence[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    match places:
        case []:
            return lambda _: ()
        case [one]:
            return itemgetter(slice(one, one + 1))
        case _:
            return itemgetter(*places)
