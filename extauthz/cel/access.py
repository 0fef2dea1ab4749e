"""Fields and items of values whose type is known only when they are there (langdef, "Field Selection")."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from extauthz.cel.equality import has_key, lookup
from extauthz.cel.errors import EvalError
from extauthz.cel.values import NONE, Optional, UInt
from extauthz.values.quoting import given


def select(operand: object, name: str) -> object:
    """`operand.name`; on an optional the field of its value, as an optional."""
    if type(operand) is dict or type(operand) is MappingProxyType:  # quicker found out than that it is a mapping
        return operand[name]
    if isinstance(operand, Mapping):
        return operand[name]
    if isinstance(operand, Optional):
        return select_optional(operand, name)
    raise EvalError(f"no such key: a value of this type has no field `{name}`")


def select_optional(operand: object, name: str) -> Optional:
    """`operand.?name`"""
    if isinstance(operand, Optional):
        if not operand.present:
            return NONE
        operand = operand.value
    if isinstance(operand, Mapping):
        return Optional(operand[name]) if name in operand else NONE
    raise EvalError(f"no such key: a value of this type has no field `{name}`")


def has(operand: object, name: str) -> bool:
    """`has(operand.name)`"""
    if isinstance(operand, Optional):
        if not operand.present:
            return False
        operand = operand.value
    if isinstance(operand, Mapping):
        return name in operand
    raise EvalError(f"no such key: a value of this type has no field `{name}`")


def item(operand: object, index: object) -> object:
    """`operand[index]`; on an optional the item of its value, as an optional."""
    if isinstance(operand, Mapping):
        return lookup(operand, index)
    if isinstance(operand, list | tuple):
        return operand[_position(operand, index)]
    if isinstance(operand, Optional):
        return item_optional(operand, index)
    raise EvalError("no such overload: a value of this type has no items")


def item_optional(operand: object, index: object) -> Optional:
    """`operand[?index]`"""
    if isinstance(operand, Optional):
        if not operand.present:
            return NONE
        operand = operand.value
    if isinstance(operand, Mapping):
        return Optional(lookup(operand, index)) if has_key(operand, index) else NONE
    if isinstance(operand, list | tuple):
        position = _integer(index)
        return Optional(operand[position]) if 0 <= position < len(operand) else NONE
    raise EvalError("no such overload: a value of this type has no items")


def _integer(index: object) -> int:
    """A list's index of any numeric type, if it is whole."""
    if type(index) is int or type(index) is UInt:
        return index
    if type(index) is float and index.is_integer():
        return int(index)
    raise EvalError("invalid argument: the index of a list is a whole number")


def _position(operand: Sequence[object], index: object) -> int:
    position = _integer(index)
    if not 0 <= position < len(operand):
        outside(position)
    return position


def outside(index: int) -> object:
    """The value of an index that is negative: there is none."""
    raise EvalError(f"index out of range: {given(str(index))}")


def unset(name: str) -> object:
    """The value of a field that is not set: there is none."""
    raise EvalError(f"no such field: `{name}` is not set")


def boolean(value: object) -> bool:
    """A condition's value, which must be a bool."""
    if value is True or value is False:
        return value
    raise EvalError("no such overload: a condition must be a bool")


def elements(value: object) -> Sequence[object] | Mapping[object, object]:
    """What a macro visits: the elements of a list, the keys of a map."""
    if isinstance(value, list | tuple | Mapping):
        return value
    raise EvalError("no such overload: a macro visits a list or a map")


def pairs(value: object) -> Iterator[tuple[object, object]]:
    """What a macro of two variables visits: index and element, or key and value."""
    if isinstance(value, Mapping):
        return iter(cast("Mapping[object, object]", value).items())
    if isinstance(value, list | tuple):
        return enumerate(value)
    raise EvalError("no such overload: a macro visits a list or a map")


def optional(value: object) -> Optional:
    """A value that must be an optional: what follows `?`, the target of `optMap`."""
    if isinstance(value, Optional):
        return value
    raise EvalError("no such overload: the value must be an optional")
