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


class Given:
    """What was captured, whatever the path is."""

    def __init__(self, params: Params) -> None:
        self.params: Final = params


Layout = Capture | Together | Given
"""How a rule's captures are read; rules with equal ones capture the same."""

_NOTHING: Final = Together(())


def layout(captures: tuple[Capture, ...]) -> Layout:
    """How to read what templates of one rule, all of which fit a path, capture of it."""
    if not captures:
        return _NOTHING
    return captures[0] if len(captures) == 1 else Together(captures)


def captured(layout: Layout, segments: tuple[str, ...]) -> Params:
    """What a path that fits gives to `request.params`."""
    if isinstance(layout, Capture):
        return _captured(layout, segments)
    if isinstance(layout, Given):
        return layout.params
    found: Params = EMPTY
    for capture in layout.captures:
        found = _merged(found, _captured(capture, segments))
    return found


def _captured(capture: Capture, segments: tuple[str, ...]) -> Params:
    """What one template captures; a tail's segments are joined by `/`."""
    params: dict[str, str] = {}
    for position, name in capture.names:
        params[name] = segments[position]
    if capture.tail_name is not None:
        params[capture.tail_name] = "/".join(segments[capture.tail_at :])
    return params


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
