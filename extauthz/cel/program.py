"""From a source to a program that evaluates it, and what such a program tells of itself."""

from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType, TracebackType
from typing import Any, Final, NamedTuple

from extauthz.cel.codegen import TOO_DEEP, Code, generate
from extauthz.cel.errors import EvalError, Exhausted, Span
from extauthz.cel.fold import fold
from extauthz.cel.limits import Limits
from extauthz.cel.tree import Element, Expr, ListDisplay, variables_of
from extauthz.cel.types import CelType
from extauthz.values.quoting import given, owned

_TRACED_MAX: Final = 10_000
"""Steps that `explain` keeps."""


class Program:
    """A compiled expression.

    Calling it with a mapping of names to values gives the value or raises `EvalError`; `evaluate` is the same
    function without the detour over the class, for who counts nanoseconds. Values are trusted to be of the types
    that their variables were declared with.
    """

    __slots__ = ("_nan_ordering_is_error", "evaluate", "limits", "names", "source", "tree")

    source: str
    """The text it was compiled from."""
    tree: Expr
    """The checked tree, before constants were folded."""
    names: frozenset[str]
    """The variables of the activation that it reads, functions' bindings included."""
    limits: Limits
    evaluate: Callable[[Mapping[str, Any]], Any]

    def __init__(self, source: str, tree: Expr, limits: Limits, *, nan_ordering_is_error: bool) -> None:
        self.source = source
        self.tree = tree
        self.limits = limits
        self.names = frozenset(variables_of(tree))
        self._nan_ordering_is_error = nan_ordering_is_error
        folded = fold(tree)
        code = generate(folded, limits, nan_ordering_is_error=nan_ordering_is_error, lazily=False, trace=False)
        lazily = _Lazily(folded, limits, nan_ordering_is_error=nan_ordering_is_error)
        self.evaluate = _function(code, {"lazily": lazily})

    @property
    def result_type(self) -> CelType:
        """The type that the checker deduced for the result."""
        return self.tree.type

    def __call__(self, bindings: Mapping[str, Any]) -> Any:  # noqa: ANN401  # a value of any CEL type
        """The value of the expression; raises `EvalError` if it has none."""
        return self.evaluate(bindings)

    def part(self, node: Expr) -> "Program":
        """The program of one of its subexpressions, which must use no variable of a macro around it."""
        return Program(self.source, node, self.limits, nan_ordering_is_error=self._nan_ordering_is_error)

    def __repr__(self) -> str:
        return f"Program({self.source!r})"

    def _traced(self) -> Code:
        flag = self._nan_ordering_is_error
        return generate(self.tree, self.limits, nan_ordering_is_error=flag, lazily=True, trace=True)


def together(programs: Sequence[Program]) -> Callable[[Mapping[str, Any]], list[Any]] | None:
    """One function that gives the values of all programs, or raises `EvalError` if any of them has none.

    What several of them read is read once, and before anything is evaluated; their loops have one limit. All must be
    compiled under the same limits. `None` if there are none, or if Python can't compile so much at once.
    """
    if not programs:
        return None
    elements = tuple([Element(value=program.tree, optional=False) for program in programs])
    try:
        return programs[0].part(ListDisplay(span=programs[0].tree.span, elements=elements)).evaluate
    except TOO_DEEP:
        return None


class _Lazily:
    """Evaluates where a variable is missing, which is no error if its value does not matter.

    It does not know its program: without a circle, ten thousand programs that are replaced are freed as they go, and
    no search of the garbage collector stops the process.
    """

    __slots__ = ("_evaluate", "_flag", "_folded", "_limits")

    def __init__(self, folded: Expr, limits: Limits, *, nan_ordering_is_error: bool) -> None:
        self._folded = folded
        self._limits = limits
        self._flag = nan_ordering_is_error
        self._evaluate: Callable[[Mapping[str, Any]], Any] | None = None

    def __call__(self, bindings: Mapping[str, Any]) -> Any:  # noqa: ANN401  # a value of any CEL type
        if self._evaluate is None:
            flag = self._flag
            try:
                code = generate(self._folded, self._limits, nan_ordering_is_error=flag, lazily=True, trace=False)
            except TOO_DEEP:
                raise EvalError("nested too deeply to tell whether a missing variable matters") from None
            self._evaluate = _function(code, {})
        return self._evaluate(bindings)


def _function(code: Code, names: Mapping[str, object]) -> Callable[[Mapping[str, Any]], Any]:
    """The function of a code object, which sees nothing but what it names: no builtins."""
    scope = {
        "__builtins__": {},
        "Exception": Exception,
        "anything": (Exception, Exhausted),
        "failed": _failer(code),
        **code.globals,
        **names,
    }
    function: Callable[[Mapping[str, Any]], Any] = FunctionType(code.code, scope)
    return function


def _failer(code: Code) -> Callable[[Exception | Exhausted], EvalError]:
    """Makes what was raised in a code object an `EvalError` with its place."""

    def failed(error: Exception | Exhausted) -> EvalError:
        if isinstance(error, EvalError) and error.span is not None:
            return error
        # An exception may be an application's own, kept and raised many times: it is not changed.
        line = _line(error.__traceback__, code.code)
        message = _message(error, code.reads.get(line), code.keys.get(line))
        placed = EvalError(message, code.spans[line - 1] if line else None)
        if type(error) in _PLAIN_ERRORS:
            # A variable of the frame holds the error, and its traceback the frame.
            error.__traceback__ = None
        else:
            placed.__cause__ = error
        return placed

    return failed


_PLAIN_ERRORS: Final = frozenset({EvalError, Exhausted, KeyError, IndexError, ZeroDivisionError})
_MESSAGES: Final[dict[type[Exception], str]] = {
    IndexError: "index out of range",
    ZeroDivisionError: "division by zero",
    RecursionError: "a value is nested too deeply",
    MemoryError: "a value is too large",
    OverflowError: "a number is out of range",
    ValueError: "a value is out of range",
    UnicodeEncodeError: "a string holds a surrogate, which is no character",
}


def _message(error: Exception | Exhausted, variable: str | None, key: str | None) -> str:
    """What failed; `variable` is the one that was being read, `key` the one of the source that was looked up."""
    if isinstance(error, EvalError):
        return error.message if key is None else error.message.replace(given(key), owned(given(key)))
    if isinstance(error, KeyError) and variable is not None:
        return f"variable `{variable}` is not bound"
    if isinstance(error, Exhausted):
        return str(error)
    if isinstance(error, KeyError) and key is not None:
        return f"no such key: {owned(given(key))}"
    if isinstance(error, KeyError) and error.args:
        missing = error.args[0]
        return f"no such key: {given(missing) if isinstance(missing, str) else f'`{type(missing).__name__}`'}"
    return _MESSAGES.get(type(error), f"failed with {type(error).__name__}")


def _line(traceback: TracebackType | None, code: CodeType) -> int:
    """The line of the innermost frame of the code, which is the number of a subexpression; 0 if there is none."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _outcome(program: Program, bindings: Mapping[str, Any]) -> object:
    try:
        return program(bindings)
    except EvalError as error:
        return error


class Step(NamedTuple):
    """A subexpression that was evaluated: where it is, its text, and its value or the `EvalError` it failed with."""

    span: Span
    source: str
    value: object


def explain(program: Program, bindings: Mapping[str, Any]) -> tuple[Step, ...]:
    """Every subexpression that an evaluation visits, in the order in which their values are known.

    What is skipped, like the other branch of `?:`, is missing; what a macro evaluates for each element is there
    once for each. The last is the whole expression. Of an error that passes through several subexpressions, the
    innermost and the whole are named. Never raises; keeps 10,000 steps at most, and the whole alone of an expression
    that is nested too deeply to be followed.
    """
    steps: list[Step] = []
    try:
        code = program._traced()  # the other half of the class
    except TOO_DEEP:
        return (Step(program.tree.span, program.source, _outcome(program, bindings)),)
    failed = _failer(code)

    def note(span: Span, value: object, *, always: bool = False) -> None:
        if always or len(steps) < _TRACED_MAX - 1:
            steps.append(Step(span, program.source[span.start : span.end], value))

    def trace(number: int, value: object) -> object:
        # The whole expression has the first number, and is always told.
        note(code.spans[number - 1], value, always=number == 1)
        return value

    def noted(error: Exception | Exhausted) -> EvalError:
        placed = failed(error)
        if placed is not error:
            note(placed.span or program.tree.span, placed)
        return placed

    try:
        _function(code, {"trace": trace, "failed": noted})(bindings)
    except EvalError as error:
        steps.append(Step(program.tree.span, program.source, error))
    return tuple(steps)
