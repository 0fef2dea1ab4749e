"""What all emitting functions share: the code written so far, and names for what it uses."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from extauthz.cel import pyast as py
from extauthz.cel.access import boolean
from extauthz.cel.errors import Span
from extauthz.cel.limits import Limits
from extauthz.cel.tree import Constant, Expr, Local
from extauthz.cel.types import BOOL
from extauthz.cel.values import MixedMap

_T = TypeVar("_T")
_PYTHON_CONSTANTS: Final = frozenset({str, bytes, bool, int, float, type(None)})


class Part(msgspec.Struct):
    """A subexpression emitted on its own: statements, then the value; `fails` if it may raise."""

    body: list[ast.stmt]
    value: ast.expr
    fails: bool


@dataclass(slots=True)
class Emitter:
    """Writes the code of one expression.

    `emitters` say how a kind of nodes is emitted.
    Variables that are used `often` are read first, unless `lazily` says that one may be missing; others are read
    where they are used, whose lines `reads` names. `keys` names the lines that look up a key which the source itself
    holds. With `trace`, a function of this name is told every subexpression's value.
    """

    limits: Limits
    emitters: Mapping[type, Callable[["Emitter", Any, int], ast.expr]]
    nan_ordering_is_error: bool = False
    lazily: bool = False
    often: frozenset[str] = frozenset()
    trace: bool = False
    body: list[ast.stmt] = field(default_factory=list)
    fails: bool = False
    spans: list[Span] = field(default_factory=list)
    globals: dict[str, object] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    reads: dict[int, str] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    loops: int = 0
    loop_depth: int = 0
    _scopes: list[tuple[str, str]] = field(default_factory=list)
    _known: dict[int, str] = field(default_factory=dict)
    _temporaries: int = 0

    # What all emitting functions use

    def emit(self, node: Expr) -> ast.expr:
        """The Python expression for a node; statements that it needs are appended to `body`."""
        self.spans.append(node.span)
        line = len(self.spans)
        value = self.emitters[type(node)](self, node, line)
        if self.trace and not (isinstance(node, Local) and node.name.startswith("@")):
            self.fails = True
            return py.call(py.name("trace", line), [py.constant(line, line), value], line)
        return value

    def condition(self, node: Expr) -> ast.expr:
        """The value of a node that must be a bool."""
        value = self.emit(node)
        if node.type == BOOL:
            return value
        return self.call(boolean, [value], len(self.spans))

    def part(self, emit: Callable[[Expr], ast.expr], node: Expr) -> Part:
        """A node with statements of its own, for a branch or behind a `try`."""
        body, fails = self.body, self.fails
        self.body, self.fails = [], False
        value = emit(node)
        part = Part(self.body, value, self.fails)
        self.body, self.fails = body, fails
        return part

    def call(
        self, function: Callable[..., object], args: list[ast.expr], line: int, *, total: bool = False
    ) -> ast.expr:
        """A call of a Python function; `total` if it can't raise."""
        self.fails = self.fails or not total
        return py.call(self.reference(function, line), args, line)

    def reference(self, value: object, line: int) -> ast.expr:
        """An expression for a Python object."""
        known = self._known.get(id(value))
        if known is None:
            known = f"g{len(self._known)}"
            self._known[id(value)] = known
            self.globals[known] = value
        return py.name(known, line)

    def caught(self, line: int) -> ast.expr:
        """The exception at hand in a handler, to be raised later or never."""
        error = py.name("caught", line)
        return py.call(py.name("failed", line), [error], line) if self.trace else error

    def temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def simple(self, value: ast.expr, line: int) -> ast.expr:
        """An expression of the same value that costs nothing to repeat."""
        if isinstance(value, ast.Name | ast.Constant):
            return value
        temporary = self.temporary()
        self.body.append(py.assign(temporary, value, line))
        return py.name(temporary, line)

    def choose(self, test: ast.expr, then: Part, otherwise: Part, line: int) -> ast.expr:
        """One of two values, whose statements run only if it is chosen."""
        self.fails = self.fails or then.fails or otherwise.fails
        if not then.body and not otherwise.body:
            return py.either(test, then.value, otherwise.value, line)
        result = self.temporary()
        self.body.append(
            py.when(
                test,
                [*then.body, py.assign(result, then.value, line)],
                [*otherwise.body, py.assign(result, otherwise.value, line)],
                line,
            )
        )
        return py.name(result, line)

    def variable(self, name: str, line: int) -> ast.expr:
        """The value of a variable of the activation."""
        if not self.lazily and (self.loop_depth or name in self.often):
            if name not in self.variables:
                self.variables[name] = f"v{len(self.variables)}"
            return py.name(self.variables[name], line)
        self.fails = True
        self.reads[line] = name
        return py.subscript(py.name("bindings", line), py.constant(name, line), line)

    def scoped(self, bound: list[tuple[str, str]], emit: Callable[[], _T]) -> _T:
        """What `emit` gives while names of CEL stand for these of Python."""
        self._scopes.extend(bound)
        result = emit()
        del self._scopes[len(self._scopes) - len(bound) :]
        return result

    def local(self, name: str) -> str:
        return next(python for known, python in reversed(self._scopes) if known == name)

    def constant(self, value: object, line: int) -> ast.expr:
        """A constant as a value; a list or map is made anew, as its receiver might change it."""
        if type(value) in _PYTHON_CONSTANTS:
            return py.constant(value, line)
        if isinstance(value, list | tuple):
            return py.listing([self.constant(element, line) for element in value], line)
        if isinstance(value, Mapping) and not isinstance(value, MixedMap):
            keys = [self.constant(key, line) for key in value]
            return py.mapping(keys, [self.constant(element, line) for element in value.values()], line)
        return self.reference(value, line)

    def shared(self, node: Expr) -> ast.expr:
        """A node whose value is only looked into, so that a constant need not be made anew."""
        if isinstance(node, Constant) and isinstance(node.value, list | tuple | dict) and not self.trace:
            self.spans.append(node.span)
            return self.reference(node.value, len(self.spans))
        return self.emit(node)
