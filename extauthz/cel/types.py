"""The types that the checker knows: what a variable is declared as, and what an expression turns out to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec


@dataclass(frozen=True, slots=True)
class SimpleType:
    """A type without parameters; `name` is what `type(x)` calls it."""

    name: str

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], "SimpleType"], tuple[str]]:
        return simple_type, (self.name,)


class ListType(msgspec.Struct, frozen=True):
    element: "CelType"

    def __str__(self) -> str:
        return f"list({self.element})"


class MapType(msgspec.Struct, frozen=True):
    key: "CelType"
    value: "CelType"

    def __str__(self) -> str:
        return f"map({self.key}, {self.value})"


class OptionalType(msgspec.Struct, frozen=True):
    element: "CelType"

    def __str__(self) -> str:
        return f"optional_type({self.element})"


class Field(msgspec.Struct, frozen=True):
    """A field of a structure; an `optional` one holds `cel.UNSET` while it is not set."""

    type: "CelType"
    optional: bool = False


@dataclass(frozen=True, slots=True, init=False)
class StructType:
    """A structure whose fields the checker knows; its values are Python objects with these attributes.

    `fields` maps names to `Field`, or to a bare type for a field that is always set. With `entries` its values are
    mappings, and a field that is not set is a key that is not there. Two structures of one name are one type. Names
    that start with an underscore are refused: they are Python's own.
    """

    name: str
    fields: Mapping[str, Field] = field(compare=False)
    entries: bool = field(compare=False)

    def __init__(self, name: str, fields: Mapping[str, "Field | CelType"], *, entries: bool = False) -> None:
        for key in fields:
            if not key.isidentifier() or key.startswith("_"):
                raise ValueError(
                    f"`{key}` is no name of a field of `{name}`; use letters, digits and inner underscores"
                )
        whole = {key: value if isinstance(value, Field) else Field(value) for key, value in fields.items()}
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "fields", MappingProxyType(whole))
        object.__setattr__(self, "entries", entries)

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> "tuple[Callable[..., StructType], tuple[str, dict[str, Field], bool]]":
        return _struct_type, (self.name, dict(self.fields), self.entries)


def _struct_type(name: str, fields: Mapping[str, Field], entries: bool) -> StructType:
    return StructType(name, fields, entries=entries)


class TypeParam(msgspec.Struct, frozen=True):
    """A type parameter of an overload: `A` in `size(list(A))`."""

    name: str

    def __str__(self) -> str:
        return self.name


class TypeVar(msgspec.Struct, frozen=True):
    """A type not yet known while checking: the elements of `[]`."""

    number: int

    def __str__(self) -> str:
        return "dyn"


CelType: TypeAlias = SimpleType | ListType | MapType | OptionalType | StructType | TypeParam | TypeVar

BOOL: Final = SimpleType("bool")
INT: Final = SimpleType("int")
UINT: Final = SimpleType("uint")
DOUBLE: Final = SimpleType("double")
STRING: Final = SimpleType("string")
BYTES: Final = SimpleType("bytes")
NULL: Final = SimpleType("null_type")
TIMESTAMP: Final = SimpleType("google.protobuf.Timestamp")
DURATION: Final = SimpleType("google.protobuf.Duration")
DYN: Final = SimpleType("dyn")
TYPE: Final = SimpleType("type")
IP: Final = SimpleType("net.IP")
CIDR: Final = SimpleType("net.CIDR")

_SIMPLE: Final = {
    kind.name: kind for kind in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TIMESTAMP, DURATION, DYN, TYPE, IP, CIDR)
}


def simple_type(name: str) -> SimpleType:
    """The type of a name; `dyn` is one object, also in the process that a copy of it goes to."""
    return _SIMPLE.get(name) or SimpleType(name)


LIST_OF_DYN: Final = ListType(DYN)
MAP_OF_DYN: Final = MapType(DYN, DYN)

TYPE_NAMES: Final = frozenset({*_SIMPLE, "list", "map", "optional_type"})
"""What an expression may say as a type (langdef, "Abstract Types")."""


def list_of(element: CelType) -> ListType:
    """The type of lists whose elements are all of one type."""
    return ListType(element)


def map_of(key: CelType, value: CelType) -> MapType:
    """The type of maps; `key` is `BOOL`, `INT`, `UINT`, `STRING` or `DYN` (langdef, "Aggregate Values")."""
    if key not in (BOOL, INT, UINT, STRING, DYN):
        raise ValueError(f"`{key}` is no type for keys; use bool, int, uint, string or dyn")
    return MapType(key, value)


def optional_of(element: CelType) -> OptionalType:
    """The type of values that may be absent."""
    return OptionalType(element)


def name_of(kind: CelType) -> str:
    """The name of the outermost constructor of a type, as `type(x)` gives it."""
    match kind:
        case SimpleType(name=name) | StructType(name=name):
            return name
        case ListType():
            return "list"
        case MapType():
            return "map"
        case OptionalType():
            return "optional_type"
        case TypeParam() | TypeVar():
            return "dyn"
