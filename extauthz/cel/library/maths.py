"""The math extension."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.library.operators import negate_int
from extauthz.cel.types import BOOL, DOUBLE, DYN, INT, UINT, CelType, ListType
from extauthz.cel.values import INT_MAX, UINT_MAX, UInt
from extauthz.values.quoting import given

_NUMBERS: Final[tuple[CelType, ...]] = (INT, UINT, DOUBLE)


def _rounded(round_one: Callable[[float], int]) -> Callable[[float], float]:
    """A rounding that keeps NaN, infinities and the sign of zero."""

    def rounded(value: float) -> float:
        if not math.isfinite(value):
            return value
        return math.copysign(float(round_one(value)), value)

    return rounded


def _half_away(value: float) -> int:
    """The nearest integer, halves away from zero."""
    whole = math.floor(abs(value))
    return whole + 1 if abs(value) - whole >= 0.5 else whole


def _ceil_sign(value: float) -> float:
    return math.copysign(float(math.ceil(value)), value) if math.isfinite(value) else value


def _floor(value: float) -> float:
    return float(math.floor(value)) if math.isfinite(value) else value


def _abs_int(value: int) -> int:
    return value if value >= 0 else negate_int(value)


def _sign_int(value: int) -> int:
    return (value > 0) - (value < 0)


def _sign_uint(value: int) -> UInt:
    return UInt(1 if value else 0)


def _sign_double(value: float) -> float:
    return value if value != value else float((value > 0) - (value < 0))


def _sqrt(value: float) -> float:
    return math.sqrt(value) if value >= 0 else float("nan")


def _wrap(value: int) -> int:
    """The int whose 64 bits are those of `value`."""
    value &= UINT_MAX
    return value if value <= INT_MAX else value - UINT_MAX - 1


def _offset(bits: int) -> int:
    if bits < 0:
        raise EvalError(f"a shift by a negative offset: {given(str(bits))}")
    return min(bits, 64)


def _shift_left(value: int, bits: int) -> int:
    return _wrap(value << _offset(bits))


def _shift_right(value: int, bits: int) -> int:
    """A logical shift: zeros come in from the left."""
    return _wrap((value & UINT_MAX) >> _offset(bits))


def _unsigned(function: Callable[..., int]) -> Callable[..., UInt]:
    def unsigned(*args: int) -> UInt:
        return UInt(function(*map(int, args)) & UINT_MAX)

    return unsigned


def _extreme(better: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    """The greatest or the least of two values, or the first of equals."""

    def pick(*values: float) -> float:
        best = values[0]
        for value in values[1:]:
            left, right = (float(value), float(best)) if float in (type(value), type(best)) else (value, best)
            if better(left, right):
                best = value
        return best

    return pick


def _extreme_list(pick: Callable[..., Any]) -> Callable[[Sequence[float]], float]:
    def pick_of(values: Sequence[float]) -> float:
        if not values:
            raise EvalError("an empty list has no greatest and no least element")
        if any(type(value) not in (int, UInt, float) for value in values):
            raise EvalError("no such overload: the elements must be numbers")
        result: float = pick(*values)
        return result

    return pick_of


def _extremes(name: str, better: Callable[[Any, Any], bool]) -> Function:
    pick = _extreme(better)
    overloads = [Overload(f"{name}_{kind}", (kind,), kind, pick, total=True) for kind in _NUMBERS]
    overloads += [
        Overload(f"{name}_{left}_{right}", (left, right), left if left == right else DYN, pick, total=True)
        for left in _NUMBERS
        for right in _NUMBERS
    ]
    overloads += [
        Overload(f"{name}_list_{kind}", (ListType(kind),), kind, _extreme_list(pick)) for kind in (*_NUMBERS, DYN)
    ]
    return Function(f"math.@{name}", overloads)


def _unary(name: str, *cases: tuple[CelType, CelType, Callable[..., Any]]) -> Function:
    return Function(
        f"math.{name}",
        [Overload(f"math_{name}_{arg}", (arg,), result, function) for arg, result, function in cases],
    )


def _bits(name: str, function: Callable[[int, int], int]) -> Function:
    return Function(
        f"math.{name}",
        [
            Overload(f"math_{name}_int", (INT, INT), INT, function, total=True),
            Overload(f"math_{name}_uint", (UINT, UINT), UINT, _unsigned(function), total=True),
        ],
    )


def _shift(name: str, function: Callable[[int, int], int]) -> Function:
    return Function(
        f"math.{name}",
        [
            Overload(f"math_{name}_int", (INT, INT), INT, function),
            Overload(f"math_{name}_uint", (UINT, INT), UINT, _unsigned(function)),
        ],
    )


def functions() -> list[Function]:
    """The functions of the namespace `math`."""
    return [
        _extremes("greatest", operator.gt),
        _extremes("least", operator.lt),
        _unary("ceil", (DOUBLE, DOUBLE, _ceil_sign)),
        _unary("floor", (DOUBLE, DOUBLE, _floor)),
        _unary("round", (DOUBLE, DOUBLE, _rounded(_half_away))),
        _unary("trunc", (DOUBLE, DOUBLE, _rounded(math.trunc))),
        _unary("abs", (INT, INT, _abs_int), (UINT, UINT, UInt), (DOUBLE, DOUBLE, abs)),
        _unary("sign", (INT, INT, _sign_int), (UINT, UINT, _sign_uint), (DOUBLE, DOUBLE, _sign_double)),
        _unary("sqrt", *((kind, DOUBLE, _sqrt) for kind in _NUMBERS)),
        _unary("isNaN", (DOUBLE, BOOL, math.isnan)),
        _unary("isInf", (DOUBLE, BOOL, math.isinf)),
        _unary("isFinite", (DOUBLE, BOOL, math.isfinite)),
        _bits("bitAnd", operator.and_),
        _bits("bitOr", operator.or_),
        _bits("bitXor", operator.xor),
        _unary("bitNot", (INT, INT, operator.invert), (UINT, UINT, _unsigned(operator.invert))),
        _shift("bitShiftLeft", _shift_left),
        _shift("bitShiftRight", _shift_right),
    ]
