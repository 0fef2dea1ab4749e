"""Comparisons as Python's own, where the types are such that Python's mean the same."""

import ast
from collections.abc import Callable
from typing import Final

from extauthz.cel import pyast as py
from extauthz.cel.emit.members import is_native_key
from extauthz.cel.emit.operators import nanoseconds
from extauthz.cel.emitter import Emitter
from extauthz.cel.library.operators import no_order
from extauthz.cel.tree import Call, Constant, Expr
from extauthz.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    CelType,
    ListType,
    MapType,
)
from extauthz.cel.values import UInt

_NATIVE: Final = (STRING, BYTES, BOOL, INT, UINT, DOUBLE, NULL)
"""Types whose values Python compares as CEL does, each with its own."""
_NATIVE_ELEMENTS: Final = (STRING, BYTES, BOOL, INT, UINT)
"""The same within lists; not double, because Python takes a NaN for equal to itself there."""
_TIMES: Final = (TIMESTAMP, DURATION)


def equals(emitter: Emitter, node: Call, line: int, *, negate: bool) -> ast.expr | None:
    """`a == b`, or None if it takes more than an operator."""
    left, right = node.args
    same: ast.cmpop = ast.NotEq() if negate else ast.Eq()
    if left.type == right.type and left.type in _NATIVE:
        return py.compare(emitter.emit(left), same, emitter.emit(right), line)
    if left.type == right.type and left.type in _TIMES:
        return py.compare(nanoseconds(emitter, left), same, nanoseconds(emitter, right), line)
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Constant) and not isinstance(other, Constant):
            if isinstance(value.value, str | bytes):
                return py.compare(emitter.emit(other), same, emitter.emit(value), line)
            if value.value is None or isinstance(value.value, bool):
                identical: ast.cmpop = ast.IsNot() if negate else ast.Is()
                return py.compare(_no_literal(emitter, other, line), identical, emitter.emit(value), line)
    return None


def _no_literal(emitter: Emitter, node: Expr, line: int) -> ast.expr:
    """A value that is no literal in Python, which warns of `1 is True`."""
    value = emitter.emit(node)
    if not isinstance(value, ast.Constant):
        return value
    named = emitter.temporary()
    emitter.body.append(py.assign(named, value, line))
    return py.name(named, line)


def prepared_members(item: CelType, container: Expr) -> frozenset[object] | tuple[object, ...] | None:
    """A constant list as a set in which Python finds what CEL would, or None if it might find more or less."""
    if not isinstance(container, Constant) or not isinstance(container.value, list | tuple):
        return None
    values = container.value
    if item in (STRING, BYTES):
        # Members of other types equal no string.
        return frozenset(value for value in values if isinstance(value, str | bytes))
    if item in (INT, UINT) and all(type(value) in (int, UInt) for value in values):
        return frozenset(int(value) for value in values)
    if all(isinstance(value, str) for value in values):
        return tuple(values)
    return None


def is_native_in_list(item: CelType, container: CelType) -> bool:
    return isinstance(container, ListType) and container.element == item and item in _NATIVE_ELEMENTS


def is_native_in_map(key: CelType, container: CelType) -> bool:
    return isinstance(container, MapType) and is_native_key(container, key)


def _ordering(operator: type[ast.cmpop], left: CelType, right: CelType) -> Callable[[Emitter, Call, int], ast.expr]:
    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr:
        if left in _TIMES:
            values = [nanoseconds(emitter, arg) for arg in node.args]
            return py.compare(values[0], operator(), values[1], line)
        values = [emitter.emit(arg) for arg in node.args]
        if left != right and DOUBLE in (left, right):
            # An int is compared as the double nearest to it.
            values = [
                value if kind == DOUBLE else emitter.call(float, [value], line, total=True)
                for value, kind in zip(values, (left, right), strict=True)
            ]
        if DOUBLE in (left, right) and emitter.nan_ordering_is_error:
            return _without_nan(emitter, node, operator(), values, line)
        return py.compare(values[0], operator(), values[1], line)

    return inline


def _without_nan(emitter: Emitter, node: Call, operator: ast.cmpop, values: list[ast.expr], line: int) -> ast.expr:
    """A comparison that fails where a value may be NaN and is."""
    values = [emitter.simple(value, line) for value in values]
    checks = [
        py.compare(value, ast.Eq(), value, line)
        for value, arg in zip(values, node.args, strict=True)
        if arg.type == DOUBLE and not (isinstance(arg, Constant) and arg.value == arg.value)
    ]
    compared = py.compare(values[0], operator, values[1], line)
    if not checks:
        return compared
    return py.either(py.logic("&&", checks, line), compared, emitter.call(no_order, [], line), line)


_NUMBERS: Final = (INT, UINT, DOUBLE)
_OPERATORS: Final[dict[str, type[ast.cmpop]]] = {"_<_": ast.Lt, "_<=_": ast.LtE, "_>_": ast.Gt, "_>=_": ast.GtE}
ORDERINGS: Final = {
    **{
        f"{name}{left}_{right}": _ordering(operator, left, right)
        for name, operator in _OPERATORS.items()
        for left in _NUMBERS
        for right in _NUMBERS
    },
    **{
        f"{name}{kind}": _ordering(operator, kind, kind)
        for name, operator in _OPERATORS.items()
        for kind in (STRING, BYTES, BOOL, TIMESTAMP, DURATION)
    },
}
