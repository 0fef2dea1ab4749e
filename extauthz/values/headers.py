"""The headers of a request as they come most often: each in one line, under names that other requests have, too.

The rule kept here: whoever asks for headers may ask them as the mapping that all others are, but they inherit nothing:
what is compiled and inherits from what is not may be referred to when it is gone.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, final

from extauthz.values.common import Common


def text_of(value: bytes) -> str:
    """What a value says; a byte that is no UTF-8 is read as U+FFFD."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="replace")


@final
class OneLineEach:
    """Headers of which each came in one line: `places` are the indices into `lines`, by name.

    `foldable` are the names that are `is_foldable`; `common` is what these headers and others were read as, if so. Then
    only those may be given that are `differing`: the values at the places that vary, in their order and as they came,
    in place of what `lines` has there. The others are not taken up for each request, and of these most are never asked
    for.
    """

    def __init__(
        self,
        places: dict[str, int],
        lines: tuple[str, ...],
        foldable: tuple[str, ...],
        common: Common | None = None,
        differing: list[bytes] | None = None,
    ) -> None:
        self.places: Final = places
        self.foldable: Final = foldable
        self.common: Final = common
        self._lines: Final = lines
        self._differing: Final = differing

    def __reduce__(self) -> tuple[object, ...]:
        """It travels with all of its lines."""
        return OneLineEach, (self.places, self.lines, self.foldable, self.common)

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them, in the order of their places."""
        common, differing = self.common, self._differing
        if common is None or differing is None:
            return self._lines
        lines = [*self._lines]
        for turn, place in enumerate(common.in_order):
            lines[place] = text_of(differing[turn])
        return tuple(lines)

    def line(self, place: int) -> str:
        """The one at this place."""
        common, differing = self.common, self._differing
        if common is not None and differing is not None:
            turn = common.turn(place)
            if turn >= 0:
                return text_of(differing[turn])
        return self._lines[place]

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return (self.line(self.places[name]),)

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - as a mapping has it
        """The line with this name as the only one of its kind."""
        place = self.places.get(name)
        return default if place is None else (self.line(place),)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.places.keys()

    def values(self) -> ValuesView[tuple[str, ...]]:
        """The lines, each as the only one of its kind."""
        return self._as_dict().values()

    def items(self) -> ItemsView[str, tuple[str, ...]]:
        """The names with them."""
        return self._as_dict().items()

    def __eq__(self, other: object) -> bool:
        return self._as_dict() == (other._as_dict() if isinstance(other, OneLineEach) else other)

    def __repr__(self) -> str:
        return repr(self._as_dict())

    def _as_dict(self) -> dict[str, tuple[str, ...]]:
        lines = self.lines
        return {name: (lines[place],) for name, place in self.places.items()}


Headers = Mapping[str, tuple[str, ...]] | OneLineEach
"""Lower-case names to every line of a header that was sent, in order."""
