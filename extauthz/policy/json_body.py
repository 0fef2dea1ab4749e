"""A JSON text as CEL values (RFC 8259): one reading, or an error.

The rule kept here: what two parsers could read differently, and what costs more than it can be worth, is an error.
"""

import json
import re
from typing import Any, Final

from extauthz.cel import EvalError
from extauthz.values.quoting import given

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 10_000
"""Values in one text, commas in strings counted along: some 10 ms at the most."""
_INT64: Final = range(-(2**63), 2**63)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def value_of(text: str) -> Any:  # noqa: ANN401 - JSON is dynamic
    """The value of a JSON text.

    Raises:
        EvalError: it is no JSON, or ambiguous: keys that repeat or differ only by case, `NaN` and its like, integers
            beyond 64 bits, numbers beyond a double, lone surrogates, nesting deeper than `MAX_DEPTH`; or it has more
            than `MAX_VALUES` values.
    """
    opened = text.count("[") + text.count("{")
    if opened + text.count(",") > MAX_VALUES:
        raise EvalError(f"the JSON body has more than {MAX_VALUES} values")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_constant,
        )
    except RecursionError:
        raise EvalError(f"the JSON body is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:  # its own words may quote the body
        raise EvalError(f"the body is not JSON from line {error.lineno}, column {error.colno} on") from None
    # Only what escapes can hold a surrogate, and only what opens often enough is deep: most bodies need no walk.
    if "\\u" in text or opened > MAX_DEPTH:
        _bound(value, 0)
    return value


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name.casefold() for name, _ in members}) != len(members):
        raise EvalError("the JSON body has a key twice, or in two cases")
    return dict(members)


def _integer(text: str) -> int:
    if len(text) > 20 or (value := int(text)) not in _INT64:
        raise EvalError("the JSON body has an integer beyond 64 bits")
    return value


def _double(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise EvalError("the JSON body has a number beyond a double")
    return value


def _constant(text: str) -> float:
    raise EvalError(f"the JSON body holds {given(text)}, which is no JSON")


def _bound(value: object, depth: int) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise EvalError("the JSON body holds a lone surrogate")
    elif isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            raise EvalError(f"the JSON body is nested deeper than {MAX_DEPTH} levels")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _bound(item, depth + 1)
