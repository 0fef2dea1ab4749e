"""Collects the problems of one source, so that its author sees all of them at once."""

from typing import NoReturn

from extauthz.cel.errors import CompileError, Problem, Source, Span


class Reporter:
    """Problems of a source found so far; with too many of them the compilation ends."""

    __slots__ = ("_limit", "_problems", "source")

    def __init__(self, source: Source, limit: int) -> None:
        self.source = source
        self._limit = limit
        self._problems: dict[Problem, None] = {}

    def report(self, message: str, span: Span, hint: str | None = None) -> None:
        self._problems[Problem(message, span.line, span.column, span.end_line, span.end_column, hint)] = None
        if len(self._problems) >= self._limit:
            self.stop()

    def fail(self, message: str, span: Span, hint: str | None = None) -> NoReturn:
        """Reports what makes it pointless to read on."""
        self.report(message, span, hint)
        self.stop()

    def stop(self) -> NoReturn:
        ordered = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
        raise CompileError(self.source.text, tuple(ordered))

    def __bool__(self) -> bool:
        return bool(self._problems)
