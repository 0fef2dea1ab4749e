"""Text to values that know their place: YAML as Envoy reads it, and JSON, which is YAML.

Envoy takes what policies may not have: aliases, and `yes` for `true`. What two readers could read differently (a key
written twice), what Envoy would not read (merge keys, tags), and what would only keep us busy (nesting, aliases of
aliases) is refused. Limits are those of policies, but for the depth: Envoy's matchers nest deeper, to protobuf's 100.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from extauthz.errors import ConfigurationError
from extauthz.policy.yaml_source import MAX_CHARACTERS

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 1_000_000
"""Values of a document, with what stands behind its aliases counted each time."""
# libyaml's parser gives the same events some ten times faster, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# yaml-cpp's words, which Envoy asks it for: `YAML::convert<bool>`.
_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_FALSE: Final = frozenset({"n", "no", "false", "off"})
_WHOLE: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]+))")
"""What yaml-cpp reads as a number of base 16 or 8."""
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class UnreadableEnvoy(ConfigurationError):
    """A text is no configuration of Envoy; one line, place first."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value and its 1-based line. `entries` are those of a mapping, `items` those of a list, `lines` the keys'."""

    value: str | bool | float | None
    line: int
    entries: Mapping[str, "Node"] = field(default_factory=dict)
    items: Sequence["Node"] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    size: int = 1
    depth: int = 0

    @property
    def is_null(self) -> bool:
        """Whether it is `null`, and not a mapping or list, empty as it may be."""
        return self.value is None and self.size == 1


def read(text: str, file: str) -> list[Node]:
    """The documents of a text, empty ones left out. Raises `UnreadableEnvoy`."""
    if len(text) > MAX_CHARACTERS:
        raise UnreadableEnvoy(f"{file}: longer than {MAX_CHARACTERS} characters; split it")
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in {"{", "["}:
        text = text.replace("\t", " ")  # JSON may be indented by them
    try:
        return [node for node in _Builder(text, file).documents() if node.size > 1]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
        raise UnreadableEnvoy(f"{place}: neither YAML nor JSON: {error.problem or error.context}") from None
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        raise UnreadableEnvoy(f"{file}: holds a character that YAML does not allow; remove it") from None


class _Builder:
    """Events to nodes; recursion ends at `MAX_DEPTH`."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node] = {}
        self._left = MAX_VALUES

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._left = {}, MAX_VALUES
                yield self._node(next(self._events), 0)

    def _node(self, event: Any, depth: int) -> Node:  # noqa: ANN401 - PyYAML's events are untyped
        if isinstance(event, yaml.AliasEvent):
            return self._counted(self._behind(event), event, depth)
        if event.tag is not None and event.tag != "!":
            raise self._refused(event, f"the tag `{event.tag}` is nothing to Envoy; remove it")
        if depth >= MAX_DEPTH:
            raise self._refused(event, f"nested deeper than {MAX_DEPTH} levels")
        node = self._written(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _written(self, event: Any, depth: int) -> Node:  # noqa: ANN401 - PyYAML's events are untyped
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            value = _plain(event.value) if event.implicit[0] else event.value
            return self._counted(Node(value, line), event, depth)
        self._counted(Node(None, line), event, depth)
        items: list[Node] = []
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        if isinstance(event, yaml.SequenceStartEvent):
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
        else:
            while not isinstance(item := next(self._events), yaml.MappingEndEvent):
                key = self._key(item, entries)
                lines[key] = item.start_mark.line + 1
                entries[key] = self._node(next(self._events), depth + 1)
        inner = [*items, *entries.values()]
        return Node(
            None,
            line,
            entries=entries,
            items=tuple(items),
            lines=lines,
            size=1 + max(1, sum(node.size for node in inner)),
            depth=1 + max((node.depth for node in inner), default=0),
        )

    def _key(self, event: Any, before: Mapping[str, Node]) -> str:  # noqa: ANN401 - PyYAML's events are untyped
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refused(event, "a key must be text")
        key: str = event.value
        if key == "<<" and event.implicit[0]:
            raise self._refused(event, "Envoy knows no merge key `<<`; write the fields out")
        if key in before:
            raise self._refused(event, f"`{key}` is written twice; remove one")
        return key

    def _behind(self, event: Any) -> Node:  # noqa: ANN401 - PyYAML's events are untyped
        if (node := self._anchors.get(event.anchor)) is None:
            raise self._refused(event, f"nothing before it is called `{event.anchor}`")
        return node

    def _counted(self, node: Node, event: Any, depth: int) -> Node:  # noqa: ANN401 - PyYAML's events are untyped
        self._left -= node.size
        if self._left < 0:
            raise self._refused(event, f"more than {MAX_VALUES} values with those behind aliases; write fewer")
        if depth + node.depth > MAX_DEPTH:
            raise self._refused(event, f"nested deeper than {MAX_DEPTH} levels")
        return node

    def _refused(self, event: Any, message: str) -> UnreadableEnvoy:  # noqa: ANN401 - PyYAML's events are untyped
        mark = event.start_mark
        return UnreadableEnvoy(f"{self._file}:{mark.line + 1}:{mark.column + 1}: {message}")


def _plain(text: str) -> str | bool | float | None:
    """What a scalar without quotes is to Envoy."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    if found := _WHOLE.fullmatch(text):
        return float(int(found[2], 16) if found[2] else int(found[3], 8)) * (-1 if found[1] == "-" else 1)
    return float(text) if _NUMBER.fullmatch(text) else text
