"""What a Content-Type header says a body is (RFC 9110 section 8.3.1).

The rule kept here: a type that two readers could read differently is no type. So parameters come once, quoted ones have
no escapes, and nothing stands between the parts but what the grammar allows.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from extauthz.cel import EvalError

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE: Final = re.compile(rf"[ \t]*({_WORD}/{_WORD})")
_PARAMETER: Final = re.compile(rf'[ \t]*;[ \t]*({_WORD})=(?:({_WORD})|"([^"\\\x00-\x1f\x7f]*)")')
_REST: Final = re.compile(r"[ \t;]*\Z")


class MediaType(msgspec.Struct, frozen=True):
    """`name` and the names of `parameters` are in lower case."""

    name: str
    parameters: Mapping[str, str]


def parse(text: str) -> MediaType:
    """The media type that a header names. Raises `EvalError` if it names none, or names a parameter twice."""
    found = _TYPE.match(text)
    if found is None:
        raise EvalError("the content-type is no media type")
    parameters: dict[str, str] = {}
    end = found.end()
    while (parameter := _PARAMETER.match(text, end)) is not None:
        end = parameter.end()
        name, token, quoted = parameter.groups()
        if name.lower() in parameters:
            raise EvalError("the content-type has a parameter twice")
        parameters[name.lower()] = quoted if token is None else token
    if _REST.match(text, end) is None:
        raise EvalError("the content-type has a malformed parameter")
    return MediaType(found[1].lower(), parameters)
