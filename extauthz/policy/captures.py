"""What the templates of a rule capture of a path: `request.params`.

The rule kept here: a name that two templates of one rule give different values can't be read.
"""

from collections.abc import Iterator, Mapping

from extauthz import cel
from extauthz.policy.templates import Capture
from extauthz.values.request import EMPTY


def captured(captures: tuple[Capture, ...], segments: tuple[str, ...]) -> Mapping[str, str]:
    """What templates of one rule, all of which fit a path of these segments, capture together."""
    found: Mapping[str, str] = EMPTY
    for capture in captures:
        read = capture.read(segments)
        found = _merged(found, read) if found else read
    return found


class Contradictory(Mapping[str, str]):
    """Captures of several templates of one rule; a name that two of them give different values can't be read."""

    __slots__ = ("captured", "contradictions")

    def __init__(self, captured: Mapping[str, str], contradictions: frozenset[str]) -> None:
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


def _merged(one: Mapping[str, str], other: Mapping[str, str]) -> Mapping[str, str]:
    """What two templates of one rule captured together."""
    clashes: frozenset[str] = frozenset()
    known = one
    if isinstance(one, Contradictory):
        known, clashes = one.captured, one.contradictions
    clashes |= {name for name in other if name in known and known[name] != other[name]}
    union = {**known, **other}
    return Contradictory(union, clashes) if clashes else union
