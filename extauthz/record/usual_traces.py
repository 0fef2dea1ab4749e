"""The `traceparent` that nearly every call has, read by compiled code.

The rule kept here: what is found is what `trace_context` finds in the same headers; where anything is not as usual,
nothing is.
"""

from typing import Final

from extauthz.record.trace_context import Parent
from extauthz.values.headers import OneLineEach
from extauthz.values.request import RequestView

_TRACE_END: Final = 35
_SPAN_END: Final = 52
_TRACE_SIZE: Final = 55
"""Characters of a usual `traceparent`, and where the dashes are behind its trace and its span."""
_NO_TRACE_ID: Final = "0" * 32
_NO_SPAN_ID: Final = "0" * 16
_FLAGS: Final = 54
"""Where the digit of the flags is that tells whether the trace is recorded."""
_ODD: Final = frozenset("13579bdf")
_unhex: Final = bytes.fromhex


def usual_trace(text: str) -> str:
    """The trace in a `traceparent` that is as everybody sends it (`trace_context.USUAL`); `""` in any other."""
    if len(text) != _TRACE_SIZE or not text.startswith("00-"):
        return ""
    for at in range(3, _TRACE_SIZE):
        code = ord(text[at])
        if at in (_TRACE_END, _SPAN_END):
            if code != ord("-"):
                return ""
        elif not (ord("a") <= code <= ord("f") or ord("0") <= code <= ord("9")):
            return ""
    trace = text[3:_TRACE_END]
    return "" if trace == _NO_TRACE_ID or text[_TRACE_END + 1 : _SPAN_END] == _NO_SPAN_ID else trace


def usual_parent(request: RequestView | None) -> Parent | None:
    """The parent in the only `traceparent` of a request without `tracestate` (W3C Trace Context section 3.2)."""
    http = None if request is None else request.http
    if http is None:
        return None
    headers = http.headers
    if type(headers) is not OneLineEach:
        return None
    places = headers.places
    place = places.get("traceparent")
    if place is None or "tracestate" in places:
        return None
    text = headers.lines[place]
    trace = usual_trace(text)
    if not trace:
        return None
    return Parent(_unhex(trace), _unhex(text[_TRACE_END + 1 : _SPAN_END]), text[_FLAGS] in _ODD)
