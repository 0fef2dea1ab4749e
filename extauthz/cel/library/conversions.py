"""Conversions between types, `type`, `dyn` and `size` (langdef, "Standard Definitions")."""

import re
from math import inf
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.kinds import type_of
from extauthz.cel.library.times import duration_text, parse_duration, parse_timestamp, timestamp_text
from extauthz.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    ListType,
    MapType,
    TypeParam,
    name_of,
)
from extauthz.cel.values import INT_MAX, INT_MIN, UINT_MAX, Timestamp, UInt
from extauthz.values.quoting import given

_A: Final = TypeParam("A")
_B: Final = TypeParam("B")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE: Final = re.compile(
    r"[+-]?(?:(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?|inf(?:inity)?|nan)",
    re.IGNORECASE,
)
_INFINITIES: Final = (inf, -inf)
_BOOLS: Final = {
    "1": True, "t": True, "T": True, "true": True, "TRUE": True, "True": True,
    "0": False, "f": False, "F": False, "false": False, "FALSE": False, "False": False,
}  # fmt: skip


def _out_of_range(kind: str) -> EvalError:
    return EvalError(f"{kind} out of range")


def _not(text: str, kind: str) -> EvalError:
    return EvalError(f"{given(text)} is no {kind}")


def int_from_number(value: float) -> int:
    """An int from a uint or double; a fraction is cut off."""
    if not INT_MIN <= value <= INT_MAX or (type(value) is float and not -(2.0**63) < value < 2.0**63):
        raise _out_of_range("int")
    return int(value)


def int_from_string(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _not(text, "int")
    value = int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise _out_of_range("int")
    return value


def int_from_timestamp(value: Timestamp) -> int:
    """Seconds since 1970."""
    return value.seconds


def uint_from_number(value: float) -> UInt:
    """A uint from an int or double; a fraction is cut off."""
    if not 0 <= value <= UINT_MAX or (type(value) is float and value >= 2.0**64):
        raise _out_of_range("uint")
    return UInt(int(value))


def uint_from_string(text: str) -> UInt:
    if not _INTEGER.fullmatch(text) or text.startswith("-"):
        raise _not(text, "uint")
    value = int(text)
    if value > UINT_MAX:
        raise _out_of_range("uint")
    return UInt(value)


def double_from_string(text: str) -> float:
    if not _DOUBLE.fullmatch(text):
        raise _not(text, "double")
    value = float(text)
    if value in _INFINITIES and any(c.isdigit() for c in text):
        raise _out_of_range("double")
    return value


def bool_from_string(text: str) -> bool:
    if text not in _BOOLS:
        raise _not(text, "bool")
    return _BOOLS[text]


def string_from_double(value: float) -> str:
    """The shortest text that reads back as the same double, without an exponent between 1e-6 and 1e21."""
    if value != value:
        return "NaN"
    if value in _INFINITIES:
        return "+Inf" if value > 0 else "-Inf"
    return plain_double(value)


def plain_double(value: float) -> str:
    """The text of a double that is finite; without a fraction it looks like an int."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    if 1e-7 <= abs(value) < 1e21:
        return f"{value:.{_decimals(text)}f}"
    return text


def _decimals(text: str) -> int:
    """Digits after the point of a number written as `1.23e-05`."""
    mantissa, _, exponent = text.partition("e")
    fraction = len(mantissa.partition(".")[2])
    return max(0, fraction - int(exponent))


def string_from_bool(value: bool) -> str:
    return "true" if value else "false"


def string_from_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvalError("the bytes are no UTF-8") from None


def string_from_int(value: int) -> str:
    return str(int(value))


def bytes_from_string(value: str) -> bytes:
    return value.encode()


def same(value: object) -> object:
    """A conversion to the type that the value has already."""
    return value


def timestamp_from_int(seconds: int) -> Timestamp:
    return Timestamp(seconds)


def _sizes(*, member: bool) -> list[Overload]:
    prefix = "size_member" if member else "size"
    return [
        Overload(f"{prefix}_{name_of(kind)}", (kind,), INT, len, member, total=True)
        for kind in (STRING, BYTES, ListType(_A), MapType(_A, _B))
    ]


def functions() -> list[Function]:
    """All conversions, and the functions on values of any type."""
    return [
        Function("type", [Overload("type", (_A,), TYPE, type_of)]),
        Function("dyn", [Overload("to_dyn", (_A,), DYN, same, total=True)]),
        Function("size", [*_sizes(member=False), *_sizes(member=True)]),
        Function(
            "int",
            [
                Overload("int64_to_int64", (INT,), INT, same, total=True),
                Overload("uint64_to_int64", (UINT,), INT, int_from_number),
                Overload("double_to_int64", (DOUBLE,), INT, int_from_number),
                Overload("string_to_int64", (STRING,), INT, int_from_string),
                Overload("timestamp_to_int64", (TIMESTAMP,), INT, int_from_timestamp, total=True),
            ],
        ),
        Function(
            "uint",
            [
                Overload("uint64_to_uint64", (UINT,), UINT, same, total=True),
                Overload("int64_to_uint64", (INT,), UINT, uint_from_number),
                Overload("double_to_uint64", (DOUBLE,), UINT, uint_from_number),
                Overload("string_to_uint64", (STRING,), UINT, uint_from_string),
            ],
        ),
        Function(
            "double",
            [
                Overload("double_to_double", (DOUBLE,), DOUBLE, same, total=True),
                Overload("int64_to_double", (INT,), DOUBLE, float, total=True),
                Overload("uint64_to_double", (UINT,), DOUBLE, float, total=True),
                Overload("string_to_double", (STRING,), DOUBLE, double_from_string),
            ],
        ),
        Function(
            "bool",
            [
                Overload("bool_to_bool", (BOOL,), BOOL, same, total=True),
                Overload("string_to_bool", (STRING,), BOOL, bool_from_string),
            ],
        ),
        Function(
            "string",
            [
                Overload("string_to_string", (STRING,), STRING, same, total=True),
                Overload("bool_to_string", (BOOL,), STRING, string_from_bool, total=True),
                Overload("int64_to_string", (INT,), STRING, string_from_int, total=True),
                Overload("uint64_to_string", (UINT,), STRING, string_from_int, total=True),
                Overload("double_to_string", (DOUBLE,), STRING, string_from_double, total=True),
                Overload("bytes_to_string", (BYTES,), STRING, string_from_bytes),
                Overload("timestamp_to_string", (TIMESTAMP,), STRING, timestamp_text, total=True),
                Overload("duration_to_string", (DURATION,), STRING, duration_text, total=True),
            ],
        ),
        Function(
            "bytes",
            [
                Overload("bytes_to_bytes", (BYTES,), BYTES, same, total=True),
                Overload("string_to_bytes", (STRING,), BYTES, bytes_from_string),
            ],
        ),
        Function(
            "timestamp",
            [
                Overload("timestamp_to_timestamp", (TIMESTAMP,), TIMESTAMP, same, total=True),
                Overload("int64_to_timestamp", (INT,), TIMESTAMP, timestamp_from_int),
                Overload("string_to_timestamp", (STRING,), TIMESTAMP, parse_timestamp),
            ],
        ),
        Function(
            "duration",
            [
                Overload("duration_to_duration", (DURATION,), DURATION, same, total=True),
                Overload("string_to_duration", (STRING,), DURATION, parse_duration),
            ],
        ),
    ]
