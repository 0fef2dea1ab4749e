"""Pieces of audit lines that many lines have in common, made once.

The rules kept here: a piece is what the general way makes of the same values. What is remembered is bounded, in number
and in bytes, and nothing is remembered by a secret. An object that a piece is remembered by is held, so that no other
object can take its place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, Generic, TypeVar

import msgspec

from extauthz.record.masking import Keep

MOST: Final = 4_096
"""Pieces of a kind that are remembered; then all are made anew."""
LARGEST: Final = 2_048
"""Characters of a piece that is remembered."""

_encoder: Final = msgspec.json.Encoder()

T = TypeVar("T")
K = TypeVar("K")


def text_of(value: object) -> str:
    """A value as JSON. Raises `UnicodeEncodeError` for a lone surrogate."""
    return _encoder.encode(value).decode()


def is_plain(text: str) -> bool:
    """Whether a text stands in JSON as it is: then its encoding is as long as that in UTF-8, and the quotes.

    Raises `UnicodeEncodeError` for a lone surrogate.
    """
    return len(_encoder.encode(text)) == (len(text) if text.isascii() else len(text.encode())) + 2


def escaped(text: str) -> str:
    """A text as it stands between quotes."""
    return text_of(text)[1:-1]


class ByValue(dict[K, str]):
    """The piece of each value, made when it is first asked for."""

    def __init__(self, make: Callable[[K], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> str:
        text = self._make(key)
        if len(self) >= MOST:
            self.clear()
        if len(text) <= LARGEST:
            self[key] = text
        return text


class ByIdentity(Generic[T]):
    """The piece of each object, made when it is first asked for. The objects never change."""

    def __init__(self, make: Callable[[T], str]) -> None:
        self._make = make
        self._kept: dict[int, tuple[T, str]] = {}

    def of(self, one: T) -> str:
        """The piece of this object."""
        kept = self._kept.get(id(one))
        return self._new(one) if kept is None else kept[1]

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def _new(self, one: T) -> str:
        text = self._make(one)
        if len(self._kept) >= MOST:
            self._kept.clear()
        if len(text) <= LARGEST:
            self._kept[id(one)] = (one, text)
        return text


class HeaderShape:
    """The headers of all requests with the same names, a line each: which are in the clear, and the text around them.

    `places` are the names in their order, with the place of each value. `clear` gives of all values those in the clear,
    in the order of their names.
    """

    __slots__ = ("_pieces", "clear", "places")

    def __init__(self, places: Mapping[str, int], keep: Keep) -> None:
        self.places = places
        self.clear = _taking([place for name, place in places.items() if name in keep.headers])
        pieces = [',"headers":{']
        for name in places:
            pieces[-1] += f"{text_of(name)}:"
            if name in keep.headers:
                pieces[-1] += '["'
                pieces += ["", '"],']
            else:
                pieces[-1] += "1,"
        self._pieces = [*pieces[:-1], pieces[-1].removesuffix(",") + "}"]

    def filled(self, values: Iterable[str]) -> str:
        """The field of the line, with these values in the clear, which are plain."""
        pieces = self._pieces.copy()
        pieces[1::2] = values
        return "".join(pieces)


def _taking(places: Sequence[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    match places:
        case []:
            return lambda _: ()
        case [one]:
            return itemgetter(slice(one, one + 1))
        case _:
            return itemgetter(*places)


class HeaderShapes:
    """The shape of each set of names, which requests with the same names have in common."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._kept: dict[int, HeaderShape] = {}

    def of(self, places: Mapping[str, int]) -> HeaderShape:
        """The shape of these names, with the place of each value."""
        shape = self._kept.get(id(places))
        if shape is None:
            if len(self._kept) >= MOST:
                self._kept.clear()
            shape = self._kept[id(places)] = HeaderShape(places, self._keep)
        return shape
