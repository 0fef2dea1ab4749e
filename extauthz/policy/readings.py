"""What follows for a request, remembered by the few texts that its conditions look at.

Each text is one of those that the policy names, or another, or absent: all that any condition can tell apart. What all
of them are is one number. The rules kept here: of what a request says nothing is kept but that number; and headers of
which one came in several lines have none.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.values.decisions import Evaluation
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.request import RequestView

Segments = tuple[str, ...]
Context = Mapping[str, str]

UNKNOWN: Final = -1
MOST_CONTEXTS: Final = 2
"""What the filter tells of the route, in as many ways, is remembered of one place, or of one who stands there."""
_LONGEST: Final = 512
"""Characters that one of them may have."""


class Reading:
    """One text that conditions look at: it is one of `texts`, another, or absent, which are `count` cases.

    Cases are numbered in steps of `unit`, so that the sum of numbers of several readings tells each of them.
    """

    def __init__(self, texts: Iterable[str], unit: int) -> None:
        self._numbers: Final[dict[str, int]] = {text: unit * case for case, text in enumerate(sorted(texts), 2)}
        self._absent: Final = unit
        self.count: Final = len(self._numbers) + 2

    def number(self, headers: OneLineEach, segments: Segments) -> int:
        """The number of the case that a request is, by its headers and its path."""
        raise NotImplementedError


class HeaderReading(Reading):
    """The only line of the header with this name in lower case."""

    def __init__(self, name: str, texts: Iterable[str], unit: int) -> None:
        super().__init__(texts, unit)
        self._name: Final = name

    def number(self, headers: OneLineEach, segments: Segments) -> int:  # noqa: ARG002
        place = headers.places.get(self._name)
        return self._absent if place is None else self._numbers.get(headers.line(place), 0)


class SegmentReading(Reading):
    """A segment of the path, which is there wherever the rules that capture it may speak."""

    def __init__(self, position: int, texts: Iterable[str], unit: int) -> None:
        super().__init__(texts, unit)
        self._position: Final = position

    def number(self, headers: OneLineEach, segments: Segments) -> int:  # noqa: ARG002
        return self._numbers.get(segments[self._position], 0)


class _Within:
    """What is known of requests that the filter tells the same `context`; of all, where that is `None`."""

    def __init__(self, context: Context | None) -> None:
        self.context: Final = context
        self.evaluations: Final[dict[int, Evaluation]] = {}


class Known:
    """Evaluations that are the same for all requests of which the same is read, until `expires` (seconds since the
    epoch); at most so many of them in one context."""

    def __init__(self, readings: tuple[Reading, ...], reads_context: bool, expires: float, most: int) -> None:
        self._readings: Final = readings
        self._expires: Final = expires
        self._most: Final = most
        self._everywhere: Final = None if reads_context else _Within(None)
        self._within: tuple[_Within, ...] = ()

    def evaluation(self, request: RequestView, headers: Headers, segments: Segments, now: float) -> Evaluation | None:
        """What follows for a request; `None` if that is not known."""
        if now >= self._expires:
            return None
        within = self._everywhere or self._of(request.context)
        number = UNKNOWN if within is None else self._number(headers, segments)
        return None if within is None or number < 0 else within.evaluations.get(number)

    def remember(self, request: RequestView, headers: Headers, segments: Segments, evaluation: Evaluation) -> None:
        """Note what follows for a request, and for all of which the same is read."""
        number = self._number(headers, segments)
        if number < 0:
            return
        within = self._everywhere or self._of(request.context) or self._beginning(request.context)
        if within is not None and len(within.evaluations) < self._most:
            within.evaluations[number] = evaluation

    def _number(self, headers: Headers, segments: Segments) -> int:
        """What is read of a request; `UNKNOWN` where that can't be told by a number."""
        if type(headers) is not OneLineEach:
            return UNKNOWN
        number = 0
        for reading in self._readings:
            number += reading.number(headers, segments)
        return number

    def _of(self, context: Context) -> _Within | None:
        for within in self._within:
            if within.context is context or within.context == context:
                return within
        return None

    def _beginning(self, context: Context) -> _Within | None:
        """The same for a context that is new; `None` if there are as many as there may be, or it is long."""
        if len(self._within) >= MOST_CONTEXTS or sum([len(name) + len(context[name]) for name in context]) > _LONGEST:
            return None
        within = _Within(context)
        self._within = (*self._within, within)  # if two threads do so, one is forgotten, with all that it holds
        return within
