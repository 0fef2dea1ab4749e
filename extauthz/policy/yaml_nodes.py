"""What YAML text is read into: values that know their place, and what of a mapping or list could not be read.

The rule kept here: a value that is lost stays lost. Its name is kept in the node that it was to stand in, so that who
looks at the rest can tell "wrong, and told already" from "never written".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from extauthz.policy.problems import Path

ELEMENT: Final = -1
"""What stands among the names of the lost for an element of a list; the elements behind it have moved up."""
NOTHING_LOST: Final[frozenset[str | int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place (1-based line and column), and for a scalar its extent and style in the text.

    `keys` are the places of all keys that were written, `lost` the names of those whose value is not the one written.
    """

    value: Any
    line: int
    column: int
    start: int = 0
    end: int = 0
    style: str = ""
    children: Mapping[str | int, "Node"] = field(default_factory=dict)
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    lost: frozenset[str | int] = NOTHING_LOST


class Drop(msgspec.Struct, frozen=True):
    """Lose a value."""


class Supply(msgspec.Struct, frozen=True):
    """Lose a value, and let another one stand in for it."""

    value: Any


class Rename(msgspec.Struct, frozen=True):
    """Take a key for another one, which was meant."""

    key: str


Edit = Drop | Supply | Rename


def edited(node: Node, edits: Sequence[tuple[Path, Edit]]) -> Node:
    """The node with edits of what stands in it, each under a path of one step or more; the outermost counts."""
    own: dict[str | int, Edit] = {}
    deeper: dict[str | int, list[tuple[Path, Edit]]] = {}
    for path, edit in edits:
        if len(path) == 1:
            own.setdefault(path[0], edit)
        else:
            deeper.setdefault(path[0], []).append((path[1:], edit))
    steps = dict.fromkeys((*node.children, *own))
    children: dict[str | int, Node] = {}
    keys = dict(node.keys)
    lost = set(node.lost)
    for step in steps:
        match own.get(step):
            case None:
                child = node.children[step]
                children[step] = edited(child, deeper[step]) if step in deeper else child
            case Rename(key=key):
                children[key], keys[key] = node.children[step], keys.pop(str(step))
            case Supply(value=value):
                children[step] = Node(value, *_place_of(node, step))
                lost.add(step)
            case Drop():
                lost.add(step)
    if isinstance(node.value, list):
        children = dict(enumerate(children.values()))
        values: Any = [child.value for child in children.values()]
        return replace(node, value=values, children=children, lost=frozenset({ELEMENT}) if lost else node.lost)
    values = {name: child.value for name, child in children.items()}
    return replace(node, value=values, children=children, keys=keys, lost=frozenset(lost))


def _place_of(node: Node, step: str | int) -> tuple[int, int]:
    there = node.children.get(step, node)
    return there.line, there.column


def inner(node: Node) -> Iterator[Node]:
    """The node and all nodes in it."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(current.children.values())


_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r\n[ \t]*|[\n\r][ \t]*|.)")


def _blank(escape: str) -> bool:
    """Whether an escape of a double-quoted scalar, without its backslash, stands for a blank or for nothing."""
    if len(escape) > 1 and escape[0] in "xuU":
        return chr(int(escape[1:], 16)).isspace()
    return escape[0] in "tnvfr N_LP\t\r\n"


def index_in(text: str, node: Node, offset: int) -> int:
    """The index in the file's text of the character at `offset` of a scalar's value.

    Folding and indentation change only blanks, so that the visible characters of value and source are the same in
    the same order, one by one but for the escapes of quoted scalars.
    """
    value: str = node.value
    visible = sum(1 for c in value[:offset] if not c.isspace())
    places = _visible_places(text, node)
    if offset < len(value) and not value[offset].isspace():
        return next((p for n, p in enumerate(places) if n == visible), node.start)
    last = next((p for n, p in enumerate(places) if n == visible - 1), None)
    if last is None:
        return node.start
    # A blank, or the end: as far behind the last visible character as in the value.
    return last + offset - max((i for i, c in enumerate(value[:offset]) if not c.isspace()), default=offset)


def _visible_places(text: str, node: Node) -> Iterator[int]:
    """The indices in the file of the visible characters of a scalar's value, in order."""
    at, end = node.start, node.end
    if node.style in ("|", ">"):
        at = text.index("\n", at) if "\n" in text[at:end] else end
    elif node.style:
        at, end = at + 1, end - 1
    while at < end:
        width = 1
        if node.style == '"' and text[at] == "\\" and (escape := _ESCAPE.match(text, at)):
            width = len(escape.group())
            if not _blank(escape.group()[1:]):
                yield at
        elif not text[at].isspace():
            yield at
            width = 2 if node.style == "'" and text[at] == "'" else 1
        at += width
