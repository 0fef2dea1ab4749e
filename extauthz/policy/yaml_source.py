"""YAML text to plain values that know their place: YAML 1.2's core schema, and nothing that surprises.

Built on PyYAML's events, so that what is refused is refused while it is read: duplicate keys, anchors and aliases,
tags, keys that are not text, deep nesting, big files. `yes`, `on`, `010` and `1:30` are what YAML 1.2 says: text,
and a decimal number for `010`. The rule kept here: nothing that two readers of a file could read differently, and what
is refused hides nothing: it is lost, and the rest is read.
"""

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import msgspec
import yaml

from extauthz.policy.problems import Path, PolicyErrors, Problem
from extauthz.policy.yaml_nodes import ELEMENT, NOTHING_LOST, Edit, Node, edited, index_in, inner

MAX_CHARACTERS: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 32
# libyaml's parser gives the same events some ten times faster, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT = re.compile(r"(?<!\S)#")  # YAML 1.2.2 section 6.6: a blank stands before it, or the line begins with it
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1, and so PyYAML, counts as a line break


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

    def problem(self, message: str, line: int, column: int, hint: str = "") -> Problem:
        """A problem at a 1-based line and column."""
        source_line = self.line(line)
        return Problem(file=self.file, line=line, column=column, message=message, hint=hint, source_line=source_line)


class Document:
    """One YAML document: `value` is plain Python, and every value and key in it has a place.

    What is wrong with a document may be lost from it, so that the rest can be read: see `lost`. `problems` tell what
    was lost when it was read; a document that has any is good for nothing but to be judged.
    """

    def __init__(self, root: Node, text: _Text, problems: tuple[Problem, ...] = ()) -> None:
        self._root = root
        self._text = text
        self.value: Any = root.value
        self.problems = problems

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

    def actual(self, path: Path) -> Path:
        """The path without the steps that lead nowhere."""
        node, steps = self._root, []
        for step in path:
            if (child := node.children.get(step)) is not None:
                node = child
                steps.append(step)
        return tuple(steps)

    def keys(self, path: Path) -> tuple[str, ...]:
        """The keys of the mapping under `path` as they were written; none if there is no such mapping."""
        node = self._exact(path)
        return () if node is None else tuple(node.keys)

    def lost(self, path: Path) -> frozenset[str | int]:
        """The keys whose value in the mapping under `path` is not the one written; for a list, whether any element."""
        node = self._exact(path)
        return NOTHING_LOST if node is None else node.lost

    def is_lost(self, path: Path) -> bool:
        """Whether the value under `path` is not the one written."""
        return path[-1] in self.lost(path[:-1])

    def has(self, path: Path) -> bool:
        """Whether a value was written under `path`, lost or not."""
        return self._exact(path) is not None or self.is_lost(path)

    def edited(self, edits: Mapping[Path, Edit]) -> "Document":
        """The document with edits of values; the outermost counts. None is for the document as a whole."""
        return Document(edited(self._root, list(edits.items())), self._text, self.problems)

    def place_in(self, path: Path, line: int, column: int) -> tuple[int, int]:
        """Where the 1-based line and column of the *text value* under `path` stand in the file.

        Exact in plain, quoted and block scalars, on one line or several.
        """
        node = self._node(path)
        if not isinstance(node.value, str):
            return node.line, node.column
        lines = node.value.split("\n")
        offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
        return self._text.place(index_in(self._text.text, node, offset))

    def end_line(self, path: Path) -> int:
        """The last line of the value under `path`, comments behind it on that line included."""
        return max(
            node.line if node.children else self._text.place(max(node.start, node.end - 1))[0]
            for node in inner(self._node(path))
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
        return sorted((node.start, node.end) for node in inner(self._root) if node.start < node.end)

    def _node(self, path: Path) -> Node:
        node = self._root
        for step in path:
            node = node.children.get(step, node)
        return node

    def _exact(self, path: Path) -> Node | None:
        node: Node | None = self._root
        for step in path:
            if node is None:
                return None
            node = node.children.get(step)
        return node


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What a YAML text holds: its documents, empty ones left out, and what is wrong with it, theirs included.

    `whole` is whether no document is missing: none can be read behind what is not YAML at all.
    """

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...] = ()
    whole: bool = True


def load_documents(text: str, file: str) -> list[Document]:
    """The documents of a YAML text, empty ones left out. Raises `PolicyErrors` with every problem."""
    stream = read_stream(text, file)
    if stream.problems:
        raise PolicyErrors(stream.problems)
    return list(stream.documents)


def read_stream(text: str, file: str) -> Stream:
    """What a YAML text holds. What is refused is lost from the documents and told."""
    source = _Text(text, file)
    if len(text) > MAX_CHARACTERS:
        problem = Problem(file=file, message=f"longer than {MAX_CHARACTERS} characters", hint="split it")
        return Stream(documents=(), problems=(problem,), whole=False)
    if text.startswith("\ufeff"):
        problem = source.problem("starts with a byte order mark", 1, 1, "save it as UTF-8 without one")
        return Stream(documents=(), problems=(problem,), whole=False)
    builder = _Builder(source)
    documents = []
    whole = True
    try:
        told = 0
        for root in builder.documents():
            whole &= root is not None
            if root is not None and root.value is not None:
                documents.append(Document(root, source, tuple(builder.problems[told:])))
            told = len(builder.problems)
    except _Unreadable as error:
        builder.problems.append(error.problem)
        whole = False
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeEncodeError) as error:
        builder.problems.append(_not_yaml(source, error))
        whole = False
    return Stream(documents=tuple(documents), problems=tuple(builder.problems), whole=whole)


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


def _not_yaml(source: _Text, error: yaml.MarkedYAMLError | yaml.reader.ReaderError | UnicodeEncodeError) -> Problem:
    if isinstance(error, UnicodeEncodeError):
        return source.problem("a lone surrogate is no character", *source.place(error.start), "remove it")
    if isinstance(error, yaml.reader.ReaderError):
        return source.problem("a character that YAML does not allow", *source.place(error.position), "remove it")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    text = source.line(line)
    if "\t" in text[: len(text) - len(text.lstrip())]:
        return source.problem("a tab can't indent YAML", line, column, "use spaces")
    context = f"{error.context}, " if error.context else ""
    return source.problem(f"not YAML: {context}{error.problem}", line, column)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark  # the parser sets it in every event
    return mark.line + 1, mark.column + 1


class _Unreadable(Exception):
    """The parser's work grows with the square of the nesting: too much of it ends the reading."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Builder:
    """Events to nodes, without recursion on the input's nesting beyond `MAX_DEPTH`; `problems` is what was refused."""

    def __init__(self, source: _Text) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=_LOADER)
        self._anchors_told = False

    def documents(self) -> Iterator[Node | None]:
        """The root of each document, `None` for one that is refused as a whole."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors_told = False
                yield self._node(next(self._events), 0)

    def _refuse(self, event: yaml.Event, message: str, hint: str = "") -> None:
        self.problems.append(self._source.problem(message, *_place(event), hint))

    def _node(self, event: yaml.Event, depth: int) -> Node | None:
        """The value that an event begins; `None` if it is refused."""
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._refuse_anchor(event)
            return None
        if event.anchor is not None:
            self._refuse_anchor(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif depth >= MAX_DEPTH:
            raise _Unreadable(self._source.problem(f"nested deeper than {MAX_DEPTH} levels", *_place(event)))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth + 1)
        else:
            node = self._mapping(event, depth + 1)
        if event.tag is not None:
            self._refuse(event, f"the tag `{event.tag}` is refused", "remove it; quote what must be text")
            return None
        return node

    def _refuse_anchor(self, event: yaml.Event) -> None:
        """Told once for a document: who uses them uses many."""
        if not self._anchors_told:
            self._refuse(event, "anchors and aliases are refused", "write the value out")
        self._anchors_told = True

    def _scalar(self, event: yaml.ScalarEvent) -> Node | None:
        plain = event.implicit[0]
        value = _plain_value(event.value) if plain else event.value
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            self._refuse(event, "the number does not fit 64 bits", "quote it if it is text")
            return None
        start: Any = event.start_mark
        end: Any = event.end_mark
        return Node(value, *_place(event), start.index, end.index, event.style or "")

    def _sequence(self, event: yaml.Event, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        lost: set[str | int] = set()
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            if (child := self._node(item, depth)) is None:
                lost.add(ELEMENT)
            else:
                children[len(children)] = child
        values = [child.value for child in children.values()]
        return Node(values, *_place(event), children=children, lost=frozenset(lost) if lost else NOTHING_LOST)

    def _mapping(self, event: yaml.Event, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        lost: set[str | int] = set()
        while not isinstance(item := next(self._events), yaml.MappingEndEvent):
            key = self._node(item, depth)
            value = self._node(next(self._events), depth)
            if key is None or not isinstance(name := key.value, str):
                if key is not None:
                    self._refuse(item, "a key must be text", "quote it")
                lost.add(item.value if isinstance(item, yaml.ScalarEvent) else "")
            elif name in keys:
                self._refuse(item, f"duplicate key `{name}`", f"the first one is in line {keys[name][0]}")
                lost.add(name)
            else:
                keys[name] = (key.line, key.column)
                if value is None:
                    lost.add(name)
                else:
                    children[name] = value
        values = {name: child.value for name, child in children.items()}
        whole = frozenset(lost) if lost else NOTHING_LOST
        return Node(values, *_place(event), children=children, keys=keys, lost=whole)


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
