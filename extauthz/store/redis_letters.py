"""Letters in a Redis: each in the slot of its subject, where it is written with its approval, those that tell of none
in one slot of their own, and lists of all of them.

The rule: a letter is on the lists before it is there, and until it is there no more, so none is forgotten whatever
stops halfway. What is on a list and not there, or otherwise than the list says, is put right by whoever looks at it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from extauthz.errors import StateUnavailable
from extauthz.store.key_digest import digest
from extauthz.store.letters import DEAD_SECONDS, WAITING_SECONDS
from extauthz.store.protocol import CLOCK_SKEW, SWEEP_SECONDS
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import SubjectKeys, texts_in, understood
from extauthz.store.redis_scripts import (
    CHANGE_LETTER,
    CLAIM_LETTER,
    DUE_LETTERS,
    INDEX_LETTER,
    PUT_LETTERS,
    Run,
)
from extauthz.store.redis_server import Reply
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState

_KEPT: Final = int(WAITING_SECONDS + CLOCK_SKEW)
_AT_ONCE: Final = 200
IN_FLIGHT: Final = 2 * CLOCK_SKEW
"""How long something may be on the lists before it is there, by the clock of whoever looks: those of two may differ."""
_AGAIN_SECONDS: Final = 5.0
"""When a letter is looked for again that is on the lists already, and not there yet."""
_MOST_UNSEEN: Final = 1_000
"""How many letters of a sink are looked for when letters are counted, of those that may be on the lists alone."""

_EVENTS: Final = "events"
"""The tag of letters that tell of no approval; those of subjects are longer."""

_Known = Literal["new", "written", "missing", "again", "waits", "dead", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    tag: str
    listed_at: float
    sink: str

    @classmethod
    def read(cls, text: bytes) -> "_Place":
        with understood():
            tag, listed_at, sink = text.decode("utf-8").split(" ", 2)
            return cls(tag=tag, listed_at=float(listed_at), sink=sink)


class RedisLetters:
    """The letters behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix
        self._places = f"{prefix}:{{approvals}}:letters"
        self._sinks = f"{prefix}:{{approvals}}:sinks"
        self._swept_at = 0.0

    def announced(self, letters: Iterable[Letter], tag: str, now: float) -> list[Run]:
        """What lists letters that are going to be in the slot with this tag."""
        return self._index_all("new", letters, tag, now)

    def written(self, letters: Iterable[Letter], tag: str, now: float) -> list[Run]:
        """What says of letters that were announced that they are there, or were."""
        return self._index_all("written", letters, tag, now)

    def withdrawn(self, letters: Iterable[Letter], tag: str, now: float) -> list[Run]:
        """What takes letters off the lists that were announced, and will not be there."""
        return self._index_all("gone", letters, tag, now)

    async def put(self, sink: str, letters: Sequence[Letter], most: int, now: float) -> int:
        """As `LetterStore.put_letters`."""
        asked = (Command(key=key, words=("ZCARD", key)) for key in (self._waiting(sink), self._dead(sink)))
        waiting, dead = await self._calls.exchange(*asked)
        if not (isinstance(waiting, int) and isinstance(dead, int)):
            raise StateUnavailable("store: not a count")
        if dead > most:
            await self._forget(self._dead(sink), ("ZRANGE", self._dead(sink), 0, min(dead - most, _AT_ONCE) - 1))
        kept = letters[: max(0, most - waiting)]
        if kept:
            words = [word for letter in kept for word in letter_words(letter)]
            keys = (SubjectKeys.tagged(self._prefix, _EVENTS).letters,)
            await self._calls.run(*self.announced(kept, _EVENTS, now))
            await self._calls.run(Run(script=PUT_LETTERS, keys=keys, arguments=(repr(now), _KEPT, *words)))
            await self._calls.run(*self.written(kept, _EVENTS, now))
        return len(kept)

    async def claim(self, sink: str, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        """As `LetterStore.claim_letters`."""
        await self._sweep(now)
        claimed: list[Claim] = []
        while len(claimed) < most:
            wanted = most - len(claimed)
            keys = (self._places, self._waiting(sink))
            (reply,) = await self._calls.run(Run(script=DUE_LETTERS, keys=keys, arguments=(repr(now), wanted)))
            words = texts_in(reply)
            due = {_text(id_): place for id_, place in zip(words[::2], words[1::2], strict=True)}
            claimed += await self._claim(sink, due, lease, now)
            if len(due) < wanted:
                break
        return tuple(claimed)

    async def done(self, id_: str) -> bool:
        """As `LetterStore.letter_done`."""
        place = await self._place(id_)
        if place is None:
            return False
        changed = await self._change("done", id_, place, at=0.0)
        await self._calls.run(self._index("gone", id_, place, 0.0))
        return changed

    async def later(self, id_: str, attempt: int, *, due_at: float, error: str) -> bool:
        """As `LetterStore.letter_later`."""
        place = await self._place(id_)
        if place is None or not await self._change("later", id_, place, attempt, at=due_at, error=error):
            return False
        await self._calls.run(self._index("waits", id_, place, due_at))
        return True

    async def dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        """As `LetterStore.letter_dead`."""
        place = await self._place(id_)
        if place is None:
            return False
        changed = await self._change("dead", id_, place, attempt, at=now, error=error)
        if changed:
            await self._calls.run(self._index("dead", id_, place, now))
        return changed

    async def listed(self, dead: bool | None, sink: str | None, most: int, after: str) -> tuple[LetterState, ...]:
        """As `LetterStore.letters`."""
        places = await self._all_places()
        ids = sorted(id_ for id_, place in places.items() if id_ > after and sink in (None, place.sink))
        found: list[LetterState] = []
        for start in range(0, len(ids), _AT_ONCE):
            states = await self._states({id_: places[id_] for id_ in ids[start : start + _AT_ONCE]})
            found += [state for state in states if dead in (None, state.dead_at is not None)]
            if len(found) >= most:
                break
        return tuple(found[:most])

    async def replay(self, ids: Sequence[str] | None, sink: str | None, now: float) -> int:
        """As `LetterStore.replay_letters`."""
        again, after = 0, ""
        while True:
            dead = await self.listed(True, sink, _AT_ONCE, after)
            for state in dead:
                place = await self._place(state.letter.id)
                if place is None or (ids is not None and state.letter.id not in ids):
                    continue
                await self._calls.run(self._index("again", state.letter.id, place, now, told_at=state.letter.at))
                again += await self._change("again", state.letter.id, place, at=now)
            if len(dead) < _AT_ONCE:
                return again
            after = dead[-1].letter.id

    async def counts(self) -> Mapping[str, LetterCounts]:
        """As `LetterStore.letter_counts`."""
        (reply,) = await self._calls.exchange(Command(key=self._sinks, words=("SMEMBERS", self._sinks)))
        sinks = [_text(sink) for sink in texts_in(reply)]
        missing = await self._missing(sinks)
        asked = (
            words
            for sink in sinks
            for words in (
                ("ZCARD", self._waiting(sink)),
                ("ZCARD", self._dead(sink)),
                ("ZRANGE", self._ages(sink), 0, len(missing), "WITHSCORES"),
            )
        )
        replies = await self._calls.exchange(*(Command(key=self._sinks, words=words) for words in asked))
        counts: dict[str, LetterCounts] = {}
        for index, sink in enumerate(sinks):
            waiting, dead, oldest = replies[3 * index : 3 * index + 3]
            if not (isinstance(waiting, int) and isinstance(dead, int)):
                raise StateUnavailable("store: not a count")
            words = texts_in(oldest)
            with understood():
                ages = [float(at) for id_, at in zip(words[::2], words[1::2], strict=True) if id_ not in missing]
            there = max(0, waiting - sum(of == sink for of in missing.values()))
            counts[sink] = LetterCounts(waiting=there, dead=dead, oldest_at=ages[0] if ages else None)
        return counts

    async def _missing(self, sinks: Sequence[str]) -> Mapping[bytes, str]:
        """The sinks of letters that are on the lists and not there: not yet, or not any more and nobody has said so."""
        replies = await self._calls.exchange(
            *(Command(key=self._sinks, words=("ZRANGE", self._unseen(sink), 0, _MOST_UNSEEN - 1)) for sink in sinks)
        )
        unseen = {id_: sink for sink, reply in zip(sinks, replies, strict=True) for id_ in texts_in(reply)}
        if not unseen:
            return {}
        (reply,) = await self._calls.exchange(Command(key=self._places, words=("HMGET", self._places, *unseen)))
        if not isinstance(reply, list):
            raise StateUnavailable(f"store: not a list, but {type(reply).__name__}")
        keys = {
            id_: SubjectKeys.tagged(self._prefix, _Place.read(place).tag).letters
            for id_, place in zip(unseen, reply, strict=True)
            if isinstance(place, bytes)
        }
        asked = (Command(key=key, words=("HEXISTS", key, b"state:" + id_)) for id_, key in keys.items())
        replies = await self._calls.exchange(*asked)
        return {id_: unseen[id_] for id_, reply in zip(keys, replies, strict=True) if reply == 0}

    async def _claim(self, sink: str, due: Mapping[str, bytes], lease: float, now: float) -> list[Claim]:
        places = {
            id_: _Place.read(place) if place else _Place(tag="", listed_at=0.0, sink=sink) for id_, place in due.items()
        }
        until = now + lease
        claims = (
            Run(
                script=CLAIM_LETTER,
                keys=(SubjectKeys.tagged(self._prefix, place.tag).letters,),
                arguments=(repr(now), repr(until), id_, _KEPT),
            )
            for id_, place in places.items()
        )
        replies = await self._calls.run(*claims)
        claimed: list[Claim] = []
        settled: list[Run] = []
        for (id_, place), reply in zip(places.items(), replies, strict=True):
            said, *rest = texts_in(reply)
            if said == b"claimed":
                claimed.append(_claim_in(id_, rest))
                settled.append(self._index("waits", id_, place, until))
            elif said == b"waits":
                settled.append(self._index("waits", id_, place, _number(rest[0])))
            elif said == b"dead":
                settled.append(self._index("dead", id_, place, _number(rest[0])))
            elif place.listed_at + IN_FLIGHT > now:
                settled.append(self._index("missing", id_, place, now + _AGAIN_SECONDS))
            else:
                settled.append(self._index("gone", id_, place, now))
        await self._calls.run(*settled)
        return claimed

    async def _sweep(self, now: float) -> None:
        """Forget what is kept no longer, every so often."""
        if self._swept_at <= now < self._swept_at + SWEEP_SECONDS:
            return
        self._swept_at = now
        for sink in await self.counts():
            for key, kept in ((self._dead(sink), DEAD_SECONDS), (self._waiting(sink), WAITING_SECONDS)):
                words = ("ZRANGEBYSCORE", key, "-inf", repr(now - kept), "LIMIT", 0, _AT_ONCE)
                await self._forget(key, words)

    async def _forget(self, key: str, words: Sequence[str | bytes | int]) -> None:
        """Forget the letters that a list has at this key."""
        (reply,) = await self._calls.exchange(Command(key=key, words=tuple(words)))
        for id_ in texts_in(reply):
            await self.done(_text(id_))

    async def _states(self, places: Mapping[str, _Place]) -> list[LetterState]:
        """How it stands with those of these letters that are there."""
        asked = (
            Command(key=key, words=("HMGET", key, f"state:{id_}", f"head:{id_}", f"content:{id_}"))
            for id_, key in (
                (id_, SubjectKeys.tagged(self._prefix, place.tag).letters) for id_, place in places.items()
            )
        )
        replies = await self._calls.exchange(*asked)
        return [
            _state_in(id_, reply)
            for id_, reply in zip(places, replies, strict=True)
            if isinstance(reply, list) and reply[0] is not None
        ]

    async def _all_places(self) -> dict[str, _Place]:
        found: dict[str, _Place] = {}
        cursor = "0"
        while True:
            words = ("HSCAN", self._places, cursor, "COUNT", 5 * _AT_ONCE)
            (reply,) = await self._calls.exchange(Command(key=self._places, words=words))
            if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], bytes)):
                raise StateUnavailable(f"store: no list of letters, but {type(reply).__name__}")
            fields = texts_in(reply[1])
            found |= {_text(id_): _Place.read(place) for id_, place in zip(fields[::2], fields[1::2], strict=True)}
            cursor = _text(reply[0])
            if cursor == "0":
                return found

    async def _place(self, id_: str) -> _Place | None:
        (reply,) = await self._calls.exchange(Command(key=self._places, words=("HGET", self._places, id_)))
        return _Place.read(reply) if isinstance(reply, bytes) else None

    async def _change(
        self,
        what: Literal["done", "later", "dead", "again"],
        id_: str,
        place: _Place,
        attempt: int = 0,
        *,
        at: float,
        error: str = "",
    ) -> bool:
        keys = (SubjectKeys.tagged(self._prefix, place.tag).letters,)
        arguments = (what, id_, str(attempt), repr(at), json.dumps(error), _KEPT)
        return await self._calls.run(Run(script=CHANGE_LETTER, keys=keys, arguments=arguments)) == [1]

    def _index_all(self, known: _Known, letters: Iterable[Letter], tag: str, now: float) -> list[Run]:
        return [
            self._index(known, one.id, _Place(tag=tag, listed_at=now, sink=one.sink), now, told_at=one.at)
            for one in letters
        ]

    def _index(self, known: _Known, id_: str, place: _Place, at: float, *, told_at: float = 0.0) -> Run:
        sink = place.sink
        where = f"{place.tag} {place.listed_at!r} {sink}"
        return Run(
            script=INDEX_LETTER,
            keys=(
                *(self._places, self._sinks),
                *(self._waiting(sink), self._ages(sink), self._dead(sink), self._unseen(sink)),
            ),
            arguments=(known, id_, where, sink, repr(at), repr(told_at), _KEPT),
        )

    def _waiting(self, sink: str) -> str:
        return f"{self._prefix}:{{approvals}}:waiting:{digest(sink)}"

    def _ages(self, sink: str) -> str:
        return f"{self._prefix}:{{approvals}}:ages:{digest(sink)}"

    def _dead(self, sink: str) -> str:
        return f"{self._prefix}:{{approvals}}:dead:{digest(sink)}"

    def _unseen(self, sink: str) -> str:
        return f"{self._prefix}:{{approvals}}:unseen:{digest(sink)}"


def letter_words(letter: Letter) -> tuple[str | bytes, ...]:
    """A letter as the scripts that write one take it: id, head, content."""
    head = json.dumps([letter.sink, letter.to, letter.event, letter.kind, letter.approval, letter.at])
    return (letter.id, head, letter.content)


@understood()
def _letter_in(id_: str, head: bytes, content: bytes) -> Letter:
    sink, to, event, kind, approval, at = json.loads(head)
    return Letter(id=id_, sink=sink, to=to, event=event, kind=kind, approval=approval, at=at, content=content)


@understood()
def _claim_in(id_: str, words: Sequence[bytes]) -> Claim:
    attempt, head, content = words
    return Claim(letter=_letter_in(id_, head, content), attempt=int(attempt))


@understood()
def _state_in(id_: str, reply: Reply) -> LetterState:
    state, head, content = texts_in(reply)
    due_at, attempts, dead_at, error = state.split(b" ", 3)
    return LetterState(
        letter=_letter_in(id_, head, content),
        attempts=int(attempts),
        due_at=float(due_at),
        error=json.loads(error),
        dead_at=None if dead_at == b"-" else float(dead_at),
    )


@understood()
def _number(text: bytes) -> float:
    return float(text)


@understood()
def _text(text: bytes) -> str:
    return text.decode("utf-8")
