"""The part of the protocol of stores that knows what is usual: how often something comes, what a subject is used to do.

The rules: what is counted is never told as less than it was. What a subject is used to do is bounded for each subject,
and is forgotten in time. A key is kept by its digest, whatever its length.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from extauthz.risk.sketch import EMPTY_SKETCH, Quantiles, Sketch
from extauthz.store.key_digest import digest
from extauthz.values.facts import Kind, LastPlace, Question
from extauthz.values.identity import Subject

DAY: Final = 86_400.0
SEEN_SECONDS: Final = 90 * DAY
"""How long it is remembered that a key came, since it came last."""
PLACE_SECONDS: Final = 90 * DAY
"""How long it is remembered where a subject was."""
BASELINE_SECONDS: Final = 180 * DAY
"""How long a baseline is kept to which nothing was added: six half-lives of a number."""
RAISED_SECONDS: Final = 90 * DAY
"""How long it is remembered that a signal was raised."""
MOST_SEEN: Final = 256
"""Keys that are remembered of a subject; beyond that the one goes that came the longest ago."""
MOST_BASELINES: Final = 16
"""Baselines of a subject; beyond that the one goes to which nothing was added for the longest time."""
MOST_RAISED: Final = 256
"""Signals of a subject whose moments are remembered; beyond that the oldest goes."""


class Number(NamedTuple):
    """A number that is added to the baseline that a question is about."""

    baseline: Question
    value: float


class Raised(NamedTuple):
    """A signal of a risk model that was raised at `at`, in seconds since the epoch."""

    model: str
    signal: str
    at: float


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """What one request of `subject` at `at` (seconds since the epoch) leaves behind: all but `raised` are of those that
    were allowed.
    """

    subject: Subject
    at: float
    seen: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    place: LastPlace | None = None
    raised: tuple[Raised, ...] = ()


class HabitStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def note_habits(self, habits: Iterable[Habit]) -> None:
        """Remember what these requests leave behind; when something came last only moves forward.

        A call that raises may have done a part of it; made again it may add a number twice.
        """


def about(questions: Iterable[Question], kind: Kind) -> tuple[Question, ...]:
    """The questions of one kind, each once."""
    return tuple(dict.fromkeys(question for question in questions if question.kind == kind))


def place_of(question: Question) -> str:
    """The text of bounded length by which stores know what a question is about."""
    return digest(json.dumps(question.args))


def window_of(rate: Question) -> float:
    """The window of a question of the kind `rate`, in seconds."""
    return float(rate.args[1])


def quantiles_of(sketch: Sketch | None, now: float) -> Quantiles:
    """What was usual by a sketch that may not be there, or be too old."""
    if sketch is None or sketch.at + BASELINE_SECONDS <= now:
        return Quantiles()
    return sketch.quantiles(now=now)


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What several requests of one subject leave behind together, by the digests that stores know it by.

    `seen` is when each key came last, `numbers` are those of each baseline with when they came, `raised` is when which
    signal (model, signal) was raised last.
    """

    seen: Mapping[str, float]
    numbers: Mapping[str, tuple[tuple[float, float], ...]]
    place: LastPlace | None
    raised: Mapping[tuple[str, str], float]

    @property
    def at(self) -> float:
        """When the last of them came."""
        numbers = (at for added in self.numbers.values() for at, _ in added)
        place = () if self.place is None else (self.place.at,)
        return max((*self.seen.values(), *numbers, *place, *self.raised.values()), default=0.0)

    def added(self, name: str, before: Sketch | None) -> Sketch:
        """The baseline of this name with what is added to it; one that is too old begins anew."""
        sketch = before if before is not None else EMPTY_SKETCH
        for at, value in self.numbers[name]:
            sketch = (EMPTY_SKETCH if sketch.at + BASELINE_SECONDS <= at else sketch).with_numbers([value], now=at)
        return sketch


def by_subject(habits: Iterable[Habit]) -> Iterator[tuple[Subject, Left]]:
    """What each subject's requests leave behind."""
    owners: dict[Subject, list[Habit]] = {}
    for habit in habits:
        owners.setdefault(habit.subject, []).append(habit)
    for subject, theirs in owners.items():
        yield subject, _left(theirs)


def _left(habits: Iterable[Habit]) -> Left:
    seen: dict[str, float] = {}
    numbers: dict[str, tuple[tuple[float, float], ...]] = {}
    raised: dict[tuple[str, str], float] = {}
    place: LastPlace | None = None
    for habit in habits:
        for key in habit.seen:
            name = digest(key)
            seen[name] = max(habit.at, seen.get(name, habit.at))
        for baseline, value in habit.numbers:
            name = place_of(baseline)
            numbers[name] = (*numbers.get(name, ()), (habit.at, value))
        for model, signal, at in habit.raised:
            raised[model, signal] = max(at, raised.get((model, signal), at))
        if habit.place is not None and (place is None or habit.place.at >= place.at):
            place = habit.place
    return Left(seen=seen, numbers=numbers, place=place, raised=raised)
