"""Revocations in a Redis, and signals beside them: what is in force, and the marks of changes that others go by.

The rules: whatever changes leaves a mark, in the same step; a mark has a random tag beside its number, so that a Redis
that lost writes or was restored is never taken for the one that was read before. All of it is in one slot.

What subjects have is in slots of their own, so a revocation is two steps: what everybody reads, then a mark beside the
grants of its subject, which go with it in the same step. Whoever leaves a grant looks at the marks in that step. A
mark goes before what it stands for.
"""

import json
import os
from collections.abc import AsyncIterator, Iterable
from typing import Final

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import KINDS, Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal, signal_key, signal_of
from extauthz.store.key_digest import digest
from extauthz.store.protocol import CLOCK_SKEW
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import SubjectKeys, texts_in, understood
from extauthz.store.redis_scripts import CHANGED_REVOCATIONS, PUT_REVOCATION, VOID, WITHDRAW_REVOCATION, Run
from extauthz.store.redis_server import Words
from extauthz.store.revocations import REMEMBERED_CHANGES, Changes, Revoked
from extauthz.values.identity import Subject

_TAG_BYTES: Final = 8
_AT_ONCE: Final = 500


class RedisRevocations:
    """The revocations behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix
        names = ("kept", "ends", "changes", "marks")
        self._kept, self._ends, self._changes, self._marks = (f"{prefix}:{{revocations}}:{name}" for name in names)

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """What scripts that change something here take: what is kept, when it ends, the changes, the marks."""
        return self._kept, self._ends, self._changes, self._marks

    @staticmethod
    def new_tag() -> str:
        """What tells a mark from others of its number."""
        return os.urandom(_TAG_BYTES).hex()

    async def put(self, revocation: Revocation, *, now: float) -> Revoked:
        """As `RevocationStore.put_revocation`."""
        key = _key_text(revocation.key)
        subject = json.dumps([revocation.subject.issuer, revocation.subject.id])
        times = (repr(revocation.at), repr(revocation.until))
        arguments = (repr(now), repr(now - CLOCK_SKEW), key, *times, subject, self.new_tag(), REMEMBERED_CHANGES)
        run = Run(script=PUT_REVOCATION, keys=self.keys, arguments=arguments)
        (reply,) = await self._calls.run(run)
        with understood():
            at, until = map(float, texts_in(reply))
        kept = Revocation.of_key(revocation.key, revocation.subject, at=at, until=until)
        mark = _mark(kept)
        return Revoked(revocation=kept, grants=0 if mark is None else await self._void(kept, mark, now))

    async def _void(self, kept: Revocation, mark: str, now: float) -> int:
        keys = SubjectKeys.of(self._prefix, kept.subject)
        which = "none"
        if kept.voids_grants:
            which = "all" if kept.session is None else digest(kept.session)
        run = Run(
            script=VOID,
            keys=(keys.grants, keys.ends, keys.marks),
            arguments=(repr(now), repr(CLOCK_SKEW), mark, repr(kept.at), repr(kept.until), which),
        )
        (good,) = await self._calls.run(run)
        if not isinstance(good, int):
            raise StateUnavailable(f"store: not a count, but {type(good).__name__}")
        return good

    async def withdraw(self, key: RevocationKey, *, now: float) -> bool:
        """False if it was not in force."""
        words: Words = ("HGET", self._kept, _key_text(key))
        (known,) = await self._calls.exchange(Command(key=self._kept, words=words))
        with understood():
            there = _revocation(key, known) if isinstance(known, bytes) else None
        subject = Subject(key.issuer, key.name) if there is None else there.subject
        mark = _mark(Revocation.of_key(key, subject, at=now, until=now))
        if mark is not None:
            marks = SubjectKeys.of(self._prefix, subject).marks
            await self._calls.exchange(Command(key=marks, words=("HDEL", marks, mark)))
        run = Run(
            script=WITHDRAW_REVOCATION,
            keys=self.keys,
            arguments=(_key_text(key), self.new_tag(), REMEMBERED_CHANGES),
        )
        (reply,) = await self._calls.run(run)
        with understood():
            (until,) = texts_in(reply)
            return until != b"" and float(until) > now

    async def listed(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        """What is in force of this subject, of everybody for `None`; oldest first."""
        revocations, _ = _apart([one async for one in self._all()])
        found = [one for one in revocations if one.until > now and subject in (None, one.subject)]
        return tuple(sorted(found, key=lambda revocation: (revocation.at, revocation.key)))

    async def signals(self) -> tuple[Signal, ...]:
        """All signals that are kept, whether they have ended or not."""
        return _apart([one async for one in self._all()])[1]

    async def changes(self, since: str | None) -> Changes:
        """As `RevocationStore.revocation_changes`.

        What changes while this reads is newer than the mark, so it is told again by the next call.
        """
        arguments = (since or "", REMEMBERED_CHANGES)
        run = Run(script=CHANGED_REVOCATIONS, keys=(self._changes, self._marks), arguments=arguments)
        (reply,) = await self._calls.run(run)
        with understood():
            newest, known, *keys = texts_in(reply)
            mark = newest.decode("ascii")
        if known != b"1":
            revocations, signals = _apart([one async for one in self._all()])
            return Changes(mark=mark, whole=True, put=revocations, signals=signals)
        found: list[Revocation | Signal] = []
        withdrawn: list[RevocationKey] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            words: Words = ("HMGET", self._kept, *some)
            (values,) = await self._calls.exchange(Command(key=self._kept, words=words))
            if not isinstance(values, list):
                raise StateUnavailable(f"store: not a list, but {type(values).__name__}")
            with understood():
                for text, value in zip(some, values, strict=True):
                    if isinstance(value, bytes):
                        found.append(_entry(text, value))
                    elif signal_key(text) is None:
                        withdrawn.append(_key(text))
        put, signals = _apart(found)
        return Changes(mark=mark, whole=False, put=put, withdrawn=tuple(withdrawn), signals=signals)

    async def _all(self) -> AsyncIterator[Revocation | Signal]:
        """Everything that is there all along; some of it may come twice."""
        cursor = b"0"
        while True:
            words: Words = ("HSCAN", self._kept, cursor, "COUNT", _AT_ONCE)
            (reply,) = await self._calls.exchange(Command(key=self._kept, words=words))
            if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], bytes)):
                raise StateUnavailable(f"store: not a part of a hash, but {type(reply).__name__}")
            with understood():
                texts = texts_in(reply[1])
                found = [_entry(key, value) for key, value in zip(texts[::2], texts[1::2], strict=True)]
            for one in found:
                yield one
            cursor = reply[0]
            if cursor == b"0":
                return


def _mark(revocation: Revocation) -> str | None:
    """The field of its subject's marks; a token and a device have none, since no grant goes with them."""
    match revocation.kind:
        case "block" | "tokens":
            return revocation.kind
        case "session":
            return None if revocation.session is None else f"session:{digest(revocation.session)}"
        case "token" | "device" | "devices":
            return None


def _key_text(key: RevocationKey) -> str:
    # As JSON: it is ASCII, whatever was in a claim.
    return json.dumps([key.kind, key.issuer, key.name], separators=(",", ":"))


def _key(text: bytes) -> RevocationKey:
    kind, issuer, name = json.loads(text)
    if kind not in KINDS:
        raise StateUnavailable(f"store: `{kind}` is no kind of revocation; a newer version has written it")
    return RevocationKey(kind, issuer, name)


def _entry(key: bytes, value: bytes) -> Revocation | Signal:
    of_signal = signal_key(key)
    if of_signal is None:
        return _revocation(_key(key), value)
    at, until, _, content = value.split(b" ", 3)
    return signal_of(of_signal, content, at=float(at), until=float(until))


def _revocation(key: RevocationKey, value: bytes) -> Revocation:
    at, until, subject = value.split(b" ", 2)
    return Revocation.of_key(key, Subject(*json.loads(subject)), at=float(at), until=float(until))


def _apart(entries: Iterable[Revocation | Signal]) -> tuple[tuple[Revocation, ...], tuple[Signal, ...]]:
    """The revocations and the signals; of those that were seen twice, what the later look saw."""
    there = {one.key: one for one in entries}
    revocations = tuple(one for one in there.values() if isinstance(one, Revocation))
    return revocations, tuple(one for one in there.values() if isinstance(one, Signal))
