"""Revocations in a Redis: what is in force, and the marks of changes that other processes go by.

The rules: whatever changes leaves a mark, in the same step; a mark has a random tag beside its number, so that a Redis
that lost writes or was restored is never taken for the one that was read before. All of it is in one slot. The grants
that go with a revocation are in those of their subjects, so they go in a second step, after it.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Final, get_args

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Kind, Revocation, RevocationKey
from extauthz.store.protocol import CLOCK_SKEW
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import texts_in
from extauthz.store.redis_scripts import CHANGED_REVOCATIONS, PUT_REVOCATION, WITHDRAW_REVOCATION, Run
from extauthz.store.redis_server import Words
from extauthz.store.revocations import REMEMBERED_CHANGES, Changes
from extauthz.values.identity import Subject

_TAG_BYTES: Final = 8
_AT_ONCE: Final = 500


class RedisRevocations:
    """The revocations behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        names = ("kept", "ends", "changes", "marks")
        self._kept, self._ends, self._changes, self._marks = (f"{prefix}:{{revocations}}:{name}" for name in names)

    async def put(self, revocation: Revocation, *, now: float) -> Revocation:
        """What is in force of its key from now on."""
        key = _key_text(revocation.key)
        subject = json.dumps([revocation.subject.issuer, revocation.subject.id])
        times = (repr(revocation.at), repr(revocation.until))
        arguments = (repr(now), repr(now - CLOCK_SKEW), key, *times, subject, _tag(), REMEMBERED_CHANGES)
        run = Run(script=PUT_REVOCATION, keys=(self._kept, self._ends, self._changes, self._marks), arguments=arguments)
        (reply,) = await self._calls.run(run)
        at, until = map(float, texts_in(reply))
        return Revocation.of_key(revocation.key, revocation.subject, at=at, until=until)

    async def withdraw(self, key: RevocationKey, *, now: float) -> bool:
        """False if it was not in force."""
        run = Run(
            script=WITHDRAW_REVOCATION,
            keys=(self._kept, self._ends, self._changes, self._marks),
            arguments=(_key_text(key), _tag(), REMEMBERED_CHANGES),
        )
        (reply,) = await self._calls.run(run)
        (until,) = texts_in(reply)
        return until != b"" and float(until) > now

    async def listed(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        """What is in force of this subject, of everybody for `None`; oldest first."""
        found = [one async for one in self._all() if one.until > now and subject in (None, one.subject)]
        return tuple(sorted(found, key=lambda revocation: (revocation.at, revocation.key)))

    async def changes(self, since: str | None) -> Changes:
        """As `RevocationStore.revocation_changes`.

        What changes while this reads is newer than the mark, so it is told again by the next call.
        """
        arguments = (since or "", REMEMBERED_CHANGES)
        run = Run(script=CHANGED_REVOCATIONS, keys=(self._changes, self._marks), arguments=arguments)
        (reply,) = await self._calls.run(run)
        newest, known, *keys = texts_in(reply)
        mark = newest.decode("ascii")
        if known != b"1":
            # The same one may be seen twice: the later look counts.
            there = {one.key: one async for one in self._all()}
            return Changes(mark=mark, whole=True, put=tuple(there.values()))
        put: list[Revocation] = []
        withdrawn: list[RevocationKey] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            words: Words = ("HMGET", self._kept, *some)
            (values,) = await self._calls.exchange(Command(key=self._kept, words=words))
            if not isinstance(values, list):
                raise StateUnavailable(f"store: not a list: {values!r}")
            for text, value in zip(some, values, strict=True):
                if isinstance(value, bytes):
                    put.append(_revocation(text, value))
                else:
                    withdrawn.append(_key(text))
        return Changes(mark=mark, whole=False, put=tuple(put), withdrawn=tuple(withdrawn))

    async def _all(self) -> AsyncIterator[Revocation]:
        """Everything that is there all along; some of it may come twice."""
        cursor = b"0"
        while True:
            words: Words = ("HSCAN", self._kept, cursor, "COUNT", _AT_ONCE)
            (reply,) = await self._calls.exchange(Command(key=self._kept, words=words))
            if not (isinstance(reply, list) and isinstance(reply[0], bytes)):
                raise StateUnavailable(f"store: not a part of a hash: {reply!r}")
            texts = texts_in(reply[1])
            for key, value in zip(texts[::2], texts[1::2], strict=True):
                yield _revocation(key, value)
            cursor = reply[0]
            if cursor == b"0":
                return


def _tag() -> str:
    return os.urandom(_TAG_BYTES).hex()


def _key_text(key: RevocationKey) -> str:
    # As JSON: it is ASCII, whatever was in a claim.
    return json.dumps([key.kind, key.issuer, key.name], separators=(",", ":"))


def _key(text: bytes) -> RevocationKey:
    kind, issuer, name = json.loads(text)
    if kind not in get_args(Kind):
        raise StateUnavailable(f"store: `{kind}` is no kind of revocation; a newer version has written it")
    return RevocationKey(kind, issuer, name)


def _revocation(key: bytes, value: bytes) -> Revocation:
    at, until, subject = value.split(b" ", 2)
    return Revocation.of_key(_key(key), Subject(*json.loads(subject)), at=float(at), until=float(until))
