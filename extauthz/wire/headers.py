"""Request headers in one reading, whichever form Envoy was told to send them in.

The rule: lower-case names to every value in order; a header that decides something and must be single is single.
Under `encode_raw_headers` Envoy sends each header line with its bytes, else a map in which lines of one name are
joined with commas and every byte that is no UTF-8 is replaced.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz.errors import MalformedRequest

# Two values of one of these would be read by some as the first, by others as the last (RFC 9110 section 5.3).
SINGLE: Final = frozenset(
    {
        "access-control-request-method",
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "dpop",
        "host",
        "origin",
        "sec-fetch-mode",
        "x-envoy-auth-partial-body",
        "x-extauthz-otp",
    }
)

# In the joined form a comma gives two values away, except where the grammar has commas of its own. Credentials of
# the form `scheme token68` (RFC 9110 section 11.4) end without one; those with parameters don't match here. A media
# type has commas within quotes only (section 8.3.1). Several content codings are one body, coded several times.
_COMMA: Final = re.compile(r"[^,]*,")
_JOINED: Final = dict.fromkeys(SINGLE, _COMMA) | {
    "content-encoding": re.compile(r"(?!)"),
    "authorization": re.compile(r"[^ ,]+ +[A-Za-z0-9._~+/-]+=*[ \t]*,|[^ ,]*,"),
    "content-type": re.compile(r"[^\",]*(?:\"(?:[^\"\\]|\\.)*\"[^\",]*)*,"),
}

_NAMES: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]*\Z")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def from_map(joined: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The headers of the joined form; each name has one value.

    Raises:
        MalformedRequest: a name or a value is none, or a single header was sent twice.
    """
    names = [name for name in joined if name[:1] != ":"]
    values = [joined[name] for name in names]
    headers: dict[str, tuple[str, ...]] = dict(zip(names, zip(values)))  # noqa: B905  equal lengths, hot
    text = "\n".join(values)
    if text.count("\n") >= len(values) > 0 or "\r" in text or "\0" in text:
        raise _bad_value()
    if _NAMES.match("".join(names)) is None or "" in headers:
        return from_lines(zip(names, values, strict=True))
    if "," in text:
        _refuse_joined(headers)
    return headers


def from_raw(entries: Iterable[HeaderValue]) -> dict[str, tuple[str, ...]]:
    """The headers of the raw form; a byte that is no UTF-8 is read as U+FFFD, which no header can be asked for.

    Raises:
        MalformedRequest: a name or a value is none, or a single header was sent twice.
    """
    return from_lines(
        (entry.key, entry.raw_value.decode(errors="replace") if entry.raw_value else entry.value) for entry in entries
    )


def from_lines(lines: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The headers of a request, line by line; pseudo headers are left out (RFC 9113 section 8.3).

    Raises:
        MalformedRequest: a name or a value is none, or a single header was sent twice.
    """
    headers: dict[str, tuple[str, ...]] = {}
    for sent, value in lines:
        if sent.startswith(":"):
            continue
        if "\r" in value or "\n" in value or "\0" in value:
            raise _bad_value()
        if _NAME.match(sent) is None:
            raise MalformedRequest("a header has no valid name", reason="malformed-header")
        name = sent.lower()
        known = headers.get(name)
        if known is not None and name in SINGLE:
            raise _twice(name)
        headers[name] = (value,) if known is None else (*known, value)
    _refuse_joined(headers)
    return headers


def _refuse_joined(headers: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a single header whose value is what a proxy makes of two."""
    for name in SINGLE.intersection(headers):
        value = headers[name][0]
        if "," in value and _JOINED[name].match(value) is not None:
            raise _twice(name)


def _bad_value() -> MalformedRequest:
    return MalformedRequest("a header value holds CR, LF or NUL", reason="malformed-header")


def _twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"`{name}` was sent more than once", reason="repeated-header")
