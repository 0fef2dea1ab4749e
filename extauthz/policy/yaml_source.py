"""YAML text to plain values that know their place: YAML 1.2's core schema, and nothing that surprises.

Built on PyYAML's events, so that what is refused is refused while it is read: duplicate keys, anchors and aliases,
tags, keys that are not text, deep nesting, big files. `yes`, `on`, `010` and `1:30` are what YAML 1.2 says: text,
and a decimal number for `010`. The rule kept here: nothing that two readers of a file could read differently.
"""

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import yaml

from extauthz.policy.problems import Path, PolicyErrors, Problem

MAX_CHARACTERS: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 32
# libyaml's parser gives the same events some ten times faster, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT = re.compile(r"(?<!\S)#")  # YAML 1.2.2 section 6.6: a blank stands before it, or the line begins with it
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1, and so PyYAML, counts as a line break


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place (1-based line and column), and for a scalar its extent and style in the text."""

    value: Any
    line: int
    column: int
    start: int = 0
    end: int = 0
    style: str = ""
    children: Mapping[str | int, "Node"] = field(default_factory=dict)
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class _Text:
    """The text of a file, and the way from indices to lines."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def line(self, number: int) -> str:
        """The text of a 1-based line without its end; empty for a line that does not exist."""
        if not 1 <= number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n\x85\u2028\u2029")

    def start(self, number: int) -> int:
        """The index at which a 1-based line starts; the end of the text for a line that does not exist."""
        return self._starts[number - 1] if 1 <= number <= len(self._starts) else len(self.text)

    def place(self, index: int) -> tuple[int, int]:
        """1-based line and column of an index."""
        number = bisect.bisect_right(self._starts, index)
        return number, index - self._starts[number - 1] + 1

    def error(self, message: str, line: int, column: int, hint: str = "") -> PolicyErrors:
        return PolicyErrors(
            [
                Problem(
                    file=self.file,
                    line=line,
                    column=column,
                    message=message,
                    hint=hint,
                    source_line=self.line(line),
                )
            ]
        )


class Document:
    """One YAML document: `value` is plain Python, and every value and key in it has a place."""

    def __init__(self, root: Node, text: _Text) -> None:
        self._root = root
        self._text = text
        self.value: Any = root.value

    @property
    def file(self) -> str:
        """The name that the document was loaded under."""
        return self._text.file

    def source_line(self, line: int) -> str:
        """The text of a 1-based line of the file."""
        return self._text.line(line)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of the value under `path`; steps that lead nowhere are skipped."""
        node = self._node(path)
        return node.line, node.column

    def key_place(self, path: Path) -> tuple[int, int]:
        """Line and column of the key that `path` ends in; of the value if it is no key."""
        parent = self._node(path[:-1])
        return parent.keys.get(str(path[-1])) or self.place(path) if path else self.place(path)

    def place_in(self, path: Path, line: int, column: int) -> tuple[int, int]:
        """Where the 1-based line and column of the *text value* under `path` stand in the file.

        Exact in plain, quoted and block scalars, on one line or several.
        """
        node = self._node(path)
        if not isinstance(node.value, str):
            return node.line, node.column
        lines = node.value.split("\n")
        offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
        return self._text.place(_index_in(self._text.text, node, offset))

    def end_line(self, path: Path) -> int:
        """The last line of the value under `path`, comments behind it on that line included."""
        return max(
            node.line if node.children else self._text.place(max(node.start, node.end - 1))[0]
            for node in _inner(self._node(path))
        )

    def comment(self, line: int) -> tuple[int, str] | None:
        """The comment that ends a 1-based line: its column, and its text from `#` on. A `#` in a text is none."""
        text, start = self._text.line(line), self._text.start(line)
        for found in _COMMENT.finditer(text):
            at = start + found.start()
            before = bisect.bisect_right(self._scalars, (at, at)) - 1
            if before < 0 or self._scalars[before][1] <= at:
                return found.start() + 1, text[found.start() :]
        return None

    @cached_property
    def _scalars(self) -> list[tuple[int, int]]:
        """Where the document's texts and numbers begin and end in the file, in order."""
        return sorted((node.start, node.end) for node in _inner(self._root) if node.start < node.end)

    def _node(self, path: Path) -> Node:
        node = self._root
        for step in path:
            node = node.children.get(step, node)
        return node


def _inner(node: Node) -> Iterator[Node]:
    """The node and all nodes in it."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(current.children.values())


def load_documents(text: str, file: str) -> list[Document]:
    """The documents of a YAML stream, empty ones left out. Raises `PolicyErrors` with the first problem's place."""
    source = _Text(text, file)
    if text.startswith("\ufeff"):
        raise source.error("starts with a byte order mark", 1, 1, "save it as UTF-8 without one")
    if len(text) > MAX_CHARACTERS:
        raise PolicyErrors([Problem(file=file, message=f"longer than {MAX_CHARACTERS} characters", hint="split it")])
    try:
        return [Document(root, source) for root in _Builder(source).documents() if root.value is not None]
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(source, error) from None
    except yaml.reader.ReaderError as error:
        line, column = source.place(error.position)
        raise source.error("a character that YAML does not allow", line, column, "remove it") from None
    except UnicodeEncodeError as error:
        line, column = source.place(error.start)
        raise source.error("a lone surrogate is no character", line, column, "remove it") from None


def decode(raw: bytes, file: str) -> str:
    """The text of a file's bytes, which must be UTF-8; `PolicyErrors` names the place of the first bad byte."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = _Text(before, file).place(len(before))
        raise PolicyErrors(
            [Problem(file=file, line=line, column=column, message="not UTF-8", hint="save it as UTF-8")]
        ) from None


def _syntax_error(source: _Text, error: yaml.MarkedYAMLError) -> PolicyErrors:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    text = source.line(line)
    if "\t" in text[: len(text) - len(text.lstrip())]:
        return source.error("a tab can't indent YAML", line, column, "use spaces")
    context = f"{error.context}, " if error.context else ""
    return source.error(f"not YAML: {context}{error.problem}", line, column)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark  # the parser sets it in every event
    return mark.line + 1, mark.column + 1


class _Builder:
    """Events to nodes, without recursion on the input's nesting beyond `MAX_DEPTH`."""

    def __init__(self, source: _Text) -> None:
        self._source = source
        self._events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=_LOADER)

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield self._node(next(self._events), 0)

    def _error(self, event: yaml.Event, message: str, hint: str = "") -> PolicyErrors:
        return self._source.error(message, *_place(event), hint)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) or event.anchor is not None:
            raise self._error(event, "anchors and aliases are refused", "write the value out")
        if event.tag is not None:
            raise self._error(event, f"the tag `{event.tag}` is refused", "remove it; quote what must be text")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth + 1)
        return self._mapping(event, depth + 1)

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        plain = event.implicit[0]
        value = _plain_value(event.value) if plain else event.value
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            raise self._error(event, "the number does not fit 64 bits", "quote it if it is text")
        start: Any = event.start_mark
        end: Any = event.end_mark
        return Node(value, *_place(event), start.index, end.index, event.style or "")

    def _sequence(self, event: yaml.Event, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            children[len(children)] = self._node(item, depth)
        values = [child.value for child in children.values()]
        return Node(values, *_place(event), children=children)

    def _mapping(self, event: yaml.Event, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        while not isinstance(item := next(self._events), yaml.MappingEndEvent):
            key = self._node(item, depth)
            if not isinstance(key.value, str):
                raise self._error(item, "a key must be text", "quote it")
            if key.value in keys:
                first = keys[key.value][0]
                raise self._error(item, f"duplicate key `{key.value}`", f"the first one is in line {first}")
            keys[key.value] = (key.line, key.column)
            children[key.value] = self._node(next(self._events), depth)
        values = {name: child.value for name, child in children.items()}
        return Node(values, *_place(event), children=children, keys=keys)


_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# YAML 1.2.2 section 10.3.2, the core schema's resolution of plain scalars; numbers are bounded in length so that no
# literal makes the conversion quadratic.
_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...]] = (
    (re.compile(r"[-+]?[0-9]{1,64}"), int),
    (re.compile(r"0o[0-7]{1,64}"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]{1,64}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]{1,64}|[0-9]{1,64}(\.[0-9]{0,64})?)([eE][-+]?[0-9]{1,8})?"), float),
)


def _plain_value(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        for pattern, convert in _NUMBERS:
            if pattern.fullmatch(text):
                return convert(text)
    return text


_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r\n[ \t]*|[\n\r][ \t]*|.)")


def _blank(escape: str) -> bool:
    """Whether an escape of a double-quoted scalar, without its backslash, stands for a blank or for nothing."""
    if len(escape) > 1 and escape[0] in "xuU":
        return chr(int(escape[1:], 16)).isspace()
    return escape[0] in "tnvfr N_LP\t\r\n"


def _index_in(text: str, node: Node, offset: int) -> int:
    """The index in the file of the character at `offset` of a scalar's value.

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
