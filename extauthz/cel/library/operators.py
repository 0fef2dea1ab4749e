"""Arithmetic, comparison, logic and membership (langdef, "Standard Definitions")."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from extauthz.cel.equality import contains, equal, unequal
from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.limits import Limits
from extauthz.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    CelType,
    ListType,
    MapType,
    TypeParam,
)
from extauthz.cel.values import INT_MAX, INT_MIN, Duration, Timestamp, UInt

_A: Final = TypeParam("A")
_B: Final = TypeParam("B")
_Text = TypeVar("_Text", str, bytes)


def overflow() -> int:
    """The value of an int expression beyond 64 bits: there is none."""
    raise EvalError("int overflow: the result does not fit 64 bits")


def _int(value: int) -> int:
    return value if INT_MIN <= value <= INT_MAX else overflow()


def add_int(left: int, right: int) -> int:
    return _int(left + right)


def subtract_int(left: int, right: int) -> int:
    return _int(left - right)


def multiply_int(left: int, right: int) -> int:
    return _int(left * right)


def divide_int(left: int, right: int) -> int:
    """Rounds toward zero."""
    if right == 0:
        raise EvalError("division by zero")
    quotient = abs(left) // abs(right)
    return _int(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    """The remainder has the sign of `left`."""
    if right == 0:
        raise EvalError("modulus by zero")
    remainder = abs(left) % abs(right)
    return remainder if left >= 0 else -remainder


def negate_int(value: int) -> int:
    return _int(-value)


def add_uint(left: int, right: int) -> UInt:
    return UInt(int(left) + right)


def subtract_uint(left: int, right: int) -> UInt:
    return UInt(int(left) - right)


def multiply_uint(left: int, right: int) -> UInt:
    return UInt(int(left) * right)


def divide_uint(left: int, right: int) -> UInt:
    if right == 0:
        raise EvalError("division by zero")
    return UInt(int(left) // right)


def modulo_uint(left: int, right: int) -> UInt:
    if right == 0:
        raise EvalError("modulus by zero")
    return UInt(int(left) % right)


def divide_double(left: float, right: float) -> float:
    """As IEEE 754 has it: 1.0 / 0.0 is infinity, 0.0 / 0.0 is NaN."""
    if right:
        return left / right
    if not left or left != left:
        return float("nan")
    # The sign of a zero shows only in its text or in what it is copied to.
    negative = (left < 0) is not str(float(right)).startswith("-")
    return float("-inf") if negative else float("inf")


def add_time(timestamp: Timestamp, duration: Duration) -> Timestamp:
    return Timestamp(0, timestamp.ns + duration.ns)


def add_time_reversed(duration: Duration, timestamp: Timestamp) -> Timestamp:
    return Timestamp(0, timestamp.ns + duration.ns)


def add_duration(left: Duration, right: Duration) -> Duration:
    return Duration(0, left.ns + right.ns)


def subtract_duration(left: Duration, right: Duration) -> Duration:
    return Duration(0, left.ns - right.ns)


def subtract_times(left: Timestamp, right: Timestamp) -> Duration:
    return Duration(0, left.ns - right.ns)


def subtract_time(timestamp: Timestamp, duration: Duration) -> Timestamp:
    return Timestamp(0, timestamp.ns - duration.ns)


def too_long() -> Any:  # noqa: ANN401  # it stands for a value of any type and never gives one
    """The value of a concatenation beyond the limits: there is none."""
    raise EvalError("the result is longer than the limits allow")


def functions(limits: Limits, *, nan_ordering_is_error: bool) -> list[Function]:
    """The operators; `limits` bound what `+` builds."""

    def concatenate(left: _Text, right: _Text) -> _Text:
        if len(left) + len(right) > limits.string_length:
            too_long()
        return left + right

    lists = ListType(_A)

    def concatenate_lists(left: Sequence[object], right: Sequence[object]) -> list[object]:
        if len(left) + len(right) > limits.list_length:
            too_long()
        return [*left, *right]

    return [
        Function(
            "_+_",
            [
                Overload("add_int64", (INT, INT), INT, add_int),
                Overload("add_uint64", (UINT, UINT), UINT, add_uint),
                Overload("add_double", (DOUBLE, DOUBLE), DOUBLE, operator.add, total=True),
                Overload("add_string", (STRING, STRING), STRING, concatenate),
                Overload("add_bytes", (BYTES, BYTES), BYTES, concatenate),
                Overload("add_list", (lists, lists), lists, concatenate_lists),
                Overload("add_timestamp_duration", (TIMESTAMP, DURATION), TIMESTAMP, add_time),
                Overload("add_duration_timestamp", (DURATION, TIMESTAMP), TIMESTAMP, add_time_reversed),
                Overload("add_duration_duration", (DURATION, DURATION), DURATION, add_duration),
            ],
        ),
        Function(
            "_-_",
            [
                Overload("subtract_int64", (INT, INT), INT, subtract_int),
                Overload("subtract_uint64", (UINT, UINT), UINT, subtract_uint),
                Overload("subtract_double", (DOUBLE, DOUBLE), DOUBLE, operator.sub, total=True),
                Overload("subtract_timestamp_timestamp", (TIMESTAMP, TIMESTAMP), DURATION, subtract_times),
                Overload("subtract_timestamp_duration", (TIMESTAMP, DURATION), TIMESTAMP, subtract_time),
                Overload("subtract_duration_duration", (DURATION, DURATION), DURATION, subtract_duration),
            ],
        ),
        Function(
            "_*_",
            [
                Overload("multiply_int64", (INT, INT), INT, multiply_int),
                Overload("multiply_uint64", (UINT, UINT), UINT, multiply_uint),
                Overload("multiply_double", (DOUBLE, DOUBLE), DOUBLE, operator.mul, total=True),
            ],
        ),
        Function(
            "_/_",
            [
                Overload("divide_int64", (INT, INT), INT, divide_int),
                Overload("divide_uint64", (UINT, UINT), UINT, divide_uint),
                Overload("divide_double", (DOUBLE, DOUBLE), DOUBLE, divide_double, total=True),
            ],
        ),
        Function(
            "_%_",
            [
                Overload("modulo_int64", (INT, INT), INT, modulo_int),
                Overload("modulo_uint64", (UINT, UINT), UINT, modulo_uint),
            ],
        ),
        Function(
            "-_",
            [
                Overload("negate_int64", (INT,), INT, negate_int),
                Overload("negate_double", (DOUBLE,), DOUBLE, operator.neg, total=True),
            ],
        ),
        Function("!_", [Overload("logical_not", (BOOL,), BOOL, operator.not_, total=True)]),
        Function("_==_", [Overload("equals", (_A, _A), BOOL, equal)]),
        Function("_!=_", [Overload("not_equals", (_A, _A), BOOL, unequal)]),
        Function(
            "@in",
            [
                Overload("in_list", (_A, ListType(_A)), BOOL, contains),
                Overload("in_map", (_A, MapType(_A, _B)), BOOL, contains),
            ],
        ),
        *(_ordering(name, compare, nan_ordering_is_error) for name, compare in _ORDERINGS.items()),
    ]


_ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}


def no_order() -> bool:
    """The value of an ordering with NaN, where that is an error: there is none."""
    raise EvalError("NaN has no place in an order")


def _ordering(name: str, compare: Callable[[Any, Any], bool], nan_is_error: bool) -> Function:
    """One of < <= > >=; numbers of different types compare by value, an int as the double nearest to it."""

    def doubles(left: float, right: float) -> bool:
        left, right = float(left), float(right)
        if nan_is_error and (left != left or right != right):
            return no_order()
        return compare(left, right)

    numbers: tuple[CelType, ...] = (INT, UINT, DOUBLE)
    overloads = [
        Overload(f"{name}{left}_{right}", (left, right), BOOL, doubles, total=not nan_is_error)
        if DOUBLE in (left, right)
        else Overload(f"{name}{left}_{right}", (left, right), BOOL, compare, total=True)
        for left in numbers
        for right in numbers
    ]
    overloads += [
        Overload(f"{name}{kind}", (kind, kind), BOOL, compare, total=True)
        for kind in (STRING, BYTES, BOOL, TIMESTAMP, DURATION)
    ]
    return Function(name, overloads)
