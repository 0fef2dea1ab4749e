"""The headers of a request as they come most often: each in one line, under names that other requests have, too."""

from abc import ABCMeta
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from extauthz.values.common import Common


class _StructMeta(msgspec.StructMeta, ABCMeta):
    """Of a mapping that is made as fast as msgspec makes its values."""


class OneLineEach(
    Mapping[str, tuple[str, ...]], msgspec.Struct, metaclass=_StructMeta, frozen=True, eq=False, gc=False
):
    """Headers of which each came in one line: `places` are the indices into `lines`, by name.

    `foldable` are the names that are `is_foldable`; `common` is what these headers and others were read as, if so.
    """

    places: dict[str, int]
    lines: tuple[str, ...]
    foldable: tuple[str, ...]
    common: Common | None = None

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return (self.lines[self.places[name]],)

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - as the mapping has it, without its try
        place = self.places.get(name)
        return default if place is None else (self.lines[place],)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return repr(dict(self))
