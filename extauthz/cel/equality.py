"""Equality across all values (langdef, "Equality"), and what follows from it: membership and keys of maps.

Python's own `==` would take `true` for 1, a NaN in a list for equal to itself, and a list for no tuple.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.cel.errors import EvalError, Exhausted
from extauthz.cel.kinds import kind_of
from extauthz.cel.limits import COMPARED_MAX
from extauthz.cel.network import IPAddress, Network
from extauthz.cel.values import Duration, MixedMap, Optional, Timestamp, Type, UInt

_PLAIN: Final = frozenset(
    {str, bytes, bool, int, UInt, float, type(None), Timestamp, Duration, Type, IPAddress, Network}
)
"""Classes whose own `==` is CEL's among values of the same class."""
_CONTAINERS: Final = (list, tuple, Mapping, Optional)
_NUMBERS: Final = frozenset({int, UInt, float})
_KEYS: Final = frozenset({bool, int, UInt, str})


class _Budget:
    """Pairs of values that may still be compared."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = COMPARED_MAX

    def spend(self, pairs: int) -> None:
        self.left -= pairs
        if self.left < 0:
            raise Exhausted("too many values to compare")


def equal(left: object, right: object) -> bool:
    """`left == right`: numbers of all types compare by value, lists and maps deeply, other types are unequal."""
    left_class, right_class = type(left), type(right)
    if left_class is right_class and left_class in _PLAIN:
        return left == right
    if left_class in _NUMBERS and right_class in _NUMBERS:
        if left_class is float or right_class is float:
            return float(left) == float(right)  # type: ignore[arg-type]  # both are numbers
        return left == right
    return _deeply_equal(left, right, _Budget())


def unequal(left: object, right: object) -> bool:
    return not equal(left, right)


def _deeply_equal(left: object, right: object, budget: _Budget) -> bool:
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return False
        budget.spend(len(left))
        return all(_parts_equal(a, b, budget) for a, b in zip(left, right, strict=True))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if len(left) != len(right):
            return False
        budget.spend(len(left))
        return all(
            has_key(right, key) and _parts_equal(value, lookup(right, key), budget) for key, value in left.items()
        )
    if isinstance(left, Optional) and isinstance(right, Optional):
        if left.present and right.present:
            return _parts_equal(left.content, right.content, budget)
        return left.present == right.present
    for value in (left, right):
        if kind_of(type(value)) is None:
            raise EvalError("no such overload: a value of this kind can't be compared")
    return False


def _parts_equal(left: object, right: object, budget: _Budget) -> bool:
    if isinstance(left, _CONTAINERS) and isinstance(right, _CONTAINERS):
        return _deeply_equal(left, right, budget)
    return equal(left, right)


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
        if type(item) is str:
            return item in container
        if not isinstance(item, _CONTAINERS):
            return any(equal(item, element) for element in container)
        budget = _Budget()
        return any(_parts_equal(item, element, budget) for element in container)
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
    built: Mapping[object, object] = MixedMap(entries) if mixed else plain
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
