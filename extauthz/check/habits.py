"""What requests leave behind, on its way to the store: off the path of requests, a second later.

The rules: what was allowed is as good as written in this process alone: the next request here knows it. What can't be
kept or written is forgotten, and then somebody is unusual who is not; a number is never added twice.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec
import structlog

from extauthz.errors import ExtauthzError
from extauthz.store.habits import Habit, HabitStore
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

TICK: Final = 1.0
"""Seconds between two times that what is there is written."""
BATCH: Final = 200
"""Requests whose traces are written in one call."""
PATIENCE: Final = 5.0
"""Seconds that one call, and the last writing of all, may take."""
MOST: Final = 20_000
"""Requests whose traces wait at a time."""

_log = structlog.get_logger(__name__)


class HabitCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests' traces wait to be written, and since the start: how many were `written`, how many `lost` with
    a writing that failed, how many `forgotten` because there was no room.
    """

    waiting: int
    written: int
    lost: int
    forgotten: int


@dataclass(slots=True, kw_only=True)
class _Recent:
    """What the requests of a subject leave behind together of which some are not written yet.

    `waiting` is how many these are, `seen` in how many of them a key is: whoever never pauses is bounded, too.
    """

    waiting: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    raised: dict[tuple[str, str], float] = field(default_factory=dict)
    place: LastPlace | None = None

    def take(self, habit: Habit) -> None:
        """Add what one request leaves behind."""
        self.waiting += 1
        self.seen.update(habit.seen)
        for model, signal, at in habit.raised:
            self.raised[model, signal] = max(at, self.raised.get((model, signal), at))
        if habit.place is not None and (self.place is None or habit.place.at >= self.place.at):
            self.place = habit.place

    def drop(self, habit: Habit) -> None:
        """Forget the keys of one that waits no more."""
        self.waiting -= 1
        for key in habit.seen:
            self.seen[key] -= 1
            if not self.seen[key]:
                del self.seen[key]

    def beside(self, question: Question, answer: object) -> object:
        """The answer of the store with what is here."""
        match question.kind:
            case "seen":
                return answer or question.args[0] in self.seen
            case "place":
                places = [place for place in (answer, self.place) if isinstance(place, LastPlace)]
                return max(places, key=lambda place: place.at, default=None)
            case "raised":
                moments = dict(answer) if isinstance(answer, Mapping) else {}
                for (model, signal), at in self.raised.items():
                    if model == question.args[0]:
                        moments[signal] = max(at, moments.get(signal, at))
                return moments
            case "rate" | "baseline":
                return answer


class Habits:
    """What requests leave behind, on its way to `store`. Belongs to one event loop."""

    def __init__(self, store: HabitStore) -> None:
        self._store = store
        self._waiting: deque[Habit] = deque()
        self._recent: dict[Subject, _Recent] = {}
        self._failing = False
        self._told_full = False
        self._written = self._lost = self._forgotten = 0

    @property
    def counts(self) -> HabitCounts:
        """How it stands now."""
        return HabitCounts(
            waiting=len(self._waiting), written=self._written, lost=self._lost, forgotten=self._forgotten
        )

    def note(self, habit: Habit) -> None:
        """Take what one request leaves behind."""
        if len(self._waiting) >= MOST:
            self._forgotten += 1
            if not self._told_full:
                self._told_full = True
                _log.warning("habits-forgotten", requests=len(self._waiting))
            return
        self._waiting.append(habit)
        self._recent.setdefault(habit.subject, _Recent()).take(habit)

    def beside(self, subject: Subject | None, answers: Mapping[Question, object]) -> Mapping[Question, object]:
        """The answers of the store, with what this process has not written yet: all but the baselines."""
        recent = self._recent.get(subject) if subject is not None else None
        if recent is None:
            return answers
        return {question: recent.beside(question, answer) for question, answer in answers.items()}

    async def follow(self) -> None:
        """Write what is there, for ever."""
        while True:
            await asyncio.sleep(TICK)
            await self.write()

    async def write(self) -> None:
        """Write all that is there. What the store does not take is lost; no error leaves."""
        while self._waiting:
            some = list(islice(self._waiting, BATCH))
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._store.note_habits(some)
            except Exception as error:  # noqa: BLE001 - whatever it is, no decision waits for it
                self._lost += len(some)
                self._failed(error)
                return
            else:
                self._written += len(some)
                self._succeeded()
            finally:
                self._drop(some)

    async def close(self) -> None:
        """Write all that is not written yet, as far as the store takes it in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.write()
        except TimeoutError:
            _log.error("habits-not-written", error=f"not done within {PATIENCE:g} s", requests=len(self._waiting))

    def _drop(self, some: list[Habit]) -> None:
        for habit in some:
            self._waiting.popleft()
            recent = self._recent[habit.subject]
            recent.drop(habit)
            if not recent.waiting:
                del self._recent[habit.subject]

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            known = isinstance(error, ExtauthzError | TimeoutError)
            said = str(error) or type(error).__name__
            _log.error("habits-not-written", error=said, lost=self._lost, exc_info=None if known else error)

    def _succeeded(self) -> None:
        if self._failing:
            _log.info("habits-written-again")
        self._failing = self._told_full = False
