"""Whose child a span is: what the headers of a call say, by W3C Trace Context or B3.

The rule kept here: what is not well formed is no parent, and the call of the Check itself goes before the request that
it asks about, whose headers are what a client sent.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from extauthz.record.decision import Trace
from extauthz.record.parent import Parent
from extauthz.values.request import RequestView

DEFAULT: Final = "tracecontext,baggage"
"""What the OpenTelemetry specification takes where `OTEL_PROPAGATORS` says nothing ("Environment Variables")."""

_LONGEST: Final = 512
USUAL: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])").fullmatch
"""The `traceparent` that everybody sends: trace, span, and the flags that are known. There are others."""
_W3C: Final = re.compile(r"[ \t]*(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]([0-9a-f])(?:(-.*)|[ \t]*)")
_LONGEST_STATE: Final = 512
"""Characters of a `tracestate` that goes along: what all should let through (W3C Trace Context section 3.3.1.5)."""
_MOST_MEMBERS: Final = 32
_MEMBER: Final = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
"""A key and a value (W3C Trace Context sections 3.3.1.3.1 and 3.3.1.3.2)."""
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_B3_TRACE: Final = r"(?!0+(?:-|$))([0-9a-f]{16}|[0-9a-f]{32})"
_B3_SPAN: Final = r"(?!0+(?:-|$))([0-9a-f]{16})"
_B3_SINGLE: Final = re.compile(rf"{_B3_TRACE}-{_B3_SPAN}(?:-([01d])(?:-[0-9a-f]{{16}})?)?", re.IGNORECASE)
_B3_PAIR: Final = re.compile(rf"{_B3_TRACE}-{_B3_SPAN}", re.IGNORECASE)
_ODD: Final = frozenset("13579bdf")

_log = structlog.get_logger(__name__)

Header = Callable[[str], str | None]
"""The only value of the header with this lower-case name."""


def w3c(header: Header) -> Parent | None:
    """The parent in `traceparent` and `tracestate` (W3C Trace Context sections 3.2 and 3.3)."""
    text = header("traceparent")
    if text is None:
        return None
    found = USUAL(text)
    if found is None:
        if len(text) > _LONGEST:
            return None
        found = _W3C.fullmatch(text)
        if found is None or (found[4] and text.lstrip().startswith("00")):
            return None
    trace, span, flags = found[1], found[2], found[3]
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    state = header("tracestate")
    return Parent(bytes.fromhex(trace), bytes.fromhex(span), flags in _ODD, "" if state is None else _state(state))


def _state(text: str) -> str:
    """A `tracestate` that may go along; nothing of one that is not well formed, or longer than anybody must carry."""
    if len(text) > _LONGEST_STATE:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {one[1] for one in found if one is not None}
    return text if len(keys) == len(members) <= _MOST_MEMBERS else ""


def b3(header: Header) -> Parent | None:
    """The parent in `b3`, else in the headers that begin with `x-b3-` (B3 Propagation, "Single Header" and "Multiple
    Headers"). A trace of 64 bits has zeroes in front. Where the decision to record is left to us, it counts as not
    recorded, as OpenTelemetry's own readers of B3 have it.
    """
    single = header("b3")
    if single is not None and (found := _B3_SINGLE.fullmatch(single)) is not None:
        return _of_b3(found, sampled=found[3] is not None and found[3] != "0")
    trace, span = header("x-b3-traceid"), header("x-b3-spanid")
    if trace is None or span is None or (found := _B3_PAIR.fullmatch(f"{trace}-{span}")) is None:
        return None
    # Some old tracers write the words (B3 Propagation, "Sampling State").
    sampled = header("x-b3-flags") == "1" or (header("x-b3-sampled") or "").lower() in ("1", "true")
    return _of_b3(found, sampled=sampled)


def _of_b3(found: re.Match[str], *, sampled: bool) -> Parent:
    return Parent(bytes.fromhex(found[1].zfill(32)), bytes.fromhex(found[2]), sampled)


_READERS: Final[Mapping[str, Callable[[Header], Parent | None] | None]] = {
    "tracecontext": w3c,
    "b3": b3,
    "b3multi": b3,
    "baggage": None,
    "none": None,
}


class Propagation:
    """Reads parents by the formats that `OTEL_PROPAGATORS` names; of several in one call the one named last counts."""

    def __init__(self, names: str = DEFAULT) -> None:
        """Take the formats of `names`, with commas between; one that is unknown is logged and left out, as the
        OpenTelemetry specification wants it."""
        readers = dict.fromkeys(_readers(names.split(",")))
        self._readers = tuple(reversed(readers))

    @property
    def is_w3c(self) -> bool:
        """Whether parents are read by W3C Trace Context, and by nothing else."""
        return self._readers == (w3c,)

    def parent(self, trace: Trace, request: RequestView | None) -> Parent | None:
        """The span of the call that brought the Check, else that of the request; `None` if there is none."""
        if trace:
            carried = dict(trace).get
            for read in self._readers:
                if (found := read(carried)) is not None:
                    return found
        http = None if request is None else request.http
        if http is not None:
            for read in self._readers:
                if (found := read(http.header)) is not None:
                    return found
        return None


def trace_id_of(trace: Trace, request: RequestView | None) -> str | None:
    """The trace of a call in hex, in whichever format it comes: for who looks for it, where nothing is made of it."""
    if trace and (text := dict(trace).get("traceparent")) is not None and (found := USUAL(text)) is not None:
        return found[1]
    parent = _EVERY.parent(trace, request)
    return None if parent is None else parent.trace_id.hex()


def _readers(names: Iterable[str]) -> Iterable[Callable[[Header], Parent | None]]:
    for name in (one.strip().lower() for one in names):
        if name not in _READERS:
            if name:
                _log.warning("propagator-unknown", propagator=name, known=sorted(_READERS))
            continue
        reader = _READERS[name]
        if reader is not None:
            yield reader


_EVERY: Final = Propagation("b3,tracecontext")
