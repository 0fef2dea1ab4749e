"""The values of the second evaluator: equality, arithmetic, conversions and functions, written anew from langdef."""

from collections.abc import Callable, Mapping
from typing import Any

from extauthz import cel

Value = Any


class Failed(Exception):
    """The expression has no value."""


def kind(value: Value) -> str:
    for name, cls in (
        ("bool", bool),
        ("uint", cel.UInt),
        ("int", int),
        ("double", float),
        ("string", str),
        ("bytes", bytes),
        ("null", type(None)),
        ("list", list),
        ("map", dict),
        ("optional", cel.Optional),
        ("timestamp", cel.Timestamp),
        ("duration", cel.Duration),
        ("type", cel.Type),
    ):
        if isinstance(value, cls):
            return name
    return "map" if isinstance(value, Mapping) else "struct"


NUMBERS = ("int", "uint", "double")


def equal(left: Value, right: Value) -> bool:
    kinds = kind(left), kind(right)
    if "struct" in kinds:
        raise Failed("structures do not compare")
    if kinds[0] in NUMBERS and kinds[1] in NUMBERS:
        return bool(float(left) == float(right)) if "double" in kinds else int(left) == int(right)
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "list":
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if kinds[0] == "map":
        return len(left) == len(right) and all(found(right, k) and equal(get(right, k), v) for k, v in left.items())
    if kinds[0] == "optional":
        both = left.present and right.present
        return equal(left.content, right.content) if both else left.present == right.present
    return bool(left == right)


def same_key(left: Value, right: Value) -> bool:
    if (kind(left) == "bool") != (kind(right) == "bool"):
        return False
    return bool(left == right)


def found(mapping: Mapping[Value, Value], key: Value) -> bool:
    return any(same_key(other, key) for other in mapping)


def get(mapping: Mapping[Value, Value], key: Value) -> Value:
    for other, value in mapping.items():
        if same_key(other, key):
            return value
    raise Failed("no such key")


def as_int(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise Failed("overflow")
    return value


def as_uint(value: int) -> cel.UInt:
    if not 0 <= value < 2**64:
        raise Failed("overflow")
    return cel.UInt(value)


def truncated(left: int, right: int) -> tuple[int, int]:
    if right == 0:
        raise Failed("division by zero")
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient, left - quotient * right


def divided(left: float, right: float) -> float:
    try:
        return left / right
    except ZeroDivisionError:
        if left == 0 or left != left:
            return float("nan")
        sign = (-1 if left < 0 else 1) * (-1 if repr(right)[0] == "-" else 1)
        return sign * float("inf")


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    kinds = kind(left), kind(right)
    if kinds == ("double", "double") and operator in "+-*/":
        left, right = float(left), float(right)
        return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right}.get(
            operator, lambda: divided(left, right)
        )()
    if kinds in (("int", "int"), ("uint", "uint")):
        fit: Callable[[int], Value] = as_int if kinds[0] == "int" else as_uint
        a, b = int(left), int(right)
        if operator in "/%":
            return fit(truncated(a, b)[operator == "%"])
        return fit({"+": a + b, "-": a - b, "*": a * b}[operator])
    if operator == "+" and kinds in (("string", "string"), ("bytes", "bytes"), ("list", "list")):
        return left + right
    return times(operator, kinds, left, right)


def times(operator: str, kinds: tuple[str, str], left: Value, right: Value) -> Value:
    results = {
        ("+", "timestamp", "duration"): cel.Timestamp,
        ("+", "duration", "timestamp"): cel.Timestamp,
        ("+", "duration", "duration"): cel.Duration,
        ("-", "timestamp", "timestamp"): cel.Duration,
        ("-", "timestamp", "duration"): cel.Timestamp,
        ("-", "duration", "duration"): cel.Duration,
    }
    made = results.get((operator, *kinds))
    if made is None:
        raise Failed("no such overload")
    nanos = [part.seconds * 10**9 + part.nanos for part in (left, right)]
    try:
        return made(0, nanos[0] + nanos[1] if operator == "+" else nanos[0] - nanos[1])
    except cel.EvalError as error:
        raise Failed("range") from error


def ordered(operator: str, left: Value, right: Value) -> bool:
    kinds = kind(left), kind(right)
    if kinds[0] in NUMBERS and kinds[1] in NUMBERS:
        if "double" in kinds:
            left, right = float(left), float(right)
    elif kinds[0] != kinds[1] or kinds[0] not in ("string", "bytes", "bool", "timestamp", "duration"):
        raise Failed("no such overload")
    if kinds[0] in ("timestamp", "duration"):
        left, right = (left.seconds, left.nanos), (right.seconds, right.nanos)
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


def operator(name: str, args: list[Value]) -> Value:
    symbol = name.strip("_")
    if name == "!_":
        if kind(args[0]) != "bool":
            raise Failed("not a bool")
        return not args[0]
    if name == "-_":
        if kind(args[0]) == "double":
            return -args[0]
        if kind(args[0]) != "int":
            raise Failed("no such overload")
        return as_int(-args[0])
    if symbol in ("==", "!="):
        return equal(*args) is (symbol == "==")
    if symbol in ("<", "<=", ">", ">="):
        return ordered(symbol, *args)
    if name == "@in":
        item, container = args
        if kind(container) == "list":
            return any(equal(item, element) for element in container)
        if kind(container) == "map":
            return found(container, item)
        raise Failed("no such overload")
    return arithmetic(symbol, *args)


def whole(value: float, fit: Callable[[int], Value]) -> Value:
    if value != value or value in (float("inf"), float("-inf")):
        raise Failed("range")
    return fit(int(value))


def to_int(value: Value) -> int:
    if kind(value) == "double" and value == -(2.0**63):
        raise Failed("range")
    return int(converted(value, as_int))


def to_uint(value: Value) -> cel.UInt:
    if kind(value) == "double" and value < 0:
        raise Failed("range")
    return cel.UInt(converted(value, as_uint))


def converted(value: Value, fit: Callable[[int], Value]) -> Value:
    match kind(value):
        case "int" | "uint":
            return fit(int(value))
        case "double":
            return whole(value, fit)
        case "string" if value.lstrip("+-").isdecimal() and value.isascii() and len(value) < 30:
            if value.count("+") + value.count("-") > 1 or (fit is as_uint and "-" in value):
                raise Failed("no number")
            return fit(int(value))
        case "timestamp" if fit is as_int:
            return value.seconds
        case _:
            raise Failed("no such overload")


def length(value: Value) -> int:
    if kind(value) not in ("string", "bytes", "list", "map"):
        raise Failed("no such overload")
    return len(value)


def strings(function: Callable[..., Value], *kinds: str) -> Callable[..., Value]:
    def checked(*args: Value) -> Value:
        if tuple(map(kind, args)) != kinds:
            raise Failed("no such overload")
        return function(*args)

    return checked


def substring(text: str, start: int, end: int) -> str:
    if not 0 <= start <= end <= len(text):
        raise Failed("range")
    return text[start:end]


def char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise Failed("range")
    return text[index] if index < len(text) else ""


def value_of(maybe: cel.Optional) -> Value:
    if not maybe.present:
        raise Failed("none")
    return maybe.content


def to_timestamp(value: Value) -> cel.Timestamp:
    if kind(value) not in ("int", "timestamp"):
        raise Failed("no such overload")
    return value if kind(value) == "timestamp" else cel.Timestamp(value)


def to_duration(value: Value) -> cel.Duration:
    if isinstance(value, cel.Duration):
        return value
    if kind(value) != "string" or not value.endswith("s"):
        raise Failed("no such overload")
    return cel.Duration(int(value[:-1]))


def joined(parts: list[Value], separator: str) -> str:
    if any(kind(part) != "string" for part in parts):
        raise Failed("no such overload")
    return separator.join(parts)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "size": length,
    "int": to_int,
    "uint": to_uint,
    "dyn": lambda value: value,
    "startsWith": strings(str.startswith, "string", "string"),
    "endsWith": strings(str.endswith, "string", "string"),
    "contains": strings(lambda text, part: part in text, "string", "string"),
    "substring": strings(substring, "string", "int", "int"),
    "charAt": strings(char_at, "string", "int"),
    "indexOf": strings(str.find, "string", "string"),
    "replace": strings(str.replace, "string", "string", "string"),
    "reverse": strings(lambda text: text[::-1], "string"),
    "join": strings(joined, "list", "string"),
    "duration": to_duration,
    "timestamp": to_timestamp,
    "optional.none": cel.Optional,
    "optional.of": cel.Optional,
    "hasValue": strings(lambda maybe: maybe.present, "optional"),
    "value": strings(value_of, "optional"),
}
