"""The `traceparent` that nearly every call has, read by compiled code.

The rule kept here: what is found is what `trace_context` finds in the same headers; where anything is not as usual,
nothing is.
"""

from binascii import a2b_hex
from typing import Final

from extauthz.record.brief import Brief
from extauthz.record.parent import Parent
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.native import i64

_TRACE: Final = 3
_TRACE_END: Final = 35
_SPAN: Final = 36
_SPAN_END: Final = 52
_FLAGS: Final = 53
_SIZE: Final = 55
"""Where the ids are in a usual `traceparent`, and its flags, and how long it is."""
_VERSION: Final = b"00-"
_DASH: Final = 0x2D
_ZERO: Final = 0x30
_NINE: Final = 0x39
_A: Final = 0x61
_F: Final = 0x66
_ODD: Final = frozenset("13579bdf")
_unhex: Final = a2b_hex
# Found without a look-up where this is compiled.
_OneLineEach: Final = OneLineEach
_NOWHERE: Final = -1


def usual(text: str) -> bytes:
    """A `traceparent` that is as everybody sends it (`trace_context.USUAL`); `b""` of any other."""
    if len(text) != _SIZE:
        return b""
    try:
        said = text.encode()  # of bytes each is looked at with fewer instructions than of a text
    except UnicodeEncodeError:
        return b""
    is_usual = (
        len(said) == _SIZE
        and said.startswith(_VERSION)
        and said[_TRACE_END] == _DASH
        and said[_SPAN_END] == _DASH
        and _is_id(said, _TRACE, _TRACE_END)
        and _is_id(said, _SPAN, _SPAN_END)
        and _is_digit(said[_FLAGS])
        and _is_digit(said[_FLAGS + 1])
    )
    return said if is_usual else b""


def trace_of(said: bytes) -> bytes:
    """The trace in a `traceparent` that is `usual`."""
    return said[_TRACE:_TRACE_END]


class UsualParents:
    """Reads the parent in the only `traceparent` of requests without `tracestate` (W3C Trace Context section 3.2).
    Belongs to one thread.

    Where it stands is worked out once for requests with the same names of headers, which share them.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._place = _NOWHERE

    def of_record(self, record: Brief) -> Parent | None:
        """The parent of a record, whose headers somebody else may have read already."""
        return _parent_in(record.traceparent) if record.traceparent else self.of(record.headers)

    def of(self, headers: Headers) -> Parent | None:
        """The parent of a request with these headers."""
        if type(headers) is not _OneLineEach:
            return None
        places = headers.places
        if places is not self._places:
            self._places = places
            self._place = _NOWHERE if "tracestate" in places else places.get("traceparent", _NOWHERE)
        if self._place == _NOWHERE:
            return None
        text = headers.line(self._place)
        return _parent_in(text) if len(usual(text)) else None


def _parent_in(text: str) -> Parent:
    return Parent(_unhex(text[_TRACE:_TRACE_END]), _unhex(text[_SPAN:_SPAN_END]), text[_SIZE - 1] in _ODD)


def _is_id(text: bytes, at: i64, end: i64) -> bool:
    """Whether all from there to the end are hexadecimal digits, in lower case, and not all of them zeroes."""
    bits: i64 = 0
    while at < end:
        code: i64 = text[at]
        if not _is_digit(code):
            return False
        bits |= code
        at += 1
    return bits != _ZERO  # that digit has bits which all others have, too, and none beside


def _is_digit(code: i64) -> bool:
    return _ZERO <= code <= _NINE or _A <= code <= _F
