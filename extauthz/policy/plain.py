"""CEL values to what leaves a decision: text of headers and pages, and JSON of metadata.

The rule kept here: a value that has no one plain form is an `EvalError`, never a guess.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from extauthz.cel import Duration, EvalError, Timestamp

_CONTROL = re.compile("[\\x00-\\x1f\\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def header_value(value: object) -> str:
    """The text of a header (RFC 9110 section 5.5): CR, LF, NUL and other control characters would end or split it, and
    blanks at its ends are not read."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in (value[:1], value[-1:]):
        return value
    text = parameter_value(value)
    if _CONTROL.search(text):
        raise EvalError("a header value holds no control characters")
    if text[:1] == " " or text[-1:] == " ":
        raise EvalError("a header value has no blanks at its ends; take them away with `trim()`")
    return text


def header_lines(value: object) -> tuple[str, ...]:
    """The texts of a header that comes in several lines: of a string one, of a list one for each string in it."""
    return tuple(map(header_value, value)) if isinstance(value, list | tuple) else (header_value(value),)


def parameter_value(value: object) -> str:
    """The text of a query parameter."""
    if not isinstance(value, str):
        raise EvalError("not a string; wrap it in `string(…)`")
    if _SURROGATE.search(value):
        raise EvalError("a lone surrogate is no character")
    return value


def json_value(value: object) -> Json:
    """A value as JSON has it; timestamps and durations as text."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return value
        case Timestamp() | Duration():
            return shown(value)
        case list() | tuple():
            return [json_value(item) for item in value]
        case Mapping() if all(isinstance(name, str) for name in value):
            return {name: json_value(value[name]) for name in value}
        case _:
            raise EvalError("a value that JSON does not have; convert it, say with `string(…)`")


def shown(value: object) -> str:
    """A value as a person reads it on a page: text as it is, RFC 3339 for timestamps, seconds for durations."""
    match value:
        case str():
            return value
        case Timestamp():
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value.ns // 1000)
            return moment.isoformat(timespec="auto").replace("+00:00", "Z")
        case Duration():
            return f"{value.ns / 1_000_000_000:g}s"
        case _:
            return json.dumps(json_value(value), ensure_ascii=False)
