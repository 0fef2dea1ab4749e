"""Request headers in one reading, whichever form Envoy was told to send them in.

The rule: lower-case names to every value in order; a header that decides something and must be single is single.
Every name and value is looked at before any of them can be read, so that what is refused depends on no policy. Under
`encode_raw_headers` Envoy sends each header line with its bytes, else a map in which lines of one name are joined
with commas and every byte that is no UTF-8 is replaced.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from itertools import compress, count
from operator import itemgetter, ne
from types import MappingProxyType
from typing import Final, NamedTuple

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
# Names and values are the clients' to choose: what is kept of them is bounded.
_LONGEST_KEPT: Final = 2_048
_LARGEST_SAMPLE: Final = 8_192
_MOST_SAMPLES: Final = 4
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Form(Enum):
    """How Envoy says a header: what of `HeaderValue` its value is in, and what becomes of bytes that are no UTF-8. An
    entry of the map is laid out as a `HeaderValue` with `key` and `value`.
    """

    JOINED = (b"\x12", "strict")
    RAW = (b"\x1a", "replace")

    def __init__(self, tag: bytes, errors: str) -> None:
        self.tag = tag
        self.errors = errors


class _Shape(NamedTuple):
    """What requests with the same names of headers have in common.

    `heads` are what the entries begin with, in their order: all before the length of the value; the length of that;
    and the value's place, or -1 for a pseudo header. `places` are those of the others. `values` gives the value of
    each: first those of the others. The first `single` of them must be single; `foldable` are those that are
    `is_foldable`; `connection` is the place of that header, if it is there.
    """

    heads: tuple[tuple[bytes, int, int], ...]
    places: Mapping[str, int]
    values: Callable[[Mapping[str, str]], tuple[str, ...]]
    single: int
    foldable: tuple[str, ...]
    connection: int


class _Sample(NamedTuple):
    """A request that was read on a connection: its entries, and what became of them."""

    form: Form
    entries: list[bytes]
    size: int
    shape: _Shape
    headers: OneLineEach


class Usual:
    """What requests on one connection look like: of each number of headers one that was read."""

    __slots__ = ("samples",)

    def __init__(self) -> None:
        self.samples: dict[int, _Sample] = {}


def read(entries: list[bytes], form: Form, usual: Usual) -> Headers:
    """The headers of one form; in the joined one each name has one value. A byte of the raw form that is no UTF-8 is
    read as U+FFFD, which no header can be asked for.

    Raises:
        MalformedRequest: a name or a value is none, a single header was sent twice, `Connection` names what it must
            not, or there are too many.
        DecodeError: an entry is none.
    """
    sample = usual.samples.get(len(entries))
    if sample is not None and sample.form is form and (headers := _as_before(entries, sample)) is not None:
        return headers
    return _anew(entries, form, usual)


def _as_before(entries: list[bytes], sample: _Sample) -> Headers | None:
    """The headers of a request that has the names of `sample`, in the same order; `None` if it has not.

    Only entries that differ are looked at. They are read here if they are laid out as every writer of protobuf does:
    the key, then the value with its length, and nothing else.
    """
    shape, errors, size = sample.shape, sample.form.errors, sample.size
    lines: list[str] | None = None
    for index in compress(count(), map(ne, entries, sample.entries)):
        entry = entries[index]
        head, start, place = shape.heads[index]
        length = len(entry) - start - 1
        if not entry.startswith(head) or length < 0:
            return None
        size += len(entry) - len(sample.entries[index])
        if size > _LARGEST_SAMPLE:
            return None
        if length < 128:
            if entry[start] != length:
                return None
            value = entry[start + 1 :]
        else:
            length -= 1
            if entry[start] != length & 127 | 128 or entry[start + 1] != length >> 7:
                return None
            value = entry[start + 2 :]
        try:
            line = value.decode(errors=errors)
        except UnicodeDecodeError:
            return None
        if place >= 0:
            _check_line(shape, place, line)
            if lines is None:
                lines = [*sample.headers.lines]
            lines[place] = line
    return sample.headers if lines is None else OneLineEach(shape.places, tuple(lines), shape.foldable)


def _check_line(shape: _Shape, place: int, line: str) -> None:
    if "\n" in line or "\r" in line or "\0" in line:
        raise _bad_value()
    if place < shape.single and "," in line:
        _refuse_joined(((tuple(shape.places)[place], line),))
    if place == shape.connection:
        _refuse_hop_by_hop(line)


def _anew(entries: list[bytes], form: Form, usual: Usual) -> Headers:
    if len(entries) > MOST:
        raise _too_many()
    read = [HeaderValue.FromString(entry) for entry in entries]
    if form is Form.JOINED:
        sent = {header.key: header.value for header in read}
    else:
        sent = {header.key: _text(header) for header in read}
    names = "\n".join(sent)
    shape = _shape(names, form) if len(names) <= _LONGEST_KEPT else None
    # As many names as entries: each came once.
    if shape is None or len(shape.heads) != len(entries):
        return from_lines(sent.items() if form is Form.JOINED else ((header.key, _text(header)) for header in read))
    lines = shape.values(sent)[: len(shape.places)]
    headers = _of_shape(shape, lines)
    size = sum(map(len, entries))
    if size <= _LARGEST_SAMPLE:
        samples = usual.samples
        if len(samples) == _MOST_SAMPLES:
            samples.clear()
        samples[len(entries)] = _Sample(form, entries, size, shape, headers)
    return headers


def _text(header: HeaderValue) -> str:
    """What the raw form says: a value may be empty, or be in the other field."""
    return header.raw_value.decode(errors="replace") if header.raw_value else header.value


def _of_shape(shape: _Shape, lines: tuple[str, ...]) -> OneLineEach:
    """The headers with these values."""
    text = "".join(lines)
    if len(text) > _LARGEST:
        raise _too_large()
    if "\n" in text or "\r" in text or "\0" in text:
        raise _bad_value()
    single = shape.single
    if single and "," in "".join(lines[:single]):
        _refuse_joined(zip(shape.places, lines))  # noqa: B905 - equal lengths, by the shape
    if shape.connection >= 0:
        _refuse_hop_by_hop(lines[shape.connection])
    return OneLineEach(shape.places, lines, shape.foldable)


@lru_cache(maxsize=512)
def _shape(text: str, form: Form) -> _Shape | None:
    """The shape of requests with these names, a line each, or `None`: they need to be looked at one by one.

    A client sends the same names again and again, and Envoy in the same order: they are looked at once. Where there are
    as many entries as the shape has names, no line feed of `text` was within a name.
    """
    names = text.split("\n")
    kept = sorted((name for name in names if name[:1] != ":"), key=lambda name: (name not in SINGLE, name))
    if len(kept) < 2 or not all(_NAME.match(name) is not None and name == name.lower() for name in kept):
        return None
    places = {name: place for place, name in enumerate(kept)}
    heads = [HeaderValue(key=name).SerializeToString() + form.tag for name in names]
    return _Shape(
        heads=tuple((head, len(head), places.get(name, -1)) for name, head in zip(names, heads, strict=True)),
        places=places,
        values=itemgetter(*kept, *(name for name in names if name[:1] == ":")),
        single=sum(name in SINGLE for name in kept),
        foldable=tuple(filter(is_foldable, kept)),
        connection=places.get("connection", -1),
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
