"""Arithmetic as Python's own, checked where the result may not fit."""

import ast
from collections.abc import Callable
from typing import Final

from extauthz.cel import pyast as py
from extauthz.cel.emit.bounds import bounds, raw_bounds
from extauthz.cel.emitter import Emitter
from extauthz.cel.library.operators import overflow, too_long
from extauthz.cel.tree import Call, Constant, Expr
from extauthz.cel.types import DURATION, TIMESTAMP
from extauthz.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

_TIMES: Final = (TIMESTAMP, DURATION)


def _checked_int(operator: Callable[[], ast.operator]) -> Callable[[Emitter, Call, int], ast.expr]:
    """An int operation; only the bounds that its result may cross are looked at."""

    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr:
        left, right = emitter.emit(node.args[0]), emitter.emit(node.args[1])
        value = py.binary(left, operator(), right, line)
        return _within(emitter, node, value, line)

    return inline


def _within(emitter: Emitter, node: Call, value: ast.expr, line: int) -> ast.expr:
    low, high = raw_bounds(node)
    if low >= INT_MIN and high <= INT_MAX:
        return value
    result = emitter.temporary()
    named = py.walrus(result, value, line)
    if low >= INT_MIN:
        fits = py.compare(named, ast.LtE(), py.constant(INT_MAX, line), line)
    elif high <= INT_MAX:
        fits = py.compare(named, ast.GtE(), py.constant(INT_MIN, line), line)
    else:
        fits = py.between(INT_MIN, named, INT_MAX, line)
    return py.either(fits, py.name(result, line), emitter.call(overflow, [], line), line)


def _negate_int(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return _within(emitter, node, py.minus(emitter.emit(node.args[0]), line), line)


def _natural(operator: Callable[[], ast.operator]) -> Callable[[Emitter, Call, int], ast.expr | None]:
    """/ and %: Python's round down, CEL's toward zero; they agree on what is not negative."""

    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr | None:
        dividend, divisor = node.args
        if bounds(dividend)[0] < 0 or bounds(divisor)[0] <= 0:
            return None
        return py.binary(emitter.emit(dividend), operator(), emitter.emit(divisor), line)

    return inline


def _modulo_int(emitter: Emitter, node: Call, line: int) -> ast.expr | None:
    """With a positive constant divisor the sign is the dividend's: x % c, or -(-x % c)."""
    dividend, divisor = node.args
    natural = _natural(ast.Mod)(emitter, node, line)
    if natural is not None:
        return natural
    if not isinstance(divisor, Constant) or bounds(divisor)[0] <= 0:
        return None
    value = emitter.simple(emitter.emit(dividend), line)
    right = py.constant(divisor.value, line)
    positive = py.binary(value, ast.Mod(), right, line)
    negative = py.minus(py.binary(py.minus(value, line), ast.Mod(), right, line), line)
    return py.either(py.compare(value, ast.GtE(), py.constant(0, line), line), positive, negative, line)


def _double(operator: Callable[[], ast.operator]) -> Callable[[Emitter, Call, int], ast.expr]:
    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr:
        return py.binary(emitter.emit(node.args[0]), operator(), emitter.emit(node.args[1]), line)

    return inline


def _divide_double(emitter: Emitter, node: Call, line: int) -> ast.expr | None:
    """Python raises an error for a zero; a constant that is none can't be one."""
    divisor = node.args[1]
    if not isinstance(divisor, Constant) or not divisor.value:
        return None
    return _double(ast.Div)(emitter, node, line)


def _negate_double(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return py.minus(emitter.emit(node.args[0]), line)


def _concatenate(emitter: Emitter, node: Call, line: int) -> ast.expr:
    """a + b of strings or bytes, no longer than the limits allow."""
    left, right = emitter.emit(node.args[0]), emitter.emit(node.args[1])
    result = emitter.temporary()
    joined = py.walrus(result, py.binary(left, ast.Add(), right, line), line)
    length = emitter.call(len, [joined], line, total=True)
    fits = py.compare(length, ast.LtE(), py.constant(emitter.limits.string_length, line), line)
    return py.either(fits, py.name(result, line), emitter.call(too_long, [], line), line)


def nanoseconds(emitter: Emitter, node: Expr) -> ast.expr:
    """A timestamp or duration as a plain number of nanoseconds, for what only compares or adds it."""
    value = emitter.shared(node)
    line = len(emitter.spans)
    if isinstance(node, Constant) and isinstance(node.value, Timestamp | Duration) and not emitter.trace:
        return py.constant(node.value.ns, line)
    return py.attribute(value, "ns", line)


def _time(operator: Callable[[], ast.operator]) -> Callable[[Emitter, Call, int], ast.expr]:
    """Sums and differences of timestamps and durations."""

    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr:
        left, right = nanoseconds(emitter, node.args[0]), nanoseconds(emitter, node.args[1])
        total = py.binary(left, operator(), right, line)
        made = Timestamp if node.overloads[0].result == TIMESTAMP else Duration
        return emitter.call(made, [py.constant(0, line), total], line)

    return inline


INLINE: Final[dict[str, Callable[[Emitter, Call, int], ast.expr | None]]] = {
    "add_int64": _checked_int(ast.Add),
    "subtract_int64": _checked_int(ast.Sub),
    "multiply_int64": _checked_int(ast.Mult),
    "divide_int64": _natural(ast.FloorDiv),
    "modulo_int64": _modulo_int,
    "negate_int64": _negate_int,
    "add_double": _double(ast.Add),
    "subtract_double": _double(ast.Sub),
    "multiply_double": _double(ast.Mult),
    "divide_double": _divide_double,
    "negate_double": _negate_double,
    "add_string": _concatenate,
    "add_bytes": _concatenate,
    "add_timestamp_duration": _time(ast.Add),
    "add_duration_timestamp": _time(ast.Add),
    "add_duration_duration": _time(ast.Add),
    "subtract_timestamp_timestamp": _time(ast.Sub),
    "subtract_timestamp_duration": _time(ast.Sub),
    "subtract_duration_duration": _time(ast.Sub),
}
