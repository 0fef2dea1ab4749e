"""What can go wrong, with its place in the source: the only exceptions that leave the package."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of a source: offsets in characters from 0, lines and columns from 1, the end exclusive."""

    start: int
    end: int
    line: int
    column: int
    end_line: int
    end_column: int


class Source:
    """The text of an expression, able to say where in it an offset is."""

    __slots__ = ("_starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0]
        position = text.find("\n")
        while position >= 0:
            self._starts.append(position + 1)
            position = text.find("\n", position + 1)

    def span(self, start: int, end: int) -> Span:
        starts = self._starts
        if len(starts) == 1:
            return Span(start, end, 1, start + 1, 1, end + 1)
        line = bisect_right(starts, start)
        end_line = bisect_right(starts, end)
        return Span(start, end, line, start - starts[line - 1] + 1, end_line, end - starts[end_line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].removesuffix("\r")


class CelError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a source; lines and columns count from 1 in characters, the end is exclusive."""

    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    hint: str | None = None

    @classmethod
    def at(cls, span: Span, message: str, hint: str | None = None) -> "Problem":
        """A mistake in the whole of a span."""
        return cls(message, span.line, span.column, span.end_line, span.end_column, hint)

    def __str__(self) -> str:
        text = f"{self.line}:{self.column}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text


class CompileError(CelError):
    """A source that is no valid expression: all its problems, in the order of the source."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.source = source
        self.problems = problems

    def __reduce__(self) -> tuple[type["CompileError"], tuple[str, tuple[Problem, ...]]]:
        return CompileError, (self.source, self.problems)

    def render(self) -> str:
        """Every problem with its source line and a caret under the place, for a terminal or a log."""
        source = Source(self.source)
        return "\n".join(_picture(problem, source) for problem in self.problems)


WINDOW = 120
"""Characters of a source line that a picture shows."""


def _picture(problem: Problem, source: Source) -> str:
    line = source.line(problem.line)
    first = problem.column - 1
    last = problem.end_column - 1 if problem.end_line == problem.line else len(line)
    begin = 0 if len(line) <= WINDOW else max(0, min(first - WINDOW // 3, len(line) - WINDOW))
    shown = line[begin : begin + WINDOW]
    # A tab stays a tab above and below, so that the caret stands under its character whatever a tab is wide.
    margin = "".join("\t" if char == "\t" else " " for char in shown[: first - begin])
    carets = "^" * max(1, min(last, begin + WINDOW) - first)
    printable = "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in shown)
    return f"{problem}\n | {printable}\n | {margin}{carets}"


class Exhausted(BaseException):
    """An evaluation has done all the work that it may; `&&`, `||` and macros must not absorb that and go on.

    It never leaves the package: the program makes it an `EvalError`.
    """


class EvalError(CelError):
    """An evaluation that has no value.

    `line` and `column` (from 1, in characters) name the failing subexpression. An implementation of a function or
    an attribute raises `EvalError("message")` without a place; the program that runs it fills the place in. What the
    message quotes of a value is marked by `extauthz.values.quoting.given`, names of the source stand in backticks.
    """

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.span = span

    @property
    def line(self) -> int | None:
        return self.span.line if self.span else None

    @property
    def column(self) -> int | None:
        return self.span.column if self.span else None

    def __str__(self) -> str:
        return f"{self.span.line}:{self.span.column}: {self.message}" if self.span else self.message
