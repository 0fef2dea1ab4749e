"""The headers of an audit line: what requests with the same names have in common, put together once.

The rule kept here: only lines that stand in the audit in the clear are remembered, and of these only what has been the
same in every request.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.record.decision import TRACE_HEADERS
from extauthz.record.fragments import Remembered, is_plain, text_of
from extauthz.record.masking import LONGEST, Keep
from extauthz.values.headers import OneLineEach

NO_TRACE: Final = -1
"""In place of the place of the header that tells the trace: no header tells one."""
ODD_TRACE: Final = -2
"""The same where others may than the `traceparent`."""
_NONE: Final = -3
"""In place of the place of another line: there is none."""
_FEW: Final = 2
"""Lines that vary of most requests: the `traceparent`, and the request's own id."""
_NAMED: Final = 64
"""Characters that the place of a name takes beside it, more or less."""
_TRACEPARENT: Final = "traceparent"
_TRACESTATE: Final = "tracestate"
_LARGEST_NOTED: Final = 4_096
"""Characters of a shape that is noted where headers are known to be alike: there is one for each such place."""


class HeaderShape:
    """The headers of requests with the same names, a line each, that have the same in some lines.

    Of the lines in the clear those are in the pieces that were `usual` by their places. The others belong between the
    pieces, in their order: the first behind `before`, the second behind `between`, and `behind` is what comes last; of
    `many` all stand together behind `before`. `trace` is the place of the `traceparent` among the lines, or `NO_TRACE`,
    or `ODD_TRACE`; it may be the first of those or the second, and `has_state` is whether a `tracestate` goes with it.
    `places` are what the shape is known by, `size` is about how many characters it takes.
    """

    def __init__(self, places: dict[str, int], usual: Mapping[int, str], keep: Keep) -> None:
        self.places: Final = places
        self.keep: Final = keep
        trace = places.get(_TRACEPARENT)
        if trace is None:
            trace = NO_TRACE if TRACE_HEADERS.isdisjoint(places) else ODD_TRACE
        self.trace: Final = trace
        clear = [place for name, place in places.items() if name in keep.headers]
        self._steady: Final = list(usual)
        self._usual: Final = list(usual.values())
        varying = [place for place in clear if place not in usual]
        pieces = [',"headers":{']
        for name, place in places.items():
            pieces[-1] += f"{text_of(name)}:"
            if place not in clear:
                pieces[-1] += "1,"
            elif place in usual:
                pieces[-1] += f'["{usual[place]}"],'
            else:
                pieces[-1] += '["'
                pieces.append('"],')
        pieces[-1] = pieces[-1].removesuffix(",") + "}"
        self.are_many: Final = len(varying) > _FEW
        self._varying: Final = varying
        self._pieces: Final = pieces
        self._first: Final = varying[0] if varying else _NONE
        self._second: Final = varying[1] if len(varying) > 1 else _NONE
        self.is_trace_first: Final = self._first == trace
        self.is_trace_second: Final = self._second == trace
        self.has_state: Final = _TRACESTATE in places
        self.before: Final = pieces[0].encode()
        self.between: Final = pieces[1].encode() if len(varying) in (1, _FEW) else b""
        self.behind: Final = pieces[-1].encode() if len(varying) > 1 else b""
        self.size: Final = sum([2 * len(name) + _NAMED for name in places]) + sum([len(line) for line in self._usual])

    def agrees(self, lines: tuple[str, ...]) -> bool:
        """Whether a request with these lines has what is the same."""
        usual = self._usual
        for at, place in enumerate(self._steady):  # noqa: SIM110 - a generator would be slow here, compiled
            if lines[place] != usual[at]:
                return False
        return True

    def is_of(self, varying: frozenset[int]) -> bool:
        """Whether all agree that differ at these places alone, if one of them does."""
        return varying.isdisjoint(self._steady)

    def adapted(self, lines: tuple[str, ...]) -> "HeaderShape":
        """That of requests before and of one with these lines."""
        before = zip(self._steady, self._usual, strict=True)
        return HeaderShape(self.places, {place: line for place, line in before if lines[place] == line}, self.keep)

    def few(self, headers: OneLineEach, *, is_traced: bool) -> tuple[str, str, str]:
        """The first and the second that belong between the pieces, `""` for none; and what of them is still to be
        looked at, which a `traceparent` is not if it `is_traced`, as usual."""
        first = headers.line(self._first) if self._first != _NONE else ""
        second = headers.line(self._second) if self._second != _NONE else ""
        if is_traced and self.is_trace_first:
            return first, second, second
        if is_traced and self.is_trace_second:
            return first, second, first
        return first, second, f"{first}{second}"

    def many(self, headers: OneLineEach) -> list[str]:
        """All that belong between the pieces; they are still to be looked at."""
        return [headers.line(place) for place in self._varying]

    def joined(self, values: list[str]) -> bytes:
        """What stands behind `before` and before `behind`, of many, which are plain and no longer than is allowed."""
        pieces = [values[0]]
        for at in range(1, len(values)):
            pieces.append(self._pieces[at])
            pieces.append(values[at])
        return "".join(pieces).encode()


class HeaderShapes:
    """The shape of each set of names, which requests with the same names have in common."""

    def __init__(self, keep: Keep) -> None:
        self._keep: Final = keep
        self._shapes: Final[Remembered[int, HeaderShape]] = Remembered()
        self._known: Final[dict[int, HeaderShape]] = self._shapes.known

    def of(self, headers: OneLineEach) -> HeaderShape:
        """The shape of these headers, of which there is at least one."""
        common = headers.common
        if common is None:
            return self._new(headers.places, headers.lines)
        noted = common.line
        if isinstance(noted, HeaderShape) and noted.keep is self._keep:
            return noted
        shape = self._new(headers.places, headers.lines)
        if shape.size <= _LARGEST_NOTED and shape.is_of(common.varying):
            common.line = shape
        return shape

    def _new(self, places: dict[str, int], lines: tuple[str, ...]) -> HeaderShape:
        shape = self._known.get(id(places))
        if shape is not None and shape.agrees(lines):
            return shape
        if shape is None:
            clear = [place for name, place in places.items() if name in self._keep.headers]
            shape = HeaderShape(places, {place: lines[place] for place in clear if _is_usual(lines[place])}, self._keep)
        else:
            shape = shape.adapted(lines)
        self._shapes.put(id(places), shape, shape.size)
        return shape


def _is_usual(line: str) -> bool:
    """Whether a line in the clear may stand among what requests have in common."""
    return len(line) <= LONGEST and line.isascii() and is_plain(line)
