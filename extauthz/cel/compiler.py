"""The way of a source: text, tokens, tree, checked tree, code."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NoReturn

from extauthz.cel.checker import check
from extauthz.cel.codegen import TOO_DEEP
from extauthz.cel.constants import report_bad_constants
from extauthz.cel.errors import CompileError, Problem, Source
from extauthz.cel.functions import Function, Overload, table_of
from extauthz.cel.lexer import tokens_of
from extauthz.cel.library import standard
from extauthz.cel.limits import DEFAULT, Limits
from extauthz.cel.names import Names
from extauthz.cel.parser import Parser
from extauthz.cel.program import Program
from extauthz.cel.reporter import Reporter
from extauthz.cel.tree import Expr
from extauthz.cel.types import CelType


def compile(  # noqa: A001  # the name that the design fixes; it is used as cel.compile
    source: str,
    *,
    variables: Mapping[str, CelType] | None = None,
    container: str = "",
    check: bool = True,
    macros: bool = True,
    limits: Limits = DEFAULT,
    functions: Iterable[Function] = (),
    nan_ordering_is_error: bool = False,
) -> Program:
    """Compiles an expression (cel-spec, doc/langdef.md).

    `variables` are the declared names, which may have dots, and their types; without it every name is `dyn`.
    `container` is the namespace in which names are looked up first. With `check=False` types are not checked and
    nothing is assumed of them; with `macros=False` macros are calls like any other. `functions` are known besides
    the standard library. With `nan_ordering_is_error`, `<`, `<=`, `>` and `>=` fail for NaN instead of being false.

    Raises `CompileError` with all problems of the source, and nothing else. (`ValueError` for a function that has the
    id of an overload of the library: the compiler knows these by their ids.)
    """
    reporter = _reporter(source, limits)
    names = Names(variables, container, _table(functions, limits, flag=nan_ordering_is_error))
    try:
        tree = _checked(source, names, reporter, limits, strict=check, macros=macros)
        return Program(source, tree, limits, nan_ordering_is_error=nan_ordering_is_error)
    except TOO_DEEP:
        # What the limits allow may still be too much for Python's own compiler or for a deep stack.
        _fail_too_deep(reporter)


def read(source: str, *, variables: Mapping[str, CelType] | None = None, functions: Iterable[Function] = ()) -> Expr:
    """The tree that `compile` makes without checking types, and no code: for who asks what an expression names.

    Raises `CompileError` for what can't be read.
    """
    reporter = _reporter(source, DEFAULT)
    names = Names(variables, "", _table(functions, DEFAULT, flag=False))
    try:
        return _checked(source, names, reporter, DEFAULT, strict=False, macros=True)
    except TOO_DEEP:
        _fail_too_deep(reporter)


def _reporter(source: str, limits: Limits) -> Reporter:
    if len(source) > limits.source_length:
        message = f"longer than {limits.source_length} characters"
        raise CompileError("", (Problem(message, 1, 1, 1, 1, "split the expression"),))
    reporter = Reporter(Source(source), limits.problems)
    _refuse_surrogates(source, reporter)
    return reporter


def _table(functions: Iterable[Function], limits: Limits, *, flag: bool) -> dict[str, tuple[Overload, ...]]:
    table = dict(standard(limits, nan_ordering_is_error=flag))
    for name, overloads in table_of(functions).items():
        _refuse_taken(overloads)
        table[name] = table.get(name, ()) + overloads
    return table


def _checked(source: str, names: Names, reporter: Reporter, limits: Limits, *, strict: bool, macros: bool) -> Expr:
    tokens = tokens_of(source, reporter)
    parsed = Parser(tokens, reporter, limits, macros=macros).parse()
    checked = check(parsed, names, reporter, limits, strict=strict)
    if strict and not reporter:
        report_bad_constants(checked, reporter, limits)
    if reporter:
        reporter.stop()
    return checked


def _fail_too_deep(reporter: Reporter) -> NoReturn:
    source = reporter.source
    reporter.fail("nested too deeply", source.span(0, len(source.text)), "split the expression")


@cache
def _standard_ids() -> frozenset[str]:
    table = standard(DEFAULT, nan_ordering_is_error=False)
    return frozenset(overload.id for overloads in table.values() for overload in overloads)


def _refuse_taken(overloads: tuple[Overload, ...]) -> None:
    for overload in overloads:
        if overload.id in _standard_ids():
            raise ValueError(f"overload `{overload.id}` has the id of one of the library; choose another")


def _refuse_surrogates(source: str, reporter: Reporter) -> None:
    try:
        source.encode()
    except UnicodeEncodeError as error:
        span = reporter.source.span(error.start, error.start + 1)
        reporter.fail("a surrogate is no character", span, "write the source in UTF-8")
