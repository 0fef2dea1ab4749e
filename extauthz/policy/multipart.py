"""Forms with files (RFC 7578, which builds on RFC 2046 section 5.1): one reading, or an error.

    body   = delimiter CRLF part *( CRLF delimiter CRLF part ) CRLF delimiter "--" [ CRLF ]
    part   = *( header CRLF ) CRLF content

The rule kept here: readers of such bodies differ in what they forgive, so nothing is forgiven. The delimiter stands
nowhere but where a part begins, a name comes once, a header is one of two and says no more than it must.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from extauthz.cel import EvalError
from extauthz.policy.media_type import MediaType, parse

MOST_PARTS: Final = 256
"""Parts of one body."""

# RFC 2046 section 5.1.1; the space is allowed there, and lost by some.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}\Z")
_LONGEST_HEADERS: Final = 4_096
_CRLF: Final = b"\r\n"
# Quoted, without what some readers undo and others keep: backslashes, and the escapes that browsers write for quotes
# and line ends (HTML, "multipart form data").
_TEXT: Final = r'"((?:[^"\\%\x00-\x1f\x7f]|%(?!22|0[AaDd]))*)"'
_DISPOSITION: Final = re.compile(rf"[ \t]*form-data[ \t]*;[ \t]*name={_TEXT}(?:[ \t]*;[ \t]*filename={_TEXT})?[ \t]*\Z")
_PLAIN: Final[tuple[Mapping[str, str], ...]] = ({}, {"charset": "utf-8"})


def fields_of(media_type: MediaType, body: bytes) -> Mapping[str, Any]:
    """The fields by name: text, or of a file its `filename`, `size` and, where it is sent, `content_type`.

    Raises:
        EvalError: the body is malformed, or could be read differently by another reader.
    """
    delimiter = _delimiter(media_type)
    first, *pieces = body.split(delimiter, MOST_PARTS + 1)
    if first or not pieces:
        raise EvalError("the form does not begin with its delimiter")
    last = pieces.pop()
    if last not in (b"--", b"--" + _CRLF):
        raise EvalError(f"the form does not end with its delimiter, or has more than {MOST_PARTS} parts")
    fields: dict[str, Any] = {}
    known: set[str] = set()
    for piece in pieces:
        name, value = _field(piece)
        if name.casefold() in known:
            raise EvalError("the form has a field twice, or in two cases")
        known.add(name.casefold())
        fields[name] = value
    return fields


def _delimiter(media_type: MediaType) -> bytes:
    if media_type.parameters.keys() != {"boundary"}:
        raise EvalError("the content-type of a form with files has a boundary and nothing else")
    boundary = media_type.parameters["boundary"]
    if _BOUNDARY.match(boundary) is None:
        raise EvalError("the boundary of the form is malformed")
    return b"--" + boundary.encode()


def _field(piece: bytes) -> tuple[str, Any]:
    """The name and the value of a part, which stands between two delimiters."""
    head, blank, content = piece.partition(_CRLF + _CRLF)
    if not head.startswith(_CRLF) or not blank or not content.endswith(_CRLF):
        raise EvalError("a part of the form is malformed, or holds the delimiter")
    content = content[: -len(_CRLF)]
    headers = _headers(head[len(_CRLF) :])
    disposition = _DISPOSITION.match(headers.get("content-disposition", ""))
    name, filename = disposition.groups() if disposition is not None else ("", None)
    if not name or name.casefold() == "_charset_":  # which changes how others are read (RFC 7578 section 4.6)
        raise EvalError("a part of the form has no name, or its content-disposition is malformed")
    sent = headers.get("content-type")
    media_type = None if sent is None else parse(sent)
    if filename is None:
        return name, _text(media_type, content)
    if media_type is None:
        return name, {"filename": filename, "size": len(content)}
    if media_type.name.startswith("multipart/"):
        raise EvalError("a part of the form has parts of its own")
    return name, {"filename": filename, "size": len(content), "content_type": media_type.name}


def _headers(head: bytes) -> Mapping[str, str]:
    if len(head) > _LONGEST_HEADERS:
        raise EvalError("a part of the form has too long headers")
    headers: dict[str, str] = {}
    for line in _utf8(head).split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() not in ("content-disposition", "content-type") or name.lower() in headers:
            raise EvalError("a part of the form has a header that is not read, or twice")
        headers[name.lower()] = value
    return headers


def _text(media_type: MediaType | None, content: bytes) -> str:
    if media_type is not None:
        parameters = {name: value.lower() for name, value in media_type.parameters.items()}
        if media_type.name != "text/plain" or parameters not in _PLAIN:
            raise EvalError("a field of the form is no plain text in UTF-8 by its content-type")
    text = _utf8(content)
    if text.startswith("\ufeff"):
        raise EvalError("a field of the form starts with a byte order mark")
    return text


def _utf8(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise EvalError("a part of the form is not UTF-8") from None
