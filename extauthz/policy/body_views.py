"""What conditions read of a query and of a body: one reading, or an error.

The rule kept here: what two parsers could read differently is an error when it is read, so that a guard denies and
an allow does not match. Nothing here is reached unless a condition asks for it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from extauthz.cel import EvalError
from extauthz.values.quoting import given
from extauthz.values.request import HttpRequest

MAX_DEPTH: Final = 64
_INT64: Final = range(-(2**63), 2**63)
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]*)\"?", re.IGNORECASE)
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json")
_FORM_TYPE = re.compile(r"application/x-www-form-urlencoded")


def pairs(text: str, what: str) -> Mapping[str, tuple[str, ...]]:
    """Names to every value, in order, of an `application/x-www-form-urlencoded` text (WHATWG URL section 5.1).

    Stricter than that: a raw `;` (once a separator too), a bad escape and invalid UTF-8 raise `EvalError`, which
    calls the text `what`.
    """
    if ";" in text:
        raise EvalError(f"{what} is ambiguous: some readers take `;` for a separator")
    if _BAD_ESCAPE.search(text):
        raise EvalError(f"{what} holds a `%` that is no escape")
    found: dict[str, list[str]] = {}
    try:
        for part in text.split("&"):
            if part:
                name, _, value = part.replace("+", " ").partition("=")
                known = found.setdefault(unquote_to_bytes(name).decode("utf-8"), [])
                known.append(unquote_to_bytes(value).decode("utf-8"))
    except UnicodeDecodeError:
        raise EvalError(f"{what} is not UTF-8") from None
    return {name: tuple(values) for name, values in found.items()}


def known_body(http: HttpRequest) -> bytes:
    """The body, if the whole of it is known; else `EvalError`."""
    if http.body is None:
        raise EvalError("the body is not known: Envoy did not buffer the whole of it")
    return http.body


def form_of(http: HttpRequest) -> Mapping[str, tuple[str, ...]]:
    """The fields of a form body. Raises `EvalError` if it is not known, not a form, or ambiguous."""
    return pairs(_text(http, _FORM_TYPE, "a form"), "the form")


def json_of(http: HttpRequest) -> Any:  # noqa: ANN401 - JSON is dynamic
    """The value of a JSON body (RFC 8259). Raises `EvalError` if it is not known, not JSON, or ambiguous.

    Ambiguous are: keys that repeat or differ only by case, `NaN` and its like, integers beyond 64 bits, numbers
    beyond a double, lone surrogates, and nesting deeper than `MAX_DEPTH`.
    """
    text = _text(http, _JSON_TYPE, "JSON")
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
    if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _bound(value, 0)
    return value


def _text(http: HttpRequest, media_type: re.Pattern[str], what: str) -> str:
    body = known_body(http)
    content_type = http.header("content-type")
    if content_type is None or not media_type.fullmatch(content_type.partition(";")[0].strip().lower()):
        raise EvalError(f"the body is not {what} by its content-type")
    charsets = {charset.lower() for charset in _CHARSET.findall(content_type)}
    if charsets - {"utf-8", "utf8"}:
        raise EvalError("the body is not UTF-8 by its content-type")
    if any(coding.strip().lower() != "identity" for coding in http.headers.get("content-encoding", ())):
        raise EvalError("the body is encoded, and is not decoded here")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise EvalError("the body is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise EvalError("the body starts with a byte order mark")
    return text


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
