"""The headers of an audit line: what requests with the same names have in common, put together once.

The rule kept here: only lines that stand in the audit in the clear are remembered, and of these only what has been the
same in every request.
"""

from typing import Final

from extauthz.record.decision import TRACE_HEADERS
from extauthz.record.fragments import Remembered, is_plain, text_of
from extauthz.record.masking import LONGEST, Keep

NO_TRACE: Final = -1
"""In place of the place of the header that tells the trace: no header tells one."""
ODD_TRACE: Final = -2
"""The same where others may than the `traceparent`."""
_NAMED: Final = 64
"""Characters that the place of a name takes beside it, more or less."""
_TRACEPARENT: Final = "traceparent"


class HeaderShape:
    """The headers of all requests with the same names, a line each.

    Of the lines in the clear those that were always the same are in `_pieces`; the others belong into the gaps at its
    odd places, in their order. `trace` is the place of the `traceparent` among the lines, or `NO_TRACE`, or
    `ODD_TRACE`. `places` are what the shape is known by.
    """

    def __init__(self, places: dict[str, int], lines: tuple[str, ...], keep: Keep) -> None:
        self.places: Final = places
        trace = places.get(_TRACEPARENT)
        if trace is None:
            trace = NO_TRACE if TRACE_HEADERS.isdisjoint(places) else ODD_TRACE
        self.trace: Final = trace
        self._clear: Final = [place for name, place in places.items() if name in keep.headers]
        self._steady: list[int] = []
        self._usual: list[str] = []
        self._varying: list[int] = []
        self._pieces: list[str] = []
        self._put_together({place: lines[place] for place in self._clear if _is_usual(lines[place])})

    @property
    def size(self) -> int:
        """About how many characters it takes, and will take at most."""
        return sum([2 * len(name) + _NAMED for name in self.places]) + sum([len(line) for line in self._usual])

    def values_of(self, lines: tuple[str, ...]) -> list[str]:
        """Of the lines of a request those that belong into the gaps; they are still to be looked at."""
        usual = self._usual
        for at, place in enumerate(self._steady):
            if lines[place] != usual[at]:
                self._adapt(lines)
                break
        return [lines[place] for place in self._varying]

    def filled(self, values: list[str]) -> list[str]:
        """The field of the audit line in pieces, with these values, which are plain and no longer than is allowed."""
        pieces = self._pieces.copy()
        at = 1
        for value in values:
            pieces[at] = value
            at += 2
        return pieces

    def _adapt(self, lines: tuple[str, ...]) -> None:
        """Of what was always the same, what is not in these lines varies from now on."""
        before = zip(self._steady, self._usual, strict=True)
        self._put_together({place: line for place, line in before if lines[place] == line})

    def _put_together(self, usual: dict[int, str]) -> None:
        pieces = [',"headers":{']
        for name, place in self.places.items():
            pieces[-1] += f"{text_of(name)}:"
            if place not in self._clear:
                pieces[-1] += "1,"
            elif place in usual:
                pieces[-1] += f'["{usual[place]}"],'
            else:
                pieces[-1] += '["'
                pieces += ["", '"],']
        pieces[-1] = pieces[-1].removesuffix(",") + "}"
        self._pieces = pieces
        self._steady, self._usual = list(usual), list(usual.values())
        self._varying = [place for place in self._clear if place not in usual]


class HeaderShapes:
    """The shape of each set of names, which requests with the same names have in common."""

    def __init__(self, keep: Keep) -> None:
        self._keep: Final = keep
        self._shapes: Final[Remembered[int, HeaderShape]] = Remembered()
        self._known: Final[dict[int, HeaderShape]] = self._shapes.known

    def of(self, places: dict[str, int], lines: tuple[str, ...]) -> HeaderShape:
        """The shape of these names, at least one, with the place of each among the lines of a request."""
        shape = self._known.get(id(places))
        if shape is None:
            shape = HeaderShape(places, lines, self._keep)
            self._shapes.put(id(places), shape, shape.size)
        return shape


def _is_usual(line: str) -> bool:
    """Whether a line in the clear may stand among what requests have in common."""
    return len(line) <= LONGEST and line.isascii() and is_plain(line)
