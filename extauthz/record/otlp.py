"""Spans as bytes of OTLP (`opentelemetry/proto/trace/v1/trace.proto`), field by field.

The rule kept here: what these bytes say is what OpenTelemetry's own encoder says of the same span. A text that is no
Unicode has question marks in the place of what is none.
"""

import struct
from collections.abc import Iterable
from typing import Final

from extauthz.record.span_attributes import Attributes, Value
from extauthz.record.span_model import SpanModel
from extauthz.values.span_ids import SpanIds

# Tags: the number of a field, and how its value is written (protobuf, "Message Structure").
TRACE_ID: Final = b"\x0a\x10"
SPAN_ID: Final = b"\x12\x08"
_STATE: Final = b"\x1a"
PARENT: Final = b"\x22\x08"
_NAME: Final = b"\x2a"
_KIND: Final = b"\x30"
_ATTRIBUTE: Final = b"\x4a"
_DROPPED_ATTRIBUTES: Final = b"\x50"
_LINK: Final = b"\x6a"
_DROPPED_LINKS: Final = b"\x70"
_STATUS: Final = b"\x7a"
_FLAGS: Final = b"\x85\x01"
_LINK_FLAGS: Final = b"\x35"
TIMES: Final = struct.Struct("<BQBQ")
STARTED: Final = 0x39
ENDED: Final = 0x41
"""The fields of start and end: how they are packed, and their tags."""
_FIXED32: Final = struct.Struct("<I")
_DOUBLE: Final = struct.Struct("<d")
# Whether a parent is of another process is known, and is so (`SpanFlags`).
_LOCAL_FLAGS: Final = _FIXED32.pack(0x100)
_REMOTE_FLAGS: Final = _FIXED32.pack(0x300)
LOCAL: Final = _FLAGS + _LOCAL_FLAGS
REMOTE: Final = _FLAGS + _REMOTE_FLAGS
"""The fields of the flags."""

SPAN: Final = b"\x12"
"""The tag of a span among others of its scope."""
_SPANS_OF_SCOPE: Final = b"\x12"
ERROR: Final = 2
"""The code of a status."""


def varint(number: int) -> bytes:
    """A number from 0 on, in groups of seven bits."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def framed(tag: bytes, content: bytes) -> bytes:
    """A field with a length."""
    return tag + varint(len(content)) + content


def text(value: str) -> bytes:
    """A text as UTF-8."""
    return value.encode("utf-8", "replace")


def head(name: str, length: int) -> bytes:
    """What stands in front of a text of `length` bytes that is the value of this attribute."""
    key = framed(b"\x0a", text(name))
    value = b"\x0a" + varint(length)
    inner = len(value) + length
    tag = key + b"\x12" + varint(inner) + value
    return _ATTRIBUTE + varint(len(tag) + length) + tag


def number_head(name: str, length: int) -> bytes:
    """What stands in front of a number of `length` groups of seven bits that is the value of this attribute."""
    value = framed(b"\x12", b"\x18" + bytes(length))
    return framed(_ATTRIBUTE, framed(b"\x0a", text(name)) + value)[:-length]


def attributes(values: Attributes) -> bytes:
    """The attributes of a span, in their order."""
    return b"".join([framed(_ATTRIBUTE, key_value(name, value)) for name, value in values.items()])


def key_value(name: str, value: Value) -> bytes:
    """The content of a `KeyValue`."""
    return framed(b"\x0a", text(name)) + framed(b"\x12", _any(value))


def times(started_ns: int, ended_ns: int) -> bytes:
    """The fields of start and end."""
    return TIMES.pack(STARTED, started_ns, ENDED, ended_ns)


def ids(trace_id: bytes, span_id: bytes, parent: bytes, *, remote: bool) -> bytes:
    """The fields of the ids of a span and its parent, which may be none, and the flags."""
    flags = REMOTE if remote else LOCAL
    above = PARENT + parent if parent else b""
    return b"".join((TRACE_ID, trace_id, SPAN_ID, span_id, above, flags))


def state(value: str) -> bytes:
    """The field of a `tracestate`."""
    return framed(_STATE, text(value)) if value else b""


def links(spans: Iterable[SpanIds]) -> bytes:
    """The fields of what a span links to."""
    return b"".join([framed(_LINK, _link(span)) for span in spans])


def sort(name: str, kind: int, failure: str | None) -> bytes:
    """The fields of name, kind and status."""
    status = b"" if failure is None else framed(b"\x12", text(failure)) + b"\x18" + varint(ERROR)
    return framed(_NAME, text(name)) + _KIND + varint(kind) + framed(_STATUS, status)


def encoded(model: SpanModel) -> bytes:
    """The content of a `Span`."""
    return b"".join(
        (
            ids(model.trace_id, model.span_id, model.parent, remote=model.remote),
            times(model.started_ns, model.ended_ns),
            sort(model.name, model.kind, model.failure),
            attributes(model.attributes),
            state(model.state),
            b"" if not model.dropped_attributes else _DROPPED_ATTRIBUTES + varint(model.dropped_attributes),
            links(model.links),
            b"" if not model.dropped_links else _DROPPED_LINKS + varint(model.dropped_links),
        )
    )


class Envelope:
    """Makes the `ExportTraceServiceRequest` of spans of one `resource` and `scope`, both encoded."""

    def __init__(self, resource: bytes, scope: bytes, *, schema: str = "") -> None:
        self._resource = framed(b"\x0a", resource)
        self._scope = framed(b"\x0a", scope)
        self._ending = framed(b"\x1a", text(schema)) if schema else b""

    def around(self, spans: Iterable[bytes]) -> bytes:
        """The request for spans that have their tags and lengths already."""
        pieces = list(spans)
        within = len(self._scope) + sum(map(len, pieces))
        scoped = _SPANS_OF_SCOPE + varint(within)
        outer = len(self._resource) + len(scoped) + within + len(self._ending)
        return b"".join((b"\x0a", varint(outer), self._resource, scoped, self._scope, *pieces, self._ending))


def _link(to: SpanIds) -> bytes:
    return b"".join((TRACE_ID, to.trace_id.to_bytes(16), SPAN_ID, to.span_id.to_bytes(8), _LINK_FLAGS, _REMOTE_FLAGS))


def _any(value: Value) -> bytes:
    """The content of an `AnyValue`."""
    if isinstance(value, str):
        return framed(b"\x0a", text(value))
    if isinstance(value, bool):  # before int, which it is one of
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    return framed(b"\x2a", b"".join(framed(b"\x0a", _any(one)) for one in value))
