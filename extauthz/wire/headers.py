"""Request headers in one reading, whichever form Envoy was told to send them in.

The rule: lower-case names to every value in order; a header that decides something and must be single is single.
Every name and value is looked at before any of them can be read, so that what is refused depends on no policy. Under
`encode_raw_headers` Envoy sends each header line with its bytes, else a map in which lines of one name are joined
with commas and every byte that is no UTF-8 is replaced.
"""

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from extauthz.errors import MalformedRequest
from extauthz.values.headers import Headers

PARTIAL_BODY: Final = "x-envoy-auth-partial-body"
"""What Envoy sets beside a body that it has buffered, and strips from clients."""
TELLING: Final = frozenset({"host", PARTIAL_BODY})
"""Headers that say something of other fields of a request."""

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
        PARTIAL_BODY,
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

OURS: Final = "x-extauthz-"
"""What our own headers begin with."""

# What `Connection` may name: options of HTTP itself, and headers that are none of a rule's or a service's affair.
_OPTIONS: Final = frozenset({"", "close", "http2-settings", "keep-alive", "te", "upgrade"})

# Envoy takes no more than a hundred headers unless it is told to.
MOST: Final = 4_096
# Characters of all names and values: more than twice what Envoy takes unless it is told to.
LARGEST: Final = 131_072
NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def is_foldable(name: str) -> bool:
    """Whether a CGI-like upstream could take the header for another one without `_`, or for one of ours."""
    return "_" in name or name.startswith(OURS)


def refuse_hop_by_hop(*connection: str) -> None:
    """Refuse a request whose `Connection` names other headers: ours, or those that tell who calls.

    Envoy hands it on with an upgrade, and the next proxy takes what it names away (RFC 9110 section 7.6.1): the service
    would not see what was decided upon.
    """
    for value in connection:
        for option in value.split(","):
            if option.strip(" \t").lower() not in _OPTIONS:
                raise MalformedRequest("`connection` names a header to be taken away", reason="malformed-header")


def from_lines(lines: Iterable[tuple[str, str]]) -> Headers:
    """The headers of a request, line by line; pseudo headers are left out (RFC 9113 section 8.3).

    Raises:
        MalformedRequest: a name or a value is none, a single header was sent twice, `Connection` names what it must
            not, or they are too large.
    """
    found: dict[str, list[str]] = {}
    size = 0
    for sent, value in lines:
        if sent.startswith(":"):
            continue
        size += len(sent) + len(value)
        if size > LARGEST:
            raise too_large()
        if "\r" in value or "\n" in value or "\0" in value:
            raise bad_value()
        if NAME.match(sent) is None:
            raise MalformedRequest("a header has no valid name", reason="malformed-header")
        name = sent.lower()
        known = found.setdefault(name, [])
        if known and name in SINGLE:
            raise _twice(name)
        known.append(value)
    refuse_joined((name, values[0]) for name, values in found.items())
    refuse_hop_by_hop(*found.get("connection", ()))
    return MappingProxyType({name: tuple(values) for name, values in found.items()})


def refuse_joined(lines: Iterable[tuple[str, str]]) -> None:
    """Refuse a single header whose value is what a proxy makes of two."""
    for name, value in lines:
        if is_joined(name, value):
            raise _twice(name)


def is_joined(name: str, value: str) -> bool:
    """Whether that is a single header whose value is what a proxy makes of two."""
    return "," in value and name in SINGLE and _JOINED[name].match(value) is not None


def too_many() -> MalformedRequest:
    return MalformedRequest(f"there are more than {MOST} headers", reason="malformed-header")


def too_large() -> MalformedRequest:
    return MalformedRequest(f"the headers have more than {LARGEST} characters", reason="malformed-header")


def bad_value() -> MalformedRequest:
    return MalformedRequest("a header value holds CR, LF or NUL", reason="malformed-header")


def _twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"`{name}` was sent more than once", reason="repeated-header")
