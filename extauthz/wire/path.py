"""The canonical path: one reading of a request target, or none (design section 3, "Canonical path").

The rule: a target that two readers could read differently is refused. Segments are split before they are decoded
and decoded once; `accept` relaxes single items and nothing beside them.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from extauthz.errors import MalformedRequest
from extauthz.values.native import i64
from extauthz.values.quoting import given

ACCEPTABLE: Final = frozenset({"semicolon", "empty_segment", "encoded_slash", "dot_segment"})

# What needs no decoding: a path of unreserved and harmless characters, unless it has an empty segment or one that
# begins with a dot.
_PLAIN: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*\Z")
# As numbers: what is worked out, as by `ord`, is looked up each time where this is compiled.
_EXCLAMATION: Final = 0x21
_HASH: Final = 0x23
_SLASH: Final = 0x2F
_QUESTION: Final = 0x3F
_LAST_ASCII: Final = 0x7F
_is_ascii: Final = str.isascii
_is_printable: Final = str.isprintable
_SEGMENT: Final = re.compile(r"[!\"$-~]*\Z")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# An escape, left over after decoding once, for a dot, a slash, a semicolon, a backslash or a control character.
_HIDDEN: Final = re.compile(r"%(?:2[EeFf]|3[Bb]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
# Escapes of escapes are followed this far; what is wrapped deeper is refused unread, so that the work stays linear.
_MOST_WRAPPINGS: Final = 4
_DOTS: Final = frozenset({".", ".."})
# Nobody's path has so many, and one that needs decoding is looked at segment by segment.
_MOST_SEGMENTS: Final = 1_024
# Not too much is kept of what was read, whatever clients send.
_LONGEST_KEPT: Final = 256
_MOST_KEPT: Final = 4_096


def query_mark(content: bytes, at: i64, end: i64) -> i64:
    """Where the `?` is in a target that is the content from there to the end, and `end` if it has none; -1 of one that
    is not plain: an absolute path in ASCII without `!`, and a query that `check_query` lets through.
    """
    if at >= end or content[at] != _SLASH:
        return -1
    while at < end:
        byte: i64 = content[at]
        if byte == _QUESTION:
            break
        if byte == _EXCLAMATION or byte > _LAST_ASCII:
            return -1
        at += 1
    mark = at
    while at < end:
        byte = content[at]
        if byte <= _EXCLAMATION or byte == _HASH or byte >= _LAST_ASCII:
            return -1
        at += 1
    return mark


def check_query(raw_path: str, raw_query: str) -> None:
    """Refuse a query that is malformed, and any after what is no path.

    Raises:
        MalformedRequest: it is.
    """
    if raw_path[:1] != "/":
        raise _refused("the path does not begin with `/`")
    # By what Python knows of a text: an expression takes twice as long.
    if not (_is_ascii(raw_query) and _is_printable(raw_query)) or " " in raw_query or "#" in raw_query:
        raise _refused("the query holds a space, `#`, a control character or a byte above 0x7F")


def canonical(
    raw_path: str, method: str, authority: str, accept: frozenset[str] = frozenset()
) -> tuple[str, tuple[str, ...]]:
    """The canonical path and its segments (RFC 9112 section 3.2; RFC 3986 sections 3.3 and 6.2.2).

    `accept` holds names of `ACCEPTABLE`. `*` is read for OPTIONS, the authority form for CONNECT; neither has
    segments.

    Raises:
        MalformedRequest: the path is malformed or ambiguous.
    """
    if raw_path[:1] != "/":
        if method == "OPTIONS" and raw_path == "*":
            return "*", ()
        if method == "CONNECT" and raw_path in ("", authority):
            return "", ()
        raise _refused("the path does not begin with `/`")
    kept = _kept.get(raw_path)
    if kept is None or kept.accept is not accept:
        kept = _Canonical(raw_path, accept)
        if len(raw_path) <= _LONGEST_KEPT:
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            _kept[raw_path] = kept
    return kept.path, kept.segments


class _Canonical:
    """What a path was read as."""

    __slots__ = ("accept", "path", "segments")

    def __init__(self, raw_path: str, accept: frozenset[str]) -> None:
        self.accept = accept
        self.path, self.segments = _absolute(raw_path, accept)


_kept: Final[dict[str, _Canonical]] = {}
"""By the raw path: once for the many requests that have it in common."""


def _absolute(raw_path: str, accept: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    if "//" in raw_path and "empty_segment" not in accept:
        raise _refused("a segment of the path is empty")
    if raw_path.count("/") > _MOST_SEGMENTS:
        raise _refused(f"the path has more than {_MOST_SEGMENTS} segments")
    path, segments = raw_path, raw_path[1:].split("/")
    if _PLAIN.match(raw_path) is None or "/." in raw_path:
        segments = [_segment(text, accept) for text in segments]
        if "dot_segment" in accept:
            segments = _resolved(segments)
        path = "/" + "/".join(segment.replace("/", "%2F") for segment in segments)
    if segments[-1] == "":
        segments.pop()
    return path, tuple(segments)


def _segment(text: str, accept: frozenset[str]) -> str:
    """One segment decoded once, or refused."""
    if _SEGMENT.match(text) is None:
        raise _refused("the path holds a space, `#`, a control character or a byte above 0x7F")
    if _BAD_ESCAPE.search(text) is not None:
        raise _refused("the path holds a `%` that is no escape")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _refused("an escape of the path is no UTF-8") from None
    if _CONTROL.search(decoded) is not None:
        raise _refused("the path holds an escaped control character")
    if "\\" in decoded:
        raise _refused("the path holds a backslash")
    # Escaped, too: a reader that decodes and then cuts parameters off sees another segment.
    if ";" in decoded and "semicolon" not in accept:
        raise _refused("the path holds `;`")
    if "/" in decoded and "encoded_slash" not in accept:
        raise _refused("the path holds an escaped slash")
    _refuse_hidden(decoded)
    _refuse_dots(text, decoded, accept)
    return decoded


def _refuse_hidden(decoded: str) -> None:
    """Refuse escapes that a reader who decodes again would turn into structure: `%252e`, `%25%32%66`."""
    for _ in range(_MOST_WRAPPINGS):
        if "%" not in decoded:
            return
        if _HIDDEN.search(decoded) is not None:
            raise _refused("the path holds an escape of an escape")
        again = unquote_to_bytes(decoded).decode(errors="replace")
        if again == decoded:
            return
        decoded = again
    raise _refused("the path holds an escape that is wrapped too often")


def _refuse_dots(text: str, decoded: str, accept: frozenset[str]) -> None:
    """Refuse `.` and `..`, also where a reader would find them after dropping parameters or splitting again."""
    if decoded in _DOTS:
        if "dot_segment" not in accept:
            raise _refused("a segment of the path is `.` or `..`")
        return
    parts = decoded.split("/")
    if any(part in _DOTS or part.partition(";")[0] in _DOTS for part in parts):
        raise _refused(f"a segment of the path hides `.` or `..`: {given(text)}")


def _resolved(segments: list[str]) -> list[str]:
    """`segments` without dot segments (RFC 3986 section 5.2.4); a final one leaves a trailing slash."""
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in _DOTS:
        resolved.append("")
    return resolved or [""]


def _refused(message: str) -> MalformedRequest:
    return MalformedRequest(message, reason="malformed-path")
