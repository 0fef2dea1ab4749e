"""What conditions read of a query and of a body: one reading, or an error.

The rule kept here: what two parsers could read differently is an error when it is read, so that a guard denies and
an allow does not match. Nothing here is reached unless a condition asks for it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from extauthz.cel import EvalError
from extauthz.policy import json_body, multipart
from extauthz.policy import media_type as media_types
from extauthz.policy.media_type import MediaType
from extauthz.values.request import HttpRequest, Messages

MAX_PAIRS: Final = 10_000
"""Parameters of one query or form: some 10 ms at the most."""
MAX_ESCAPES: Final = 50_000
LARGEST: Final = 1_048_576
"""Bytes of a body of text that is looked into."""
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_FORM: Final = re.compile(r"application/x-www-form-urlencoded")
_GRPC: Final = re.compile(r"application/grpc(?:\+proto)?")
_JSON: Final = re.compile(r"application/json|.*\+json")
_MULTIPART: Final = re.compile(r"multipart/form-data")


def pairs(text: str, what: str) -> Mapping[str, tuple[str, ...]]:
    """Names to every value, in order, of an `application/x-www-form-urlencoded` text (WHATWG URL section 5.1).

    Stricter than that: a raw `;` (once a separator too), a bad escape, invalid UTF-8, more than `MAX_PAIRS` and more
    than `MAX_ESCAPES` raise `EvalError`, which calls the text `what`.
    """
    if text.count("&") >= MAX_PAIRS:
        raise EvalError(f"{what} has more than {MAX_PAIRS} parameters")
    if text.count("%") > MAX_ESCAPES:
        raise EvalError(f"{what} has more than {MAX_ESCAPES} escapes")
    if ";" in text:
        raise EvalError(f"{what} is ambiguous: some readers take `;` for a separator")
    if _BAD_ESCAPE.search(text):
        raise EvalError(f"{what} holds a `%` that is no escape")
    found: dict[str, list[str]] = {}
    try:
        for part in text.split("&"):
            if part:
                name, _, value = part.replace("+", " ").partition("=")
                found.setdefault(_unquoted(name), []).append(_unquoted(value))
    except UnicodeDecodeError:
        raise EvalError(f"{what} is not UTF-8") from None
    return {name: tuple(values) for name, values in found.items()}


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8") if "%" in text else text


def known_body(http: HttpRequest) -> bytes:
    """The body, if the whole of it is known; else `EvalError`."""
    if http.body is None:
        raise EvalError("the body is not known: Envoy did not buffer the whole of it")
    return http.body


def form_of(http: HttpRequest) -> Mapping[str, tuple[str, ...]]:
    """The fields of a form body. Raises `EvalError` if it is not known, not a form, or ambiguous."""
    return pairs(_text(http, _FORM, "a form"), "the form")


def multipart_of(http: HttpRequest) -> Mapping[str, Any]:
    """The fields of a form with files. Raises `EvalError` if it is not known, not such a form, or ambiguous."""
    media_type = _media_type(http, _MULTIPART, "a form with files")
    return multipart.fields_of(media_type, known_body(http))


def json_of(http: HttpRequest) -> Any:  # noqa: ANN401 - JSON is dynamic
    """The value of a JSON body. Raises `EvalError` if it is not known, not JSON, or ambiguous."""
    return json_body.value_of(_text(http, _JSON, "JSON"))


def grpc_of(http: HttpRequest, messages: Messages | None) -> Mapping[str, Any]:
    """The message of a gRPC call.

    Raises:
        EvalError: the body is not known, not gRPC or not one message, or the method is not described.
    """
    _media_type(http, _GRPC, "a gRPC message")
    if messages is None:
        raise EvalError("no gRPC method is described: `request.grpc.descriptors` of the configuration names no file")
    return messages.read(http.segments, known_body(http))


def _text(http: HttpRequest, names: re.Pattern[str], what: str) -> str:
    media_type = _media_type(http, names, what)
    if media_type.parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise EvalError("the body is not UTF-8 by its content-type")
    body = known_body(http)
    if len(body) > LARGEST:
        raise EvalError(f"the body is larger than {LARGEST} bytes, and is not read")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise EvalError("the body is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise EvalError("the body starts with a byte order mark")
    return text


def _media_type(http: HttpRequest, names: re.Pattern[str], what: str) -> MediaType:
    """The media type of a body that is sent as it is; its name must be one of `names`."""
    content_type = http.header("content-type")
    if content_type is None:
        raise EvalError(f"the body is not {what}: it has no content-type")
    media_type = media_types.parse(content_type)
    if names.fullmatch(media_type.name) is None:
        raise EvalError(f"the body is not {what} by its content-type")
    if "content-encoding" in http.headers:
        raise EvalError("the body is encoded, and is not decoded here")
    return media_type
