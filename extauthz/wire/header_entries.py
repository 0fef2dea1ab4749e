"""Headers from the entries in which Envoy sends them, compared with those of a request before.

The rule: what is read here is what protobuf and `from_lines` make of the same bytes (both held by tests), whatever came
before. Most headers of a request are, byte for byte, those of the last one on its connection; they are not read again.
Nothing is kept that may be a secret: of most headers only that they were there, and how long they were.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from operator import itemgetter
from typing import Final

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz.errors import MalformedRequest
from extauthz.values.headers import Headers, OneLineEach
from extauthz.wire.header_pattern import Pattern, Varying
from extauthz.wire.headers import (
    LARGEST,
    MOST,
    NAME,
    SINGLE,
    bad_value,
    from_lines,
    is_foldable,
    refuse_hop_by_hop,
    refuse_joined,
    too_large,
    too_many,
)

# Headers that are no secret and say the same in many requests. Credentials come under any name.
_KEPT: Final = frozenset(
    {
        ":authority",
        ":method",
        ":scheme",
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "access-control-request-headers",
        "access-control-request-method",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "dnt",
        "grpc-accept-encoding",
        "host",
        "origin",
        "pragma",
        "priority",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "te",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "x-envoy-attempt-count",
        "x-envoy-auth-partial-body",
        "x-envoy-decorator-operation",
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-external-address",
        "x-envoy-internal",
        "x-envoy-peer-metadata",
        "x-envoy-peer-metadata-id",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)

# Names and values are the clients' to choose: what is kept of them is bounded.
_LONGEST_KEPT: Final = 2_048
_LARGEST_SAMPLE: Final = 8_192
_MOST_COMPARED: Final = 64
"""Headers of a request that is kept: more than clients send, and a bound on what they may have us keep."""
MOST_SAMPLES: Final = 2
_MOST_ANYWHERE: Final = 256
# A length of two bytes says no more (Protocol Buffers, "Base 128 Varints").
_LONGEST_COMPARED: Final = 16_383
_LENGTH_OF_NAME: Final[Callable[[bytes], int]] = itemgetter(1)


class Form(Enum):
    """How Envoy says a header: by the tag of the field of `HeaderValue` in which its value is. An entry of the map is
    laid out as one with `key` and `value`.
    """

    JOINED = b"\x12"
    RAW = b"\x1a"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What requests with the same names of headers have in common.

    `heads` are what the entries begin with, in their order: all before the length of the value; the length of that;
    and the value's place, or -1 for a pseudo header. `places` are those of the others. `values` gives the value of
    each: first those of the others. The first `single` of them must be single; `foldable` are those that are
    `is_foldable`; `connection` is the place of that header, or -1. `kept` are the entries that are kept.
    """

    heads: tuple[tuple[bytes, int, int], ...]
    places: dict[str, int]
    values: Callable[[Mapping[str, str]], tuple[str, ...]]
    single: int
    foldable: tuple[str, ...]
    connection: int
    kept: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    """What is kept of a request that was read: its entries, how many bytes these are, and their headers.

    `None` stands for an entry that is not kept, which no entry is equal to; its line is empty.
    """

    form: Form
    entries: list[bytes | None]
    size: int
    shape: _Shape
    headers: OneLineEach


class Usual:
    """What requests on one connection look like: of each number of headers one that was read, and what such ones that
    came in the raw form have in common. At `most` so many are kept, of `each` so many that look like none of them one.
    """

    __slots__ = ("_each", "_most", "_others", "patterns", "samples")

    def __init__(self, most: int = MOST_SAMPLES, each: int = 1) -> None:
        self._most = most
        self._each = each
        self.samples: dict[int, _Sample] = {}
        self.patterns: tuple[Pattern, ...] = ()
        self._others = 0

    def keep(self, sample: _Sample) -> None:
        """Compare requests to come with this one."""
        if sample.size > _LARGEST_SAMPLE:
            return
        if len(self.samples) >= self._most:
            self.samples.clear()
        self.samples[len(sample.entries)] = sample
        self.patterns = self._patterns_but(len(sample.entries))

    def is_to_keep(self) -> bool:
        """Whether to compare requests to come with one that looks like none before."""
        others = self._others + 1
        self._others = others if others < self._each else 0
        return self._others == 0

    def known(self, content: bytes, at: int, end: int) -> OneLineEach | None:
        """The headers of the map of lines that is the content from there to the end, if it is as others were."""
        try:
            for pattern in self.patterns:
                if (headers := pattern.headers_in(content, at, end)) is not None:
                    return headers
        except IndexError:
            pass
        return None

    def learn(self, entries: list[bytes], sample: _Sample) -> None:
        """Take what a request in the raw form has in common with the one that is kept, and gave its headers, for what
        those to come have.
        """
        count, shape = len(entries), sample.shape
        common = [kept if kept == entry else None for kept, entry in zip(sample.entries, entries, strict=True)]
        others = self._patterns_but(count)
        if common == sample.entries and len(others) < len(self.patterns):
            return
        names = tuple(shape.places)
        varying = [
            None if kept is not None else Varying(head, place, names[place] if 0 <= place < shape.single else "")
            for kept, (head, _, place) in zip(common, shape.heads, strict=True)
        ]
        if any(one is not None and one.place == shape.connection >= 0 for one in varying):
            return
        self.samples[count] = _Sample(sample.form, common, sample.size, shape, sample.headers)
        self.patterns = (Pattern(entries, varying, sample.headers), *others)[: self._most]

    def _patterns_but(self, count: int) -> tuple[Pattern, ...]:
        return tuple([pattern for pattern in self.patterns if pattern.count != count])


_anywhere: dict[tuple[Form, bytes], _Sample] = {}
"""Requests of all connections, by how long the names of their headers are: each client has names of its own."""


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
        if form is Form.RAW:
            usual.learn(entries, sample)
        return headers
    if len(entries) > MOST:
        raise too_many()
    is_to_keep = usual.is_to_keep()
    kind = _kind(entries, form)
    sample = _anywhere.get(kind)
    headers = None if sample is None else _as_before(entries, sample)
    if sample is not None and headers is not None:
        if is_to_keep:
            usual.keep(_sample(entries, form, sample.shape, headers))
        return headers
    sent = [(header.key, _text(header, form)) for header in map(HeaderValue.FromString, entries)]
    values = dict(sent)
    if len(values) != len(entries):
        if form is Form.JOINED:  # Envoy's map has a name once; of two, readers differ about which one counts
            raise MalformedRequest("the map of headers has a name twice", reason="malformed-check")
        return from_lines(sent)
    names = "\n".join(values)
    shape = _shape(names, form) if len(names) <= _LONGEST_KEPT else None
    if shape is None or len(shape.heads) != len(entries):  # else no line feed is within a name
        return from_lines(sent)
    headers = _of_shape(shape, shape.values(values)[: len(shape.places)])
    if len(entries) <= _MOST_COMPARED:
        sample = _sample(entries, form, shape, headers)
        if sample.size <= _LARGEST_SAMPLE:
            if len(_anywhere) >= _MOST_ANYWHERE:
                _anywhere.clear()
            _anywhere[kind] = sample
    return headers


def _as_before(entries: list[bytes], sample: _Sample) -> OneLineEach | None:
    """The headers of a request that has the names of `sample`, in the same order; `None` if it has not.

    Only entries that differ are looked at. They are read here if they are laid out as every writer of protobuf does.
    """
    shape, size, before = sample.shape, sample.size, sample.entries
    lines: list[str] | None = None
    others: list[str] = []
    checked: list[int] = []
    for index, entry in enumerate(entries):
        if entry == before[index]:
            continue
        head, start, place = shape.heads[index]
        value = _value(entry, head, start)
        if value is None:
            return None
        size += len(value)
        if size > LARGEST:
            return None
        try:
            line = value.decode()
        except UnicodeDecodeError:
            if sample.form is Form.JOINED:
                return None
            line = value.decode(errors="replace")
        if place >= 0:
            if place < shape.single or place == shape.connection:
                checked.append(place)
            if lines is None:
                lines = [*sample.headers.lines]
            lines[place] = line
            others.append(line)
    if lines is None:
        return sample.headers
    _check_text("".join(others))
    for place in checked:
        _check_line(shape, place, lines[place])
    return OneLineEach(shape.places, tuple(lines), shape.foldable)


def _value(entry: bytes, head: bytes, start: int) -> bytes | None:
    """The value of an entry that is `head`, the value with its length, and nothing else; `None` of any other."""
    length = len(entry) - start - 1
    if not entry.startswith(head) or length < 0:
        return None
    if length < 128:
        return entry[start + 1 :] if entry[start] == length else None
    length -= 1
    if length > _LONGEST_COMPARED or entry[start] != length & 127 | 128 or entry[start + 1] != length >> 7:
        return None
    return entry[start + 2 :]


def _check_text(text: str) -> None:
    if "\n" in text or "\r" in text or "\0" in text:
        raise bad_value()


def _check_line(shape: _Shape, place: int, line: str) -> None:
    if place < shape.single and "," in line:
        refuse_joined(((tuple(shape.places)[place], line),))
    if place == shape.connection:
        refuse_hop_by_hop(line)


def _kind(entries: list[bytes], form: Form) -> tuple[Form, bytes]:
    """The form, and the second byte of each entry: how long its name is, as entries are laid out."""
    try:
        return form, bytes(map(_LENGTH_OF_NAME, entries))
    except IndexError:
        return form, b""


def _sample(entries: list[bytes], form: Form, shape: _Shape, headers: OneLineEach) -> _Sample:
    """What is kept of a request."""
    kept = [entry if keep else None for entry, keep in zip(entries, shape.kept, strict=True)]
    lines = tuple([line if name in _KEPT else "" for name, line in zip(shape.places, headers.lines, strict=True)])
    # An entry may hold more than its header.
    for index, (head, start, _) in enumerate(shape.heads):
        if _value(entries[index], head, start) is None:
            kept[index] = None
    size = sum([len(entry) for entry in kept if entry is not None])
    return _Sample(form, kept, size, shape, OneLineEach(shape.places, lines, shape.foldable))


def _text(header: HeaderValue, form: Form) -> str:
    """What it says. In the raw form a value may be empty, or be in the other field."""
    if form is Form.JOINED or not header.raw_value:
        return header.value
    return header.raw_value.decode(errors="replace")


def _of_shape(shape: _Shape, lines: tuple[str, ...]) -> OneLineEach:
    """The headers with these values."""
    text = "".join(lines)
    if len(text) > LARGEST:
        raise too_large()
    _check_text(text)
    single = shape.single
    if single and "," in "".join(lines[:single]):
        refuse_joined(zip(shape.places, lines))  # noqa: B905 - equal lengths, by the shape
    if shape.connection >= 0:
        refuse_hop_by_hop(lines[shape.connection])
    return OneLineEach(shape.places, lines, shape.foldable)


@lru_cache(maxsize=512)
def _shape(text: str, form: Form) -> _Shape | None:
    """The shape of requests with these names, a line each, or `None`: they need to be looked at one by one.

    A client sends the same names again and again, and Envoy in the same order: they are looked at once. Where there are
    as many entries as the shape has names, no line feed of `text` was within a name.
    """
    names = text.split("\n")
    kept = sorted((name for name in names if name[:1] != ":"), key=lambda name: (name not in SINGLE, name))
    if len(kept) < 2 or not all(NAME.match(name) is not None and name == name.lower() for name in kept):
        return None
    places = {name: place for place, name in enumerate(kept)}
    heads = [HeaderValue(key=name).SerializeToString() + form.value for name in names]
    return _Shape(
        heads=tuple((head, len(head), places.get(name, -1)) for name, head in zip(names, heads, strict=True)),
        places=places,
        values=itemgetter(*kept, *(name for name in names if name[:1] == ":")),
        single=sum(name in SINGLE for name in kept),
        foldable=tuple(filter(is_foldable, kept)),
        connection=places.get("connection", -1),
        kept=tuple(name in _KEPT for name in names),
    )
