"""The `traceparent` that nearly every call has, read by compiled code.

The rule kept here: what is found is what `trace_context` finds in the same headers; where anything is not as usual,
nothing is.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.record.trace_context import Parent
from extauthz.values.headers import OneLineEach

_TRACE: Final = 3
_TRACE_END: Final = 35
_SPAN: Final = 36
_SPAN_END: Final = 52
_FLAGS: Final = 53
_SIZE: Final = 55
"""Where the ids are in a usual `traceparent`, and its flags, and how long it is."""
_DASH: Final = ord("-")
_NO_TRACE_ID: Final = "0" * 32
_NO_SPAN_ID: Final = "0" * 16
_ODD: Final = frozenset("13579bdf")
_unhex: Final = bytes.fromhex
# Found without a look-up where this is compiled.
_Parent: Final = Parent
_OneLineEach: Final = OneLineEach


def usual_trace(text: str) -> str:
    """The trace in a `traceparent` that is as everybody sends it (`trace_context.USUAL`); `""` in any other."""
    if (
        len(text) != _SIZE
        or not text.startswith("00-")
        or ord(text[_TRACE_END]) != _DASH
        or ord(text[_SPAN_END]) != _DASH
        or not _are_digits(text, _TRACE, _TRACE_END)
        or not _are_digits(text, _SPAN, _SPAN_END)
        or not _are_digits(text, _FLAGS, _SIZE)
    ):
        return ""
    trace = text[_TRACE:_TRACE_END]
    return "" if trace == _NO_TRACE_ID or text[_SPAN:_SPAN_END] == _NO_SPAN_ID else trace


def usual_parent(headers: Mapping[str, tuple[str, ...]]) -> Parent | None:
    """The parent in the only `traceparent` of a request without `tracestate` (W3C Trace Context section 3.2)."""
    if type(headers) is not _OneLineEach:
        return None
    places = headers.places
    place = places.get("traceparent")
    if place is None or "tracestate" in places:
        return None
    text = headers.lines[place]
    trace = usual_trace(text)
    if not trace:
        return None
    return _Parent(_unhex(trace), _unhex(text[_SPAN:_SPAN_END]), text[_SIZE - 1] in _ODD)


def _are_digits(text: str, at: int, end: int) -> bool:
    """Whether all from there to the end are hexadecimal digits, in lower case."""
    while at < end:
        code = ord(text[at])
        if code < ord("0") or code > ord("f") or ord("9") < code < ord("a"):
            return False
        at += 1
    return True
