"""The conditions of a plan, and those that compare one text of a request with texts of the policy.

Most that differ from one request to the next do no more than that, and are told from the request itself: nothing has to
be made for them that an expression could look into. The rule kept here: of what is absent, or there more than once,
nothing is told; it is evaluated like all else, with the error that this gives.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from extauthz.policy.comparisons import Comparison
from extauthz.policy.templates import Capture
from extauthz.values.headers import Headers, OneLineEach

Evaluate = Callable[[Mapping[str, Any]], Any]
"""Gives the value of an expression in a scope, or raises `EvalError`."""


class Condition:
    """The condition of a rule: its `number` among those of a plan, and that of the scope that it sees (`at`)."""

    def __init__(self, number: int, evaluate: Evaluate, at: int) -> None:
        self.number: Final = number
        self.evaluate: Final = evaluate
        self.at: Final = at

    def told(self, headers: Headers, segments: tuple[str, ...]) -> bool | None:  # noqa: ARG002 - others read these
        """What it comes to, by the headers and the path of a request; `None` if it has to be evaluated."""
        return None


class _OfHeader(Condition):
    """Whether the only line of a header is one of `texts`, or none of them."""

    def __init__(self, number: int, evaluate: Evaluate, at: int, comparison: Comparison) -> None:
        super().__init__(number, evaluate, at)
        self._name: Final = comparison.name
        self._texts: Final = comparison.texts
        self._wants: Final = comparison.wants

    def told(self, headers: Headers, segments: tuple[str, ...]) -> bool | None:  # noqa: ARG002 - as every condition
        line = _only_line(headers, self._name)
        return None if line is None else (line in self._texts) is self._wants


class _OfSegment(Condition):
    """Whether a segment of the path is one of `texts`, or none of them."""

    def __init__(
        self,
        number: int,
        evaluate: Evaluate,
        at: int,
        position: int,
        comparison: Comparison,
    ) -> None:
        super().__init__(number, evaluate, at)
        self._position: Final = position
        self._texts: Final = comparison.texts
        self._wants: Final = comparison.wants

    def told(self, headers: Headers, segments: tuple[str, ...]) -> bool | None:  # noqa: ARG002 - as every condition
        return (segments[self._position] in self._texts) is self._wants


def condition(
    number: int,
    evaluate: Evaluate,
    at: int,
    comparison: Comparison | None,
    layout: object,
) -> Condition:
    """A condition of a rule that captures what `layout` says; `comparison` is what it compares, if it does no more."""
    if comparison is None:
        return Condition(number, evaluate, at)
    if comparison.of == "header":
        return _OfHeader(number, evaluate, at, comparison)
    if isinstance(layout, Capture):
        for position, name in layout.names:
            if name == comparison.name:
                return _OfSegment(number, evaluate, at, position, comparison)
    return Condition(number, evaluate, at)


def _only_line(headers: Headers, name: str) -> str | None:
    """The only line of a header; `None` if it is absent or came more than once."""
    if type(headers) is OneLineEach:
        place = headers.places.get(name)
        return None if place is None else headers.line(place)
    lines = headers.get(name)
    return lines[0] if lines is not None and len(lines) == 1 else None
