"""Regular expressions of RE2, which take linear time (langdef, "Regular Expressions")."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import re2

from extauthz.cel.errors import EvalError
from extauthz.cel.limits import Limits
from extauthz.values.quoting import given

_SMALL: Final = 2_000
"""Instructions up to which a program can't exhaust the memory of RE2's automaton, where a set would give up."""


def _options() -> Any:  # noqa: ANN401  # google-re2 has no types
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


@lru_cache(maxsize=256)
def search_of(pattern: str, limits: Limits) -> Callable[[str], object]:
    """The prepared search for a pattern; what it returns is true if it was found anywhere in the text."""
    if len(pattern) > limits.regex_length:
        raise EvalError(f"regular expression longer than {limits.regex_length} characters")
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "invalid"
        # RE2's own words, and behind them a piece of the pattern.
        fault, _, piece = reason.partition(": ")
        raise EvalError(f"bad regular expression: {fault}" + (f": {given(piece)}" if piece else "")) from None
    if compiled.programsize > limits.regex_program:
        raise EvalError(f"regular expression with more than {limits.regex_program} instructions")
    if compiled.programsize > _SMALL:
        # Falls back to a slower automaton when memory runs out, instead of finding nothing.
        return lambda text: compiled.search(text.encode())
    match: Callable[[str], object] = _prepared(pattern).Match
    return match


class _OnePattern(re2.Set):  # type: ignore[misc]  # google-re2 has no types
    """A set of one pattern, which is pickled as that."""

    __slots__ = ("pattern",)

    def __reduce__(self) -> tuple[Callable[[str], "_OnePattern"], tuple[str]]:
        return _prepared, (self.pattern,)


def _prepared(pattern: str) -> _OnePattern:
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
