"""Regular expressions of RE2, which take linear time (langdef, "Regular Expressions").

The rule: linear is not yet cheap. `(a|b)*a(a|b){99}` makes a new state of its automaton for every character, and each
costs as much as the expression is large; so the text times the size is bounded, unless the expression is so small that
all states are soon made.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import re2

from extauthz.cel.errors import EvalError
from extauthz.cel.limits import Limits
from extauthz.values.quoting import given

_SMALL: Final = 2_000
"""Instructions up to which a program can't exhaust the memory of RE2's automaton, where a set would give up."""
_QUICK: Final = 48
"""Instructions up to which all states of the automaton fit into its memory, so that each is made once."""
_STATE: Final = 150
"""What a new state costs beside the instructions that it is made of, in instructions."""
_STEPS_PER_ELEMENT: Final = 8
"""The logarithm to base 2 of the steps that count as one element of a loop."""

Search = Callable[[str], object]
"""What it returns is true if the pattern was found anywhere in the text."""


class _Prepared(NamedTuple):
    """A search, and the steps that a character may cost it."""

    search: Search
    steps: int


def _options() -> Any:  # noqa: ANN401  # google-re2 has no types
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


def search_of(pattern: str, limits: Limits) -> Search:
    """The prepared search for a pattern. Raises `EvalError` for a bad or a large one, as the search does for a text
    that is too long for it."""
    return _prepared(pattern, limits).search


@lru_cache(maxsize=256)
def _prepared(pattern: str, limits: Limits) -> _Prepared:
    if len(pattern) > limits.regex_length:
        raise EvalError(f"regular expression longer than {limits.regex_length} characters")
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "invalid"
        # RE2's own words, and behind them a piece of the pattern.
        fault, _, piece = reason.partition(": ")
        raise EvalError(f"bad regular expression: {fault}" + (f": {given(piece)}" if piece else "")) from None
    size = compiled.programsize
    if size > limits.regex_program:
        raise EvalError(f"regular expression with more than {limits.regex_program} instructions")
    if size <= _QUICK:
        return _Prepared(_set_of(pattern).Match, 1)
    # A large one falls back to a slower automaton when memory runs out, instead of finding nothing.
    search = _set_of(pattern).Match if size <= _SMALL else lambda text: compiled.search(text.encode())
    return _Prepared(_bounded(search, limits.regex_steps // (_STATE + size)), _STATE + size)


def _bounded(search: Search, longest: int) -> Search:
    def bounded(text: str) -> object:
        if _length(text) > longest:
            raise EvalError(f"a text of more than {longest} bytes is too long for a regular expression of this size")
        return search(text)

    return bounded


def _length(text: str) -> int:
    """Bytes of UTF-8, at the most."""
    return len(text) if text.isascii() else 4 * len(text)


class _OnePattern(re2.Set):  # type: ignore[misc]  # google-re2 has no types
    """A set of one pattern, which is pickled as that."""

    __slots__ = ("pattern",)

    def __reduce__(self) -> tuple[Callable[[str], "_OnePattern"], tuple[str]]:
        return _set_of, (self.pattern,)


def _set_of(pattern: str) -> _OnePattern:
    patterns: _OnePattern = _OnePattern.SearchSet(_options())
    patterns.pattern = pattern
    patterns.Add(pattern)
    patterns.Compile()
    return patterns


def searcher(limits: Limits) -> Callable[[str, str], bool]:
    """`text.matches(pattern)` with a pattern that is known only when it is evaluated."""

    def matches(text: str, pattern: str) -> bool:
        return search_of(pattern, limits)(text) is not None

    return matches


@lru_cache(maxsize=8)
def work_of(limits: Limits) -> Callable[[object, object], int]:
    """The elements that `text.matches(pattern)` counts as in a loop.

    Arguments that are no texts count as nothing: they are an error when they are matched.
    """

    def work(text: object, pattern: object) -> int:
        if not isinstance(text, str) or not isinstance(pattern, str):
            return 0
        return _length(text) * _prepared(pattern, limits).steps >> _STEPS_PER_ELEMENT

    return work
