"""The optionals extension; its macros are in `macros`, `?.` and `[?]` in the parser."""

from collections.abc import Mapping, Sequence
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.kinds import kind_of
from extauthz.cel.types import BOOL, ListType, OptionalType, TypeParam
from extauthz.cel.values import NONE, Duration, Optional, Timestamp

_A: Final = TypeParam("A")


def _none() -> Optional:
    return NONE


def _of_non_zero(value: object) -> Optional:
    return NONE if _is_zero(value) else Optional(value)


def _is_zero(value: object) -> bool:
    """Whether a value is its type's zero: null, false, 0, "", an empty list or map, 1970, no time at all."""
    match value:
        case None | Optional(present=False) | Timestamp(ns=0) | Duration(ns=0):
            return True
        case bool() | int() | float() | str() | bytes() | list() | tuple() | Mapping():
            return not value
        case _:
            if kind_of(type(value)) is None:
                raise EvalError("no such overload: a value of this kind has no zero")
            return False


def _has_value(value: Optional) -> bool:
    return value.present


def _value(value: Optional) -> object:
    return value.value


def _or(left: Optional, right: Optional) -> Optional:
    return left if left.present else right


def _or_value(left: Optional, right: object) -> object:
    return left.value if left.present else right


def _unwrap(values: Sequence[Optional]) -> list[object]:
    """The values that are there."""
    if not all(isinstance(value, Optional) for value in values):
        raise EvalError("no such overload: the elements must be optionals")
    return [value.value for value in values if value.present]


def _first(values: Sequence[object]) -> Optional:
    return Optional(values[0]) if values else NONE


def _last(values: Sequence[object]) -> Optional:
    return Optional(values[-1]) if values else NONE


def functions() -> list[Function]:
    """The functions of the namespace `optional` and the methods of optionals."""
    maybe, items = OptionalType(_A), ListType(_A)
    many = ListType(maybe)
    return [
        Function("optional.none", [Overload("optional_none", (), maybe, _none, total=True)]),
        Function("optional.of", [Overload("optional_of", (_A,), maybe, Optional, total=True)]),
        Function("optional.ofNonZeroValue", [Overload("optional_of_non_zero", (_A,), maybe, _of_non_zero)]),
        Function("optional.unwrap", [Overload("optional_unwrap", (many,), items, _unwrap)]),
        Function("unwrapOpt", [Overload("optional_unwrap_opt", (many,), items, _unwrap, True)]),
        Function("hasValue", [Overload("optional_has_value", (maybe,), BOOL, _has_value, True, total=True)]),
        Function("value", [Overload("optional_value", (maybe,), _A, _value, True)]),
        Function("or", [Overload("optional_or", (maybe, maybe), maybe, _or, True, total=True)]),
        Function("orValue", [Overload("optional_or_value", (maybe, _A), _A, _or_value, True, total=True)]),
        Function("first", [Overload("list_first", (items,), maybe, _first, True, total=True)]),
        Function("last", [Overload("list_last", (items,), maybe, _last, True, total=True)]),
    ]
