"""Request headers in one reading, whichever form Envoy was told to send them in.

The rule: lower-case names to every value in order; a header that decides something and must be single is single.
Every name and value is looked at before any of them can be read, so that what is refused depends on no policy. Under
`encode_raw_headers` Envoy sends each header line with its bytes, else a map in which lines of one name are joined
with commas and every byte that is no UTF-8 is replaced.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz.errors import MalformedRequest
from extauthz.values.headers import OneLineEach

Headers = Mapping[str, tuple[str, ...]]

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

OURS: Final = "x-extauthz-"
"""What our own headers begin with."""

# What `Connection` may name: options of HTTP itself, and headers that are none of a rule's or a service's affair.
_OPTIONS: Final = frozenset({"", "close", "http2-settings", "keep-alive", "te", "upgrade"})

# Envoy takes no more than a hundred headers unless it is told to.
MOST: Final = 4_096
# Characters of all names and values: more than twice what Envoy takes unless it is told to.
_LARGEST: Final = 131_072
# Names are the clients' to choose: what is kept of them is bounded.
_LONGEST_KEPT: Final = 2_048
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class _Shape(NamedTuple):
    """What requests with the same names of headers have in common.

    `total` is how many names there are, pseudo headers included. `values` gives the value of each: first those of the
    others, of which `places` are the places. The first `single` of them must be single; `foldable` are those that are
    `is_foldable`; `connection` is the place of that header, if it is there.
    """

    total: int
    places: Mapping[str, int]
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    single: int
    foldable: tuple[str, ...]
    connection: int | None


class Usual:
    """The shape that requests on one connection have, and whether one of them had another of the same size."""

    __slots__ = ("shape", "varies")

    def __init__(self) -> None:
        self.shape: _Shape | None = None
        self.varies = False


class Unusual(Exception):
    """The headers are not those that are usual, and not what they were: a map of protobuf gets each name that it is
    asked for. Whoever has their bytes reads them anew; it happens once to a connection.
    """


def from_map(joined: Mapping[str, str], usual: Usual) -> Headers:
    """The headers of the joined form; each name has one value.

    Raises:
        Unusual: they are to be read anew.
        MalformedRequest: a name or a value is none, a single header was sent twice, `Connection` names what it must
            not, or there are too many.
    """
    count = len(joined)
    if count > MOST:
        raise _too_many()
    shape = usual.shape
    if shape is None or shape.total != count or usual.varies:
        names = "\n".join(joined)
        shape = _shape(names) if len(names) <= _LONGEST_KEPT else None
        if shape is None or shape.total != count:
            return from_lines(joined.items())
        usual.shape = shape
    lines: tuple[str, ...] = shape.values(joined)
    if len(joined) != count:
        usual.varies = True
        raise Unusual
    lines = lines[: len(shape.places)]
    text = "".join(lines)
    if "\n" in text:
        raise _bad_value()
    return _of_shape(shape, lines, text)


def from_raw(entries: Collection[HeaderValue]) -> Headers:
    """The headers of the raw form; a byte that is no UTF-8 is read as U+FFFD, which no header can be asked for.

    Raises:
        MalformedRequest: as `from_map`.
    """
    count = len(entries)
    if count > MOST:
        raise _too_many()
    sent = {entry.key: entry.raw_value for entry in entries}
    names = "\n".join(sent)
    shape = _shape(names) if len(names) <= _LONGEST_KEPT else None
    # As many names as lines: each came once. A value may be empty, or be in the other field.
    if shape is None or shape.total != count or b"" in sent.values():
        return from_lines((entry.key, _text(entry)) for entry in entries)
    # No sequence of UTF-8 holds a line feed, so that the values can be decoded together.
    text = b"\n".join(shape.values(sent)[: len(shape.places)]).decode(errors="replace")
    lines = tuple(text.split("\n"))
    if len(lines) != len(shape.places):
        raise _bad_value()
    return _of_shape(shape, lines, text)


def _text(entry: HeaderValue) -> str:
    return entry.raw_value.decode(errors="replace") if entry.raw_value else entry.value


def _of_shape(shape: _Shape, lines: tuple[str, ...], text: str) -> Headers:
    """The headers with these values, a line each, which no line feed is in; `text` is all of them."""
    if len(text) > _LARGEST:
        raise _too_large()
    if "\r" in text or "\0" in text:
        raise _bad_value()
    single = shape.single
    if single and "," in "".join(lines[:single]):
        _refuse_joined(zip(shape.places, lines))  # noqa: B905 - equal lengths, by the shape
    if shape.connection is not None:
        _refuse_hop_by_hop(lines[shape.connection])
    return OneLineEach(shape.places, lines, shape.foldable)


@lru_cache(maxsize=512)
def _shape(text: str) -> _Shape | None:
    """The shape of requests with these names, a line each, or `None`: they need to be looked at one by one.

    A client sends the same names again and again, and Envoy in the same order: they are looked at once. Where there are
    as many lines as the shape has names, no line feed of `text` was within a name.
    """
    names = text.split("\n")
    kept = sorted((name for name in names if name[:1] != ":"), key=lambda name: (name not in SINGLE, name))
    if len(kept) < 2 or not all(_NAME.match(name) is not None and name == name.lower() for name in kept):
        return None
    return _Shape(
        total=len(names),
        places={name: place for place, name in enumerate(kept)},
        values=itemgetter(*kept, *(name for name in names if name[:1] == ":")),
        single=sum(name in SINGLE for name in kept),
        foldable=tuple(filter(is_foldable, kept)),
        connection=kept.index("connection") if "connection" in kept else None,
    )


def is_foldable(name: str) -> bool:
    """Whether a CGI-like upstream could take the header for another one without `_`, or for one of ours."""
    return "_" in name or name.startswith(OURS)


def _refuse_hop_by_hop(*connection: str) -> None:
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
        MalformedRequest: as `from_map`, or they are too large.
    """
    found: dict[str, list[str]] = {}
    size = 0
    for sent, value in lines:
        if sent.startswith(":"):
            continue
        size += len(sent) + len(value)
        if size > _LARGEST:
            raise _too_large()
        if "\r" in value or "\n" in value or "\0" in value:
            raise _bad_value()
        if _NAME.match(sent) is None:
            raise MalformedRequest("a header has no valid name", reason="malformed-header")
        name = sent.lower()
        known = found.setdefault(name, [])
        if known and name in SINGLE:
            raise _twice(name)
        known.append(value)
    _refuse_joined((name, values[0]) for name, values in found.items())
    _refuse_hop_by_hop(*found.get("connection", ()))
    return MappingProxyType({name: tuple(values) for name, values in found.items()})


def _refuse_joined(lines: Iterable[tuple[str, str]]) -> None:
    """Refuse a single header whose value is what a proxy makes of two."""
    for name, value in lines:
        if "," in value and name in SINGLE and _JOINED[name].match(value) is not None:
            raise _twice(name)


def _too_many() -> MalformedRequest:
    return MalformedRequest(f"there are more than {MOST} headers", reason="malformed-header")


def _too_large() -> MalformedRequest:
    return MalformedRequest(f"the headers have more than {_LARGEST} characters", reason="malformed-header")


def _bad_value() -> MalformedRequest:
    return MalformedRequest("a header value holds CR, LF or NUL", reason="malformed-header")


def _twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"`{name}` was sent more than once", reason="repeated-header")
