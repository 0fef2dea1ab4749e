"""Signals in a Redis, and the tokens that were received.

The rules: signals are beside the revocations, so that who follows one follows both. What a token says is several steps
on several slots: each can be done again and changes nothing more, and that the token was received is remembered last.
"""

import math
from typing import Final

from extauthz.errors import StateUnavailable
from extauthz.identity.signals.facts import Signal, key_text
from extauthz.store.protocol import CLOCK_SKEW
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_revocations import RedisRevocations
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import SubjectKeys, understood
from extauthz.store.redis_scripts import PUT_SIGNAL, VOID, Run
from extauthz.store.redis_server import Reply
from extauthz.store.revocations import REMEMBERED_CHANGES
from extauthz.store.signals import Delivered, Delivery, Receipt, known_as
from extauthz.values.identity import Subject

_LONGEST: Final = 1_000_000_000
"""Seconds that a Redis is asked to keep anything."""


class RedisSignals:
    """The signals behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str, revocations: RedisRevocations) -> None:
        self._calls = calls
        self._prefix = prefix
        self._revocations = revocations

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        """As `SignalStore.deliver`."""
        receipt = delivery.receipt
        if receipt is not None:
            known = await self._known(receipt)
            if known is not None:
                return known
        for revocation in delivery.revocations:
            await self._revocations.put(revocation, now=now)
        await self._void(delivery.voids, now)
        await self._put(delivery.signals, now)
        if receipt is None or await self._receive(receipt, now):
            return Delivered.DONE
        # Another process was quicker, and has done the same, unless its token was another one.
        return await self._known(receipt) or Delivered.DONE

    async def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        """As `SignalStore.signals`."""
        found = [
            signal
            for signal in await self._revocations.signals()
            if signal.until > now and (subject is None or (signal.key.about == "subject" and signal.subject == subject))
        ]
        return tuple(sorted(found, key=lambda signal: (signal.at, signal.key)))

    async def _void(self, subjects: tuple[Subject, ...], now: float) -> None:
        """Forget all grants of these subjects; no mark stays, since nothing of theirs is revoked."""
        for subject in subjects:
            keys = SubjectKeys.of(self._prefix, subject)
            arguments = (repr(now), repr(CLOCK_SKEW), "", repr(now), repr(now), "all")
            await self._calls.run(Run(script=VOID, keys=(keys.grants, keys.ends, keys.marks), arguments=arguments))

    async def _put(self, signals: tuple[Signal, ...], now: float) -> None:
        for signal in signals:
            arguments = (
                repr(now),
                repr(now - CLOCK_SKEW),
                key_text(signal.key),
                repr(signal.at),
                repr(signal.until),
                signal.rank,
                signal.content,
                self._revocations.new_tag(),
                REMEMBERED_CHANGES,
            )
            await self._calls.run(Run(script=PUT_SIGNAL, keys=self._revocations.keys, arguments=arguments))

    async def _known(self, receipt: Receipt) -> Delivered | None:
        key = self._key(receipt)
        (reply,) = await self._calls.exchange(Command(key=key, words=("GET", key)))
        return known_as(receipt, _text(reply))

    async def _receive(self, receipt: Receipt, now: float) -> bool:
        key = self._key(receipt)
        kept = min(max(1, math.ceil(receipt.until + CLOCK_SKEW - now)), _LONGEST)
        words = ("SET", key, receipt.digest, "NX", "EX", kept)
        (reply,) = await self._calls.exchange(Command(key=key, words=words))
        return reply is not None

    def _key(self, receipt: Receipt) -> str:
        return f"{self._prefix}:{{receipt:{receipt.id}}}"


def _text(reply: Reply) -> str | None:
    if reply is None:
        return None
    if not isinstance(reply, bytes):
        raise StateUnavailable(f"store: not a text, but {type(reply).__name__}")
    with understood():
        return reply.decode("ascii")
