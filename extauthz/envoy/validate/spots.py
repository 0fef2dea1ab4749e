"""A way through a configuration: a value, or where it would stand, with its place for people.

The rule: whoever asks for what is not there gets an empty spot, placed where it would have been written.
"""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from extauthz.envoy.validate.reading import Node, UnreadableEnvoy

_UNDERSCORED = re.compile(r"_([a-z0-9])")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
REDACTED: Final = "[redacted]"
"""What Envoy's dumps have in the place of secrets, and of all context extensions."""
_SIMPLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    return _UNDERSCORED.sub(lambda found: found[1].upper(), name)


class Spot(msgspec.Struct, frozen=True):
    """A place in a file, with the value that stands there, if any; names and numbers, `steps`, lead there."""

    file: str
    steps: tuple[str | int, ...]
    line: int
    node: Node | None

    def __getitem__(self, name: str) -> "Spot":
        """The field of that name, which JSON may spell in camel case.

        Raises:
            UnreadableEnvoy: it is spelled both ways, of which Envoy takes the last.
        """
        if self.node is None:
            return Spot(self.file, (*self.steps, name), self.line, None)
        entries = self.node.entries
        camel = _camel(name)
        if name != camel and name in entries and camel in entries:
            line = max(self.node.lines[name], self.node.lines[camel])
            raise UnreadableEnvoy(f"{self.file}:{line}: `{camel}` and `{name}` are one field; remove one")
        return self._entry(name, name if name in entries else camel)

    def _entry(self, name: str, written: str) -> "Spot":
        if self.node is None:
            return Spot(self.file, (*self.steps, name), self.line, None)
        node = self.node.entries.get(written)
        if node is not None and node.is_null:
            node = None  # `null` is a field that nobody has set
        return Spot(self.file, (*self.steps, name), self.node.lines.get(written, self.line), node)

    @property
    def path(self) -> str:
        """The way to it, as people write it."""
        shown = ""
        for step in self.steps:
            if isinstance(step, int):
                shown += f"[{step}]"
            elif _SIMPLE.fullmatch(step):
                shown += f".{step}" if shown else step
            else:
                shown += f'["{step}"]'
        return shown

    def at(self, *names: str) -> "Spot":
        """The field at the end of this way."""
        spot = self
        for name in names:
            spot = spot[name]
        return spot

    @property
    def exists(self) -> bool:
        """Whether something is written here."""
        return self.node is not None

    @property
    def items(self) -> "Sequence[Spot]":
        """The elements of a list; none where there is none."""
        items = () if self.node is None else self.node.items
        return [Spot(self.file, (*self.steps, number), item.line, item) for number, item in enumerate(items)]

    @property
    def entries(self) -> "Sequence[tuple[str, Spot]]":
        """The entries of a mapping; none where there is none."""
        return [] if self.node is None else [(name, self._entry(name, name)) for name in self.node.entries]

    @property
    def text(self) -> str:
        """A text; empty where there is none."""
        value = None if self.node is None else self.node.value
        return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else ""

    def flag(self, *, default: bool = False) -> bool:
        """A truth value, or the default of Envoy where nobody wrote one."""
        value = None if self.node is None else self.node.value
        if isinstance(value, str) and value in {"true", "false"}:
            return value == "true"
        return value if isinstance(value, bool) else default

    def number(self, default: float = 0) -> float:
        """A number, which JSON may write as text."""
        value = None if self.node is None else self.node.value
        try:
            number = float(value) if isinstance(value, (str, float)) else default
        except ValueError:
            return default
        return number if math.isfinite(number) else default

    def one_of(self, names: Sequence[str]) -> str:
        """The value of an enumeration whose values these are, which may be written by its number; first if unset.

        Envoy reads names in any case, and numbers in quotes.
        """
        value = None if self.node is None else self.node.value
        if isinstance(value, str) and not value.isdecimal():
            return value.upper()
        number = self.number(0)
        return names[int(number)] if 0 <= number < len(names) else names[0]

    def seconds(self, default: float | None = None) -> float | None:
        """A duration, written as `1.5s`."""
        found = _DURATION.fullmatch(self.text)
        return default if found is None else float(found[1])

    def inner(self) -> "Iterator[Spot]":
        """This and everything in it."""
        waiting = [self]
        while waiting:
            spot = waiting.pop()
            yield spot
            waiting += [*spot.items, *(inner for _, inner in spot.entries)]
