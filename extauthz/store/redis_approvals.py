"""Approvals in a Redis: each in the slot of its subject, where its grants are, and lists of all of them.

The rule: an approval is on the lists before it is there, and on those of what waits for somebody until it waits no
more, so none is forgotten whatever stops halfway. What the lists say is never the last word: whoever reads them looks
at the approvals, and puts right what is not so.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, inf
from typing import Final, Literal

from extauthz.errors import StateUnavailable
from extauthz.store.approval_rows import (
    absence_in,
    approval_in,
    from_mark,
    has_key_until,
    kept_until,
    mark_of,
    most_alike,
    rests_since,
    to_text,
)
from extauthz.store.approvals import (
    MOST_ABSENCES,
    MOST_FINAL,
    ApprovalPage,
    ApprovalQuery,
    Opened,
    Opening,
    Replaced,
    is_unreviewed,
)
from extauthz.store.key_digest import digest
from extauthz.store.letters import WAITING_SECONDS
from extauthz.store.protocol import CLOCK_SKEW, MOST_GRANTS
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_letters import IN_FLIGHT, RedisLetters, letter_words
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import SubjectKeys, grant_words, outcome_in, seconds_kept, texts_in, understood
from extauthz.store.redis_scripts import INDEX_APPROVAL, OPEN_APPROVAL, REPLACE_APPROVAL, UNLIST_APPROVAL, Run
from extauthz.store.redis_server import Reply
from extauthz.values.approvals import Absence, Approval, State
from extauthz.values.grants import Grant
from extauthz.values.letters import Letter

_AT_ONCE: Final = 200
_PENDING: Final[frozenset[State]] = frozenset({"pending"})
_MOST_LOOKS: Final = 25
"""How often the lists are read on for one page: one on which little is meant may be short."""
_LONGEST: Final = 1_000_000_000
"""Seconds that a Redis is asked to keep anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """An approval as it is to be, and all that goes with it."""

    approval: Approval
    grants: Sequence[Grant]
    forget: Sequence[str] = ()
    letters: Sequence[Letter]
    keep: float
    now: float

    @property
    def kept_until(self) -> float:
        """When it is forgotten."""
        return kept_until(self.approval, self.keep)

    @property
    def lives(self) -> int:
        """For how long it is kept at least, in whole seconds."""
        return min(max(1, ceil(self.kept_until - self.now + CLOCK_SKEW)), _LONGEST)


class RedisApprovals:
    """The approvals behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str, letters: RedisLetters) -> None:
        self._calls = calls
        self._prefix = prefix
        self._letters = letters
        self.channel = f"{prefix}:approvals"
        names = ("ages", "places", "due", "pending", "unreviewed", "ends")
        self._lists = tuple(f"{prefix}:{{approvals}}:{name}" for name in names)
        self._ages, self._places, self._due, self._pending, self._unreviewed, _ = self._lists
        self._absences = f"{prefix}:{{approvals}}:absences"

    async def open(self, writing: Writing, *, most_open: int, despite: str) -> Opening:
        """As `ApprovalStore.open_approval`."""
        new = writing.approval
        keys = SubjectKeys.of(self._prefix, new.subject)
        # Nearly always it is joined by who asks once more: then there is nothing to write.
        looking = Run(script=OPEN_APPROVAL, keys=keys.writing, arguments=self._words(writing, "", despite, ""))
        opening = _opening_in(await self._calls.run(looking), new)
        if opening.how is not Opened.OPENED:
            return opening
        await self._announce(writing, keys.tag)
        may = (str(most_open), despite, repr(most_alike(new)))
        run = Run(script=OPEN_APPROVAL, keys=keys.writing, arguments=self._words(writing, *may))
        opening = _opening_in(await self._calls.run(run), new)
        if opening.how is Opened.OPENED:
            await self._settle(writing, keys.tag)
        elif opening.approval is None or opening.approval.id != new.id:
            await self._withdraw(writing, keys.tag)
        return opening

    async def replace(self, writing: Writing, *, version: int) -> Replaced:
        """As `ApprovalStore.replace_approval`."""
        new = writing.approval
        keys = SubjectKeys.of(self._prefix, new.subject)
        await self._announce(writing, keys.tag)
        arguments = (*self._words(writing, str(version), "", ""), *writing.forget)
        run = Run(script=REPLACE_APPROVAL, keys=keys.writing, arguments=arguments)
        replaced = outcome_in(await self._calls.run(run), Replaced)
        if replaced is Replaced.DONE:
            await self._settle(writing, keys.tag)
        return replaced

    async def found(self, ids: Sequence[str]) -> dict[str, Approval]:
        """As `ApprovalStore.approvals_of`."""
        found: dict[str, Approval] = {}
        for start in range(0, len(ids), _AT_ONCE):
            found |= await self._at(await self._tags(ids[start : start + _AT_ONCE]))
        return found

    async def page(self, query: ApprovalQuery, most: int, before: str) -> ApprovalPage:
        """As `ApprovalStore.approvals`."""
        begins = from_mark(before)
        names = self._unreviewed if query.unreviewed else self._pending if query.states == _PENDING else self._ages
        only = None if query.subject is None else SubjectKeys.of(self._prefix, query.subject).tag
        found: dict[str, Approval] = {}
        last = ""
        start = await self._rank(names, begins) if before else 0
        at_once = min(most + 1, _AT_ONCE)
        for look in range(_MOST_LOOKS):
            first = start + look * at_once
            words = ("ZREVRANGE", names, first, first + at_once - 1, "WITHSCORES")
            (reply,) = await self._calls.exchange(Command(key=names, words=words))
            entries = _entries(reply)
            tags = await self._tags([id_ for id_, opened_at in entries if (opened_at, id_) < begins])
            here = await self._at({id_: tag for id_, tag in tags.items() if only in (None, tag)})
            found |= {id_: approval for id_, approval in here.items() if query.includes(approval)}
            if len(found) > most or len(entries) < at_once:
                last = ""
                break
            last = f"{entries[-1][1]!r} {entries[-1][0]}"
        newest = sorted(found.values(), key=lambda one: (one.opened_at, one.id), reverse=True)
        return ApprovalPage(
            approvals=tuple(newest[:most]), next=mark_of(newest[most - 1]) if len(newest) > most else last
        )

    async def _rank(self, names: str, begins: tuple[float, str]) -> int:
        """How many are on this list before those that may be older than where a page begins."""
        rank, newer = await self._calls.exchange(
            Command(key=names, words=("ZREVRANK", names, begins[1])),
            Command(key=names, words=("ZCOUNT", names, f"({begins[0]!r}", "+inf")),
        )
        return max(found for found in (rank, newer) if isinstance(found, int))

    async def due(self, most: int, now: float) -> tuple[Approval, ...]:
        """As `ApprovalStore.due_approvals`."""
        words = ("ZRANGEBYSCORE", self._due, "-inf", repr(now), "LIMIT", 0, most)
        due: list[Approval] = []
        while True:
            (reply,) = await self._calls.exchange(Command(key=self._due, words=words))
            ids = [_text(id_) for id_ in texts_in(reply)]
            tags = await self._tags(ids)
            found = await self._at(tags)
            wrong = 0
            for id_ in ids:
                approval = found.get(id_)
                if approval is None:
                    wrong += await self._unlist(id_, now)
                elif approval.state == "pending" and approval.due_at is not None and approval.due_at <= now:
                    due.append(approval)
                else:
                    await self._calls.run(self._index("after", approval, tags[id_], now))
                    wrong += 1
            if due or not wrong:
                return tuple(sorted(due, key=lambda one: (one.due_at or 0.0, one.id)))

    async def put_absence(self, absence: Absence, now: float) -> bool:
        """As `ApprovalStore.put_absence`."""
        known = await self._all_absences()
        over = [id_ for id_, one in known.items() if one.until <= now]
        if absence.id not in known and len(known) - len(over) >= MOST_ABSENCES:
            return False
        last = max([absence.until, *(one.until for one in known.values())])
        kept = min(seconds_kept(last, now), _LONGEST)
        commands: list[tuple[str | int, ...]] = [
            ("HSET", self._absences, absence.id, to_text(absence)),
            ("EXPIRE", self._absences, kept),
        ]
        if over:
            commands.append(("HDEL", self._absences, *over))
        await self._calls.exchange(*(Command(key=self._absences, words=words) for words in commands))
        return True

    async def end_absence(self, id_: str, now: float) -> bool:
        """As `ApprovalStore.end_absence`."""
        known, gone = await self._calls.exchange(
            Command(key=self._absences, words=("HGET", self._absences, id_)),
            Command(key=self._absences, words=("HDEL", self._absences, id_)),
        )
        return isinstance(known, bytes) and gone == 1 and _absence_in(known).until > now

    async def absences(self, now: float) -> tuple[Absence, ...]:
        """As `ApprovalStore.absences`."""
        found = [one for one in (await self._all_absences()).values() if one.until > now]
        return tuple(sorted(found, key=lambda one: (one.since, one.id)))

    async def _all_absences(self) -> dict[str, Absence]:
        (reply,) = await self._calls.exchange(Command(key=self._absences, words=("HGETALL", self._absences)))
        fields = texts_in(reply)
        return {_text(id_): _absence_in(text) for id_, text in zip(fields[::2], fields[1::2], strict=True)}

    async def _announce(self, writing: Writing, tag: str) -> None:
        """List what is going to be written."""
        listed = self._index("before", writing.approval, tag, writing.now, writing)
        await self._calls.run(listed, *self._letters.announced(writing.letters, tag, writing.now))

    async def _settle(self, writing: Writing, tag: str) -> None:
        """Let what was written be on the lists as what it is. If it can't be, whoever reads them puts it right."""
        with suppress(StateUnavailable):
            await self._calls.run(
                self._index("after", writing.approval, tag, writing.now, writing),
                *self._letters.written(writing.letters, tag, writing.now),
            )

    async def _withdraw(self, writing: Writing, tag: str) -> None:
        """List no more what was not written, nor will be."""
        gone = Run(script=UNLIST_APPROVAL, keys=self._lists, arguments=(writing.approval.id,))
        with suppress(StateUnavailable):
            await self._calls.run(gone, *self._letters.withdrawn(writing.letters, tag, writing.now))

    async def _unlist(self, id_: str, now: float) -> bool:
        """List no more what is not there, unless somebody is about to write it."""
        (reply,) = await self._calls.exchange(Command(key=self._ages, words=("ZSCORE", self._ages, id_)))
        with understood():
            opened_at = float(reply) if isinstance(reply, bytes) else -inf
        if opened_at + IN_FLIGHT > now:
            return False
        await self._calls.run(Run(script=UNLIST_APPROVAL, keys=self._lists, arguments=(id_,)))
        return True

    def _index(
        self,
        when: Literal["before", "after"],
        approval: Approval,
        tag: str,
        now: float,
        writing: Writing | None = None,
    ) -> Run:
        arguments = (
            when,
            repr(now),
            approval.id,
            tag,
            str(approval.version),
            repr(approval.opened_at),
            "" if approval.due_at is None or approval.state != "pending" else repr(approval.due_at),
            "1" if approval.state == "pending" else "",
            "1" if is_unreviewed(approval) else "",
            "" if writing is None else repr(writing.kept_until),
            1 if writing is None else writing.lives,
        )
        return Run(script=INDEX_APPROVAL, keys=self._lists, arguments=arguments)

    def _words(self, writing: Writing, *more: str) -> tuple[str | bytes | int, ...]:
        """What the scripts take that write it."""
        new, now = writing.approval, writing.now
        key = digest(new.key)
        head = f"{new.version} {new.state} {has_key_until(new)!r} {key} {digest(new.alike)} "
        ends = max((grant.expires_at for grant in writing.grants), default=now)
        return (
            repr(now),
            new.id,
            head + to_text(new),
            key,
            repr(new.expires_at) if new.state == "pending" else "",
            repr(writing.kept_until),
            repr(writing.keep),
            MOST_FINAL,
            self.channel,
            max(writing.lives, int(WAITING_SECONDS)) if writing.letters else writing.lives,
            repr(rests_since(new)),
            MOST_GRANTS,
            seconds_kept(ends, now),
            len(writing.grants),
            len(writing.letters),
            *more,
            *(word for grant in writing.grants for word in grant_words(grant)),
            *(word for letter in writing.letters for word in letter_words(letter)),
        )

    async def _tags(self, ids: Sequence[str]) -> dict[str, str]:
        """In whose slots these approvals are; those that nobody knows are left out."""
        if not ids:
            return {}
        (reply,) = await self._calls.exchange(Command(key=self._places, words=("HMGET", self._places, *ids)))
        if not isinstance(reply, list):
            raise StateUnavailable(f"store: not a list, but {type(reply).__name__}")
        places = {id_: place for id_, place in zip(ids, reply, strict=True) if isinstance(place, bytes)}
        return {id_: _text(place).partition(" ")[0] for id_, place in places.items()}

    async def _at(self, tags: Mapping[str, str]) -> dict[str, Approval]:
        """Those approvals that are where they are said to be, by id."""
        ids_at: dict[str, list[str]] = {}
        for id_, tag in tags.items():
            ids_at.setdefault(SubjectKeys.tagged(self._prefix, tag).approvals, []).append(id_)
        asked = (Command(key=key, words=("HMGET", key, *ids)) for key, ids in ids_at.items())
        replies = await self._calls.exchange(*asked)
        texts = (text for reply in replies if isinstance(reply, list) for text in reply if isinstance(text, bytes))
        return {approval.id: approval for approval in map(_approval_in, texts)}


def _opening_in(results: Sequence[Reply], new: Approval) -> Opening:
    said, *known = texts_in(results[0])
    with understood():
        how = Opened(said.decode("ascii"))
    if how is Opened.OPENED:
        return Opening(how=how, approval=new)
    return Opening(how=how, approval=_approval_in(known[0]) if known else None)


@understood()
def _approval_in(kept: bytes) -> Approval:
    return approval_in(kept.split(b" ", 5)[5])


@understood()
def _absence_in(text: bytes) -> Absence:
    return absence_in(text)


@understood()
def _entries(reply: Reply) -> list[tuple[str, float]]:
    words = texts_in(reply)
    return [(id_.decode("utf-8"), float(score)) for id_, score in zip(words[::2], words[1::2], strict=True)]


@understood()
def _text(text: bytes) -> str:
    return text.decode("utf-8")
