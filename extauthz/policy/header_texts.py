"""Headers of which each came in one line, by their names: nearly every request has them so."""

from collections.abc import Iterator, Mapping
from typing import Final


class OneLineTexts(Mapping[str, str]):
    """Header names in any case to their only value: `places` and `lines` are those of `OneLineEach`."""

    def __init__(self, places: Mapping[str, int], lines: tuple[str, ...]) -> None:
        self._places: Final = places
        self._lines: Final = lines

    def __getitem__(self, name: object) -> str:
        if not isinstance(name, str):  # a key of type dyn may be anything
            raise KeyError(name)
        return self._lines[self._places[name.lower()]]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
