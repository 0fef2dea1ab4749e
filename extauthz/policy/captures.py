"""What the templates of a rule capture of a path: `request.params`.

The rule kept here: a name that two templates of one rule give different values can't be read.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from extauthz import cel
from extauthz.policy.templates import Capture
from extauthz.values.request import EMPTY

Params = Mapping[str, str]
"""Names to what was captured."""


class Together(NamedTuple):
    """What several templates of one rule capture."""

    captures: tuple[Capture, ...]

    def read(self, segments: tuple[str, ...]) -> Params:
        """What they capture together of a path that fits all of them."""
        found: Params = EMPTY
        for capture in self.captures:
            found = _merged(found, capture.read(segments))
        return found


class Given:
    """What was captured, whatever the path is."""

    __slots__ = ("_params",)

    def __init__(self, params: Params) -> None:
        self._params = params

    def read(self, segments: tuple[str, ...]) -> Params:  # noqa: ARG002 - read in the same way as what is captured
        """What was given."""
        return self._params


Layout = Capture | Together | Given
"""How a rule's captures are read; rules with equal ones capture the same."""

_NOTHING: Final = Together(())


def layout(captures: tuple[Capture, ...]) -> Layout:
    """How to read what templates of one rule, all of which fit a path, capture of it."""
    if not captures:
        return _NOTHING
    return captures[0] if len(captures) == 1 else Together(captures)


class Contradictory(Mapping[str, str]):
    """Captures of several templates of one rule; a name that two of them give different values can't be read."""

    __slots__ = ("captured", "contradictions")

    def __init__(self, captured: Params, contradictions: frozenset[str]) -> None:
        self.captured = captured
        self.contradictions = contradictions

    def __getitem__(self, name: str) -> str:
        if name in self.contradictions:
            raise cel.EvalError(f"`{name}` was captured twice, with different values")
        return self.captured[name]

    def __contains__(self, name: object) -> bool:
        return name in self.captured

    def __iter__(self) -> Iterator[str]:
        return iter(self.captured)

    def __len__(self) -> int:
        return len(self.captured)


def _merged(one: Params, other: Params) -> Params:
    """What two templates of one rule captured together."""
    clashes: frozenset[str] = frozenset()
    known = one
    if isinstance(one, Contradictory):
        known, clashes = one.captured, one.contradictions
    clashes |= {name for name in other if name in known and known[name] != other[name]}
    union = {**known, **other}
    return Contradictory(union, clashes) if clashes else union
