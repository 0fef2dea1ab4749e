"""What an attribute source said, as CEL values of the types that the configuration declares.

The rule kept here: a value of another type makes the whole answer unusable, and what is not declared is not kept.
`null` is no value: such a field is absent, as is one that is not there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from extauthz import cel
from extauthz.cel.library.times import parse_duration, parse_timestamp
from extauthz.cel.types import ListType, MapType
from extauthz.policy import cel_types

_EXACT: Final = 2**53
"""Up to here a number of JSON is the same in all readers (RFC 8259 section 6)."""


class Unfit(ValueError):
    """A value is not of the type that was declared; the message names the field, and holds none of the value."""


def declared_type(text: str) -> cel.CelType:
    """The type of a field as the configuration writes it.

    Raises:
        ValueError: it is none that an answer in JSON can have.
    """
    kind = cel_types.parse(text)
    if not _is_readable(kind):
        raise ValueError(
            f"`{text}` is no type of an answer; write bool, int, uint, double, string, timestamp, duration, dyn, or a"
            " list or a map from string of these"
        )
    return kind


def _is_readable(kind: cel.CelType) -> bool:
    match kind:
        case ListType(element=element):
            return _is_readable(element)
        case MapType(key=key, value=value):
            return key == cel.STRING and _is_readable(value)
        case _:
            return kind in _READERS


def conform(members: Mapping[str, Any], fields: Mapping[str, cel.CelType]) -> dict[str, object]:
    """Of the members of a JSON object those that are `fields`, as CEL values.

    Raises:
        Unfit: one is of another type.
    """
    found: dict[str, object] = {}
    for name, kind in fields.items():
        value = members.get(name)
        if value is not None:
            try:
                found[name] = _read(value, kind)
            except (ValueError, cel.EvalError):
                raise Unfit(f"the field `{name}` is not of type `{kind}`") from None
    return found


def _read(value: object, kind: cel.CelType) -> object:
    match kind:
        case ListType(element=element):
            if not isinstance(value, list):
                raise Unfit
            return [_read(item, element) for item in value]
        case MapType(value=inner):
            if not isinstance(value, dict):
                raise Unfit
            return {name: _read(item, inner) for name, item in value.items()}
        case _:
            return _READERS[kind](value)


def _bool(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise Unfit


def _int(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Some writers of JSON, and `google.protobuf.Struct`, know no whole numbers.
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    raise Unfit


def _uint(value: object) -> object:
    number = _int(value)
    assert isinstance(number, int)  # noqa: S101 - `_int` gives nothing else
    return cel.UInt(number)


def _double(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise Unfit


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Unfit


_READERS: Final[Mapping[cel.CelType, Callable[[object], object]]] = {
    cel.BOOL: _bool,
    cel.INT: _int,
    cel.UINT: _uint,
    cel.DOUBLE: _double,
    cel.STRING: _text,
    cel.TIMESTAMP: lambda value: parse_timestamp(_text(value)),
    cel.DURATION: lambda value: parse_duration(_text(value)),
    cel.DYN: lambda value: value,
}
