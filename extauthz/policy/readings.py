"""What follows for a request, remembered by the few texts that its conditions look at.

Each text is one of those that the policy names, or another, or absent: all that any condition can tell apart. What all
of them are is one number. The rules kept here: of what a request says nothing is kept but that number; and headers of
which one came in several lines have none.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.values.decisions import Evaluation
from extauthz.values.headers import OneLineEach

Headers = Mapping[str, tuple[str, ...]]
UNKNOWN: Final = -1


class Reading:
    """One text that conditions look at: it is one of `texts`, another, or absent, which are `count` cases.

    Cases are numbered in steps of `unit`, so that the sum of numbers of several readings tells each of them.
    """

    def __init__(self, texts: Iterable[str], unit: int) -> None:
        self._numbers: Final[dict[str, int]] = {text: unit * case for case, text in enumerate(sorted(texts), 2)}
        self._absent: Final = unit
        self.count: Final = len(self._numbers) + 2

    def number(self, places: dict[str, int], lines: tuple[str, ...], segments: tuple[str, ...]) -> int:
        """The number of the case that a request is, by its headers and its path."""
        raise NotImplementedError


class HeaderReading(Reading):
    """The only line of the header with this name in lower case."""

    def __init__(self, name: str, texts: Iterable[str], unit: int) -> None:
        super().__init__(texts, unit)
        self._name: Final = name

    def number(self, places: dict[str, int], lines: tuple[str, ...], segments: tuple[str, ...]) -> int:  # noqa: ARG002
        place = places.get(self._name)
        return self._absent if place is None else self._numbers.get(lines[place], 0)


class SegmentReading(Reading):
    """A segment of the path, which is there wherever the rules that capture it may speak."""

    def __init__(self, position: int, texts: Iterable[str], unit: int) -> None:
        super().__init__(texts, unit)
        self._position: Final = position

    def number(self, places: dict[str, int], lines: tuple[str, ...], segments: tuple[str, ...]) -> int:  # noqa: ARG002
        return self._numbers.get(segments[self._position], 0)


class Known:
    """Evaluations that are the same for all requests of which the same is read, until `expires` (seconds since the
    epoch); at most so many of them."""

    def __init__(self, readings: tuple[Reading, ...], expires: float, most: int) -> None:
        self._readings: Final = readings
        self._expires: Final = expires
        self._most: Final = most
        self._evaluations: Final[dict[int, Evaluation]] = {}

    def evaluation(self, headers: Headers, segments: tuple[str, ...], now: float) -> Evaluation | None:
        """What follows for a request; `None` if that is not known."""
        if now >= self._expires:
            return None
        number = self._number(headers, segments)
        return None if number < 0 else self._evaluations.get(number)

    def remember(self, headers: Headers, segments: tuple[str, ...], evaluation: Evaluation) -> None:
        """Note what follows for a request, and for all of which the same is read."""
        number = self._number(headers, segments)
        if number >= 0 and len(self._evaluations) < self._most:
            self._evaluations[number] = evaluation

    def _number(self, headers: Headers, segments: tuple[str, ...]) -> int:
        """What is read of a request; `UNKNOWN` where that can't be told by a number."""
        if type(headers) is not OneLineEach:
            return UNKNOWN
        places, lines = headers.places, headers.lines
        number = 0
        for reading in self._readings:
            number += reading.number(places, lines, segments)
        return number
