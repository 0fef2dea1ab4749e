"""Equality across all values (langdef, "Equality"), and what follows from it: membership and keys of maps.

Python's own `==` would take `true` for 1, a NaN in a list for equal to itself, and a list for no tuple.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.kinds import kind_of
from extauthz.cel.network import IPAddress, Network
from extauthz.cel.values import Duration, MixedMap, Optional, Timestamp, Type, UInt

_PLAIN: Final = frozenset(
    {str, bytes, bool, int, UInt, float, type(None), Timestamp, Duration, Type, IPAddress, Network}
)
"""Classes whose own `==` is CEL's among values of the same class."""
_NUMBERS: Final = frozenset({int, UInt, float})
_KEYS: Final = frozenset({bool, int, UInt, str})


def equal(left: object, right: object) -> bool:
    """`left == right`: numbers of all types compare by value, lists and maps deeply, other types are unequal."""
    left_class, right_class = type(left), type(right)
    if left_class is right_class and left_class in _PLAIN:
        return left == right
    if left_class in _NUMBERS and right_class in _NUMBERS:
        if left_class is float or right_class is float:
            return float(left) == float(right)  # type: ignore[arg-type]  # both are numbers
        return left == right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return len(left) == len(right) and all(_holds(right, key, value) for key, value in left.items())
    if left_class is Optional and right_class is Optional:
        return _equal_optionals(left, right)  # type: ignore[arg-type]  # both are optionals
    for cls in (left_class, right_class):
        if kind_of(cls) is None:
            raise EvalError("no such overload: a value of this kind can't be compared")
    return False


def unequal(left: object, right: object) -> bool:
    return not equal(left, right)


def _equal_optionals(left: Optional, right: Optional) -> bool:
    if left.present and right.present:
        return equal(left.value, right.value)
    return left.present == right.present


def _holds(mapping: Mapping[object, object], key: object, value: object) -> bool:
    return has_key(mapping, key) and equal(lookup(mapping, key), value)


def lookup(mapping: Mapping[object, object], key: object) -> object:
    """`mapping[key]`; numbers of all types are one key, `true` is not 1.

    Raises `KeyError` where there is none.
    """
    if type(key) is str:
        return mapping[key]
    if not has_key(mapping, key):
        raise KeyError(key)
    return mapping[key]


def has_key(mapping: Mapping[object, object], key: object) -> bool:
    """`key in mapping`"""
    cls = type(key)
    if cls is str:
        return key in mapping
    if cls not in _KEYS and cls is not float:
        return False
    if key not in mapping:
        return False
    if type(mapping) is MixedMap or (key != 0 and key != 1):
        return True
    # A dict takes 1 for true: the key that it holds decides.
    is_bool = cls is bool
    return any(other == key and (type(other) is bool) is is_bool for other in mapping)


def contains(item: object, container: object) -> bool:
    """`item in container`"""
    if isinstance(container, list | tuple):
        return any(equal(item, element) for element in container)
    if isinstance(container, Mapping):
        return has_key(container, item)
    raise EvalError("no such overload: `in` takes a list or a map")


def build_map(entries: list[tuple[object, object]]) -> Mapping[object, object]:
    """The value of `{k: v, …}`; a key twice, or of a type that no key has, is an error."""
    plain: dict[object, object] = {}
    bools = 0
    for key, value in entries:
        if type(key) not in _KEYS:
            raise EvalError("unsupported key type: keys are bool, int, uint or string")
        bools += type(key) is bool
        plain[key] = value
    mixed = 0 < bools < len(entries)
    built: Mapping[object, object] = MixedMap(entries) if mixed else plain  # type: ignore[arg-type]  # keys are hashable
    if len(built) < len(entries):
        raise EvalError("a key occurs twice in a map")
    return built


def merge_maps(maps: list[Mapping[object, object]]) -> Mapping[object, object]:
    """What transformMapEntry() collects: the entries of all maps."""
    entries: list[tuple[object, object]] = []
    for part in maps:
        if not isinstance(part, Mapping):
            raise EvalError("no such overload: transformMapEntry() collects maps")
        entries.extend(part.items())
    return build_map(entries)
