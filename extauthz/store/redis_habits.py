"""What is usual, in a Redis: counters, and what each subject is used to do.

The rules: each counter has a slot of its own, and what a subject is used to do is in that of the subject. A baseline is
read, added to here and written back if nobody else has written it meanwhile; else that is done again.

Under a counter's tag: hash, how often it was by the number of the step. Under a subject: `keys`, sorted set, when which
key came; `baselines`, hash, the sketches, and `ages`, sorted set, when something was added to each; `place`, where it
was ('at latitude longitude accuracy'); `raised`, sorted set, when which signal was raised.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.errors import StateUnavailable
from extauthz.risk.sketch import Sketch
from extauthz.risk.sliding import STEPS, first_step, kept_for, step_of
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
from extauthz.store.protocol import CLOCK_SKEW
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import texts_in, understood
from extauthz.store.redis_scripts import COUNT, NOTE_HABITS, Run
from extauthz.store.redis_server import Reply, Words
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

_TRIES: Final = 32
"""How often a baseline is written that others keep changing meanwhile; each time one of them all gets through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HabitKeys:
    """The keys under which is kept what one subject is used to do."""

    seen: str
    baselines: str
    ages: str
    place: str
    raised: str

    @classmethod
    def of(cls, prefix: str, subject: Subject) -> "HabitKeys":
        """Those of this subject."""
        under = f"{prefix}:{{{digest(subject.key)}}}"
        return cls(
            seen=f"{under}:keys",
            baselines=f"{under}:baselines",
            ages=f"{under}:ages",
            place=f"{under}:place",
            raised=f"{under}:raised",
        )


class HabitQuestions:
    """Questions as what a Redis is asked: `asked`, each with one reply. Who the `subject` is decides what is asked."""

    def __init__(self, prefix: str, subject: Subject | None, questions: Sequence[Question], now: float) -> None:
        self._now = now
        self._questions: list[Question] = []
        self.asked: list[Command | Run] = []
        for rate in about(questions, "rate"):
            self._ask(rate, _counting(prefix, rate, now))
        if subject is None:
            return
        keys = HabitKeys.of(prefix, subject)
        for question in about(questions, "seen"):
            self._ask(question, _command("ZSCORE", keys.seen, digest(str(question.args[0]))))
        for question in about(questions, "baseline"):
            self._ask(question, _command("HGET", keys.baselines, place_of(question)))
        for question in about(questions, "place"):
            self._ask(question, _command("GET", keys.place))
        for question in about(questions, "raised"):
            self._ask(question, _command("ZRANGE", keys.raised, "0", "-1", "WITHSCORES"))

    def _ask(self, question: Question, asked: Command | Run) -> None:
        self._questions.append(question)
        self.asked.append(asked)

    @understood()
    def answers(self, replies: Sequence[Reply]) -> dict[Question, object]:
        """The answers in the replies to what was `asked`."""
        return {
            question: self._answer(question, reply) for question, reply in zip(self._questions, replies, strict=True)
        }

    def _answer(self, question: Question, reply: Reply) -> object:
        now = self._now
        match question.kind:
            case "rate":
                if not isinstance(reply, int):
                    raise TypeError("not a count")
                return reply
            case "seen":
                return isinstance(reply, bytes) and float(reply) + SEEN_SECONDS > now
            case "baseline":
                return quantiles_of(_sketch(reply), now)
            case "place":
                place = None if not isinstance(reply, bytes) else _last_place(reply)
                return place if place is not None and place.at + PLACE_SECONDS > now else None
            case _:
                return _raised(reply, str(question.args[0]), now)


class RedisHabits:
    """What is usual behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix

    async def note(self, habits: Iterable[Habit]) -> None:
        """As `Store.note_habits`."""
        left = [(HabitKeys.of(self._prefix, subject), one) for subject, one in by_subject(habits)]
        for _ in range(_TRIES):
            left = await self._note(left)
            if not left:
                return
        raise StateUnavailable("store: a baseline is changed by others again and again")

    async def _note(self, left: Sequence[tuple[HabitKeys, Left]]) -> list[tuple[HabitKeys, Left]]:
        """Write it; what is left of it are baselines that others have changed meanwhile."""
        reading = [
            Command(key=keys.baselines, words=("HMGET", keys.baselines, *one.numbers))
            for keys, one in left
            if one.numbers
        ]
        replies = iter(await self._calls.exchange(*reading) if reading else ())
        runs: list[Run] = []
        with understood():
            for keys, one in left:
                before = next(replies) if one.numbers else []
                if not isinstance(before, list):
                    raise TypeError("not a list")
                runs.append(_noting(keys, one, before))
        changed = await self._calls.run(*runs)
        again: list[tuple[HabitKeys, Left]] = []
        with understood():
            for (keys, one), names in zip(left, changed, strict=True):
                lost = {name.decode("ascii") for name in texts_in(names)}
                if lost:
                    numbers = {name: added for name, added in one.numbers.items() if name in lost}
                    again.append((keys, Left(seen={}, numbers=numbers, place=None, raised={})))
        return again


def _counting(prefix: str, rate: Question, now: float) -> Run:
    window = window_of(rate)
    first = first_step(now, window)
    arguments = (step_of(now, window), first, first - STEPS, math.ceil(kept_for(window)) + 1)
    return Run(script=COUNT, keys=(f"{prefix}:{{rate:{place_of(rate)}}}",), arguments=arguments)


def _noting(keys: HabitKeys, left: Left, before: Sequence[Reply]) -> Run:
    words: list[str | bytes | int] = []
    for name, reply in zip(left.numbers, before, strict=True):
        sketch = left.added(name, _sketch(reply))
        words += [name, reply if isinstance(reply, bytes) else b"", sketch.to_text(), repr(sketch.at)]
    for name, at in left.seen.items():
        words += [name, repr(at)]
    for named, at in left.raised.items():
        words += [json.dumps(named), repr(at)]
    kept = (SEEN_SECONDS, BASELINE_SECONDS, PLACE_SECONDS, RAISED_SECONDS)
    arguments = (
        *(int(seconds + CLOCK_SKEW) for seconds in kept),
        MOST_SEEN,
        MOST_BASELINES,
        MOST_RAISED,
        "" if left.place is None else _place_text(left.place),
        len(left.numbers),
        len(left.seen),
        *words,
    )
    return Run(
        script=NOTE_HABITS, keys=(keys.seen, keys.baselines, keys.ages, keys.place, keys.raised), arguments=arguments
    )


def _place_text(place: LastPlace) -> str:
    return f"{place.at!r} {place.latitude!r} {place.longitude!r} {place.accuracy_km!r}"


def _last_place(text: bytes) -> LastPlace:
    at, latitude, longitude, accuracy_km = map(float, text.split(b" "))
    return LastPlace(latitude=latitude, longitude=longitude, accuracy_km=accuracy_km, at=at)


def _sketch(reply: Reply) -> Sketch | None:
    return Sketch.from_text(reply.decode("ascii")) if isinstance(reply, bytes) else None


def _raised(reply: Reply, model: str, now: float) -> dict[str, float]:
    words = texts_in(reply)
    moments: dict[str, float] = {}
    for text, at in zip(words[::2], words[1::2], strict=True):
        named, signal = json.loads(text)
        if named == model and float(at) + RAISED_SECONDS > now:
            moments[signal] = float(at)
    return moments


def _command(verb: str, key: str, *words: str) -> Command:
    sent: Words = (verb, key, *words)
    return Command(key=key, words=sent)
