"""Configuration as YAML for people: comments beside what they explain, short mappings on one line.

The rule kept here: what is written is read back as the same value, by YAML 1.1 and by YAML 1.2.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from extauthz.envoy.notes import SCALARS, Noted, Scalar, Value

WIDTH: Final = 120
_DEEPEST: Final = 4
"""So many brackets may stand in one another on one line."""
_APART: Final = frozenset({"listeners", "clusters"})
"""Lists whose items have an empty line between them."""
_BARE: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./+-]*|[0-9]+(?:\.[0-9]+)?s|(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def render(value: Noted, *, head: str) -> str:
    """The text of `value` with `head`, paragraphs that say what it is, over it; ends in a newline."""
    lines = list(_comment(head, 0))
    for key in value.fields:
        lines += ["", *_entry(value, key, 0)]
    return "\n".join(lines) + "\n"


def _entry(mapping: Noted, key: str, indent: int, *, first: str = "") -> Iterator[str]:
    """The lines of one key. `first` stands before it, in the place of as much of the indentation."""
    value, note = mapping.fields[key], mapping.notes.get(key)
    line = " " * (indent - len(first)) + first + f"{_scalar(key)}:"
    flow = _flow(value, _DEEPEST)
    whole = flow is not None and (isinstance(value, SCALARS) or len(line) + len(flow) < WIDTH)
    if whole:
        line += f" {flow}"
    if note is not None:
        beside = f"{line}   # {note.text}"
        if note.beside and len(beside) <= WIDTH and note.text.isprintable():
            line = beside
        else:
            yield from _comment(note.text, indent - len(first))
    yield line
    if whole:
        return
    if isinstance(value, Noted):
        for number, name in enumerate(value.fields):
            if number and name in _APART:
                yield ""
            yield from _entry(value, name, indent + 2)
    elif not isinstance(value, SCALARS):
        yield from _items(value, indent + 2, apart=key in _APART)


def _items(items: Sequence[Value], indent: int, *, apart: bool) -> Iterator[str]:
    for index, item in enumerate(items):
        if apart and index:
            yield ""
        short = isinstance(item, SCALARS) or (
            isinstance(item, Noted) and all(isinstance(part, SCALARS) for part in item.fields.values())
        )
        flow = _flow(item, _DEEPEST) if short else None
        if flow is not None and indent + len(flow) + 2 <= WIDTH:
            yield " " * indent + f"- {flow}"
        elif isinstance(item, Noted):
            for number, key in enumerate(item.fields):
                yield from _entry(item, key, indent + 2, first="" if number else "- ")
        else:
            raise TypeError("a list in a list is nowhere in Envoy's configuration")


def _flow(value: Value, depth: int) -> str | None:
    """The value on one line; `None` where it has notes, is a list of mappings, or is too deep for one."""
    if isinstance(value, SCALARS):
        return _scalar(value)
    if isinstance(value, Noted):
        if value.notes or "@type" in value.fields or (value.fields and not depth):
            return None
        parts = {key: _flow(item, depth - 1) for key, item in value.fields.items()}
        if None in parts.values():
            return None
        return "{" + ", ".join(f"{_scalar(key)}: {part}" for key, part in parts.items()) + "}"
    scalars = [_scalar(item) for item in value if isinstance(item, SCALARS)]
    return f"[{', '.join(scalars)}]" if len(scalars) == len(value) else None


def _scalar(value: Scalar) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, float):
        # YAML 1.1 takes `1e-05` for text.
        return re.sub(r"^(-?[0-9]+)e", r"\1.0e", repr(value))
    return "".join(map(_written, json.dumps(value, ensure_ascii=False)))


def _written(character: str) -> str:
    """What can't be printed is written by its number: YAML takes some of it for the end of a line, or refuses it."""
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _comment(text: str, indent: int) -> Iterator[str]:
    """The text as comment lines; each of its own lines begins one."""
    prefix = " " * indent + "# "
    for written in text.split("\n"):
        paragraph = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in written)
        if not paragraph:
            yield prefix.rstrip()
        yield from textwrap.wrap(
            paragraph,
            WIDTH,
            initial_indent=prefix,
            subsequent_indent=prefix,
            break_long_words=False,
            break_on_hyphens=False,
        )
