"""Where in `extauthz.yaml` a key may stand, for whoever has written it at another place."""

from collections.abc import Iterator
from functools import cache
from typing import Final, get_args

from pydantic import BaseModel

from extauthz.settings.file import Settings

_MOST: Final = 3
"""Blocks that are told; a key that is in more of them says nothing of what was meant."""


def where_it_belongs(key: str, *, written_in: str) -> str:
    """The blocks that have a key which was written in another one, in words; those within that one alone, if there are
    any. Nothing where none has it, or too many."""
    blocks = tuple(dict.fromkeys(path for path, name in _keys() if name == key))
    within = tuple(path for path in blocks if path.startswith(f"{written_in}."))
    meant = within or blocks
    if not 0 < len(meant) <= _MOST:
        return ""
    return f"it belongs {' or '.join(f'under `{path}`' if path else 'at the top of the file' for path in meant)}"


@cache
def _keys() -> tuple[tuple[str, str], ...]:
    return tuple(_within(Settings, ""))


def _within(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """Every key with the path of the block that it stands in."""
    refused = getattr(model, "foreign", ())
    for attribute, field in model.model_fields.items():
        key = field.alias or attribute
        if key not in refused:
            yield path, key
            for inner in _blocks(field.annotation):
                yield from _within(inner, f"{path}.{key}" if path else key)


def _blocks(kind: object) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _blocks(inner)
