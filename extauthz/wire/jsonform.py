"""Checks and answers as protobuf JSON, for people and commands; never on the path of a request."""

import re
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.message import DecodeError

from extauthz._pb import POOL
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.errors import ExtauthzError

# What protobuf's parser says of a name that it does not know.
_UNKNOWN: Final = re.compile(r"""no field named "(.*)" at "CheckRequest\.?(.*?)".* Fields.*\[(.*)\]""")


def check_request_from_json(text: str | bytes) -> bytes:
    """The bytes of a CheckRequest that is written as protobuf JSON; field names in either spelling.

    Raises:
        ExtauthzError: the text is no JSON, or no CheckRequest; unknown and repeated names are errors.
    """
    try:
        return _parsed(text.decode() if isinstance(text, bytes) else text).SerializeToString(deterministic=True)
    except (ParseError, UnicodeError, RecursionError) as error:
        raise ExtauthzError(f"no CheckRequest in protobuf JSON: {_line(error)}") from None


def _parsed(text: str) -> CheckRequest:
    # The parser would take an empty list for an empty message, which is a TCP check.
    if not text.lstrip().startswith("{"):
        raise ParseError("it is no JSON object")
    return Parse(text, CheckRequest(), descriptor_pool=POOL)


def check_response_to_json(payload: bytes) -> dict[str, Any]:
    """A CheckResponse as the object that protobuf JSON gives it.

    Raises:
        ExtauthzError: the bytes are no CheckResponse.
    """
    try:
        answer: dict[str, Any] = MessageToDict(CheckResponse.FromString(payload), descriptor_pool=POOL)
    except DecodeError:
        raise ExtauthzError("the bytes are no CheckResponse") from None
    return answer


def _line(error: Exception) -> str:
    """The reason on one line; what the parser says, without its full stop."""
    line = " ".join(str(error).split()).rstrip(".")
    unknown = _UNKNOWN.search(line)
    if unknown is not None:
        name, place, known = unknown.groups()
        return f"unknown field `{name}`{place and f' in `{place}`'}; it knows {known.replace(chr(39), '`')}"
    return line or type(error).__name__
