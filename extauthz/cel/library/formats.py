"""`format` of the strings extension."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.kinds import kind_of
from extauthz.cel.library.conversions import plain_double
from extauthz.cel.library.times import duration_text, timestamp_text
from extauthz.cel.limits import Limits
from extauthz.cel.values import Duration, Timestamp, Type, UInt
from extauthz.values.quoting import given

_CLAUSE: Final = re.compile(r"%(?:\.(?P<precision>[0-9]{1,4}))?(?P<verb>.?)", re.DOTALL)
_PRECISION_MAX: Final = 1000
_DEPTH_MAX: Final = 32
"""Lists and maps within one another that `%s` shows."""


def formatter(limits: Limits) -> Callable[[str, Sequence[object]], str]:
    """`text.format(args)`; the result is no longer than the limits allow."""

    def format_text(text: str, args: Sequence[object]) -> str:
        pieces: list[str] = []
        length = position = used = 0
        for match in _CLAUSE.finditer(text):
            piece = text[position : match.start()]
            position = match.end()
            if match["verb"] == "%" and match["precision"] is None:
                piece += "%"
            else:
                if used >= len(args):
                    raise EvalError(f"index out of range: `{used}`; format has too few arguments")
                piece += _clause(match, args[used], limits.string_length)
                used += 1
            length += len(piece)
            if length > limits.string_length:
                raise EvalError("the string is longer than the limits allow")
            pieces.append(piece)
        pieces.append(text[position:])
        return "".join(pieces)

    return format_text


def _clause(match: re.Match[str], value: object, room: int) -> str:
    verb = match["verb"]
    precision = int(match["precision"]) if match["precision"] is not None else 6
    if precision > _PRECISION_MAX:
        raise EvalError(f"a precision over {_PRECISION_MAX} in format")
    if match["precision"] is not None and verb not in ("f", "e"):
        raise EvalError(f"a precision does not go with {given(f'%{verb}')} in format")
    match verb:
        case "s":
            return _string(value, _Room(room))
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _fixed(value, verb, precision)
        case "b" | "o":
            return _base(value, verb)
        case "x" | "X":
            return _hex(value, verb)
        case _:
            raise EvalError(f"unknown clause {given(f'%{verb}')} in format")


def _wrong(value: object, verb: str) -> EvalError:
    return EvalError(f"`%{verb}` does not take a value of type `{kind_of(type(value)) or 'unknown'}`")


def _special(value: float) -> str | None:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return None


def _decimal(value: object) -> str:
    if type(value) is int or type(value) is UInt:
        return str(int(value))
    if type(value) is float:
        return _special(value) or plain_double(value)
    raise _wrong(value, "d")


def _fixed(value: object, verb: str, precision: int) -> str:
    if type(value) not in (int, UInt, float):
        raise _wrong(value, verb)
    number = float(value)  # type: ignore[arg-type]  # a number, as was just asked
    return _special(number) or f"{number:.{precision}{verb}}"


def _base(value: object, verb: str) -> str:
    if type(value) is bool and verb == "b":
        return "1" if value else "0"
    if type(value) is int or type(value) is UInt:
        return f"{int(value):{verb}}"
    raise _wrong(value, verb)


def _hex(value: object, verb: str) -> str:
    if type(value) is int or type(value) is UInt:
        return f"{int(value):{verb}}"
    if isinstance(value, str | bytes):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if verb == "X" else digits
    raise _wrong(value, verb)


class _Room:
    """Characters that one value may still take: a list may hold one long string many times."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, characters: int) -> None:
        self.left -= characters + 1
        if self.left < 0:
            raise EvalError("the string is longer than the limits allow")

    def take(self, text: str) -> str:
        self.spend(len(text))
        return text


def _string(value: object, room: _Room, depth: int = 0) -> str:
    if depth > _DEPTH_MAX:
        raise EvalError("lists and maps nested too deeply for format")
    if isinstance(value, list | tuple):
        room.spend(2 * len(value))
        inner = ", ".join(_string(element, room, depth + 1) for element in value)
        return f"[{inner}]"
    if isinstance(value, Mapping):
        room.spend(4 * len(value))
        entries = [(_string(key, room, depth + 1), _string(element, room, depth + 1)) for key, element in value.items()]
        return "{" + ", ".join(f"{key}: {element}" for key, element in sorted(entries)) + "}"
    return room.take(_scalar(value))


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(int(value))
        case float():
            return _special(value) or plain_double(value)
        case bytes():
            return value.decode(errors="replace")
        case Timestamp():
            return timestamp_text(value)
        case Duration():
            return duration_text(value)
        case Type():
            return value.name
        case _:
            raise _wrong(value, "s")
