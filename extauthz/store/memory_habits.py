"""What is usual, in the memory of one process: counters, and what each subject is used to do. Whoever calls holds the
lock of the store.

The rule: there are no more than MOST_RATES counters of their own. Keys beyond that share some, so they are told as
more than they were, never as less.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from extauthz.risk.sketch import Sketch
from extauthz.risk.sliding import NEVER, Counts, counted, kept_for
from extauthz.store.habits import (
    BASELINE_SECONDS,
    MOST_BASELINES,
    MOST_RAISED,
    MOST_SEEN,
    PLACE_SECONDS,
    RAISED_SECONDS,
    SEEN_SECONDS,
    Habit,
    Left,
    about,
    by_subject,
    place_of,
    quantiles_of,
    window_of,
)
from extauthz.store.key_digest import digest
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

MOST_RATES: Final = 100_000
"""Keys and windows at a time that have a counter of their own."""
_SHARED_DIGITS: Final = 3

_Name = TypeVar("_Name", str, tuple[str, str])


@dataclass(slots=True, kw_only=True)
class _Counter:
    counts: Counts = field(default_factory=lambda: NEVER)
    until: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Habits:
    seen: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, Sketch] = field(default_factory=dict)
    raised: dict[tuple[str, str], float] = field(default_factory=dict)
    place: LastPlace | None = None

    def is_over(self, now: float) -> bool:
        """Whether nothing of it changes any answer."""
        ends = (
            *(at + SEEN_SECONDS for at in self.seen.values()),
            *(sketch.at + BASELINE_SECONDS for sketch in self.baselines.values()),
            *(at + RAISED_SECONDS for at in self.raised.values()),
            *(() if self.place is None else (self.place.at + PLACE_SECONDS,)),
        )
        return max(ends, default=now) <= now

    def take(self, left: Left) -> None:
        """Remember what a subject's requests leave behind."""
        self.seen = _moved(self.seen, left.seen, MOST_SEEN)
        self.raised = _moved(self.raised, left.raised, MOST_RAISED)
        self.baselines |= {name: left.added(name, self.baselines.get(name)) for name in left.numbers}
        kept = _moved({name: sketch.at for name, sketch in self.baselines.items()}, {}, MOST_BASELINES)
        self.baselines = {name: self.baselines[name] for name in kept}
        if left.place is not None and (self.place is None or left.place.at >= self.place.at):
            self.place = left.place


_NO_HABITS: Final = _Habits()


class MemoryHabits:
    """The counters by the digest of what they count, and what subjects are used to do."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._habits: dict[Subject, _Habits] = {}

    def answers(self, subject: Subject | None, questions: Sequence[Question], now: float) -> dict[Question, object]:
        """As `Found.answers`; what is asked about is counted."""
        answers: dict[Question, object] = {rate: self._count(rate, now) for rate in about(questions, "rate")}
        if subject is None:
            return answers
        known = self._habits.get(subject, _NO_HABITS)
        for asked in about(questions, "seen"):
            seen_at = known.seen.get(digest(str(asked.args[0])))
            answers[asked] = seen_at is not None and seen_at + SEEN_SECONDS > now
        for asked in about(questions, "baseline"):
            answers[asked] = quantiles_of(known.baselines.get(place_of(asked)), now)
        for asked in about(questions, "place"):
            answers[asked] = known.place if known.place is not None and known.place.at + PLACE_SECONDS > now else None
        for asked in about(questions, "raised"):
            answers[asked] = {
                signal: at
                for (model, signal), at in known.raised.items()
                if model == asked.args[0] and at + RAISED_SECONDS > now
            }
        return answers

    def note(self, habits: Iterable[Habit]) -> None:
        """As `Store.note_habits`."""
        for subject, left in by_subject(habits):
            self._habits.setdefault(subject, _Habits()).take(left)

    def sweep(self, now: float) -> None:
        """Forget what changes no answer any more."""
        self._counters = {name: counter for name, counter in self._counters.items() if counter.until > now}
        self._habits = {subject: known for subject, known in self._habits.items() if not known.is_over(now)}

    def _count(self, rate: Question, now: float) -> int:
        name, window = place_of(rate), window_of(rate)
        if name not in self._counters and len(self._counters) >= MOST_RATES:
            name = f"{name[:_SHARED_DIGITS]}:{window!r}"
        counter = self._counters.setdefault(name, _Counter())
        counter.counts, answer = counted(counter.counts, window, now=now)
        counter.until = max(counter.until, now + kept_for(window))
        return answer


def _moved(before: Mapping[_Name, float], after: Mapping[_Name, float], most: int) -> dict[_Name, float]:
    """When each of them was last, no more than `most` of them: those that were last."""
    moments = dict(before)
    for name, at in after.items():
        moments[name] = max(at, moments.get(name, at))
    if len(moments) > most:
        latest = sorted(moments, key=lambda name: (moments[name], name), reverse=True)[:most]
        moments = {name: moments[name] for name in latest}
    return moments
