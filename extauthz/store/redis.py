"""A store on a Redis or Valkey, shared by all replicas: one server, the master of Sentinels, or a cluster.

The rules: a look-up is one round trip; what is atomic is one script on the keys of one slot.
"""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, assert_never

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.stepup.lockout import Limit
from extauthz.store.audit_heads import AuditHead
from extauthz.store.devices import ListedDevice
from extauthz.store.habits import Habit
from extauthz.store.protocol import (
    CLOCK_SKEW,
    MOST_GRANTS,
    RESET_SECONDS,
    Activity,
    Advance,
    Changed,
    Consumed,
    EnrolledFactor,
    Enrolment,
    Found,
    Ground,
    Presence,
    Redeemed,
    Redemption,
    Selection,
    SpentTicket,
    Tried,
    UseUp,
)
from extauthz.store.redis_address import RedisAddress
from extauthz.store.redis_approving import RedisApproving
from extauthz.store.redis_audit_heads import RedisAuditHeads
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_devices import RedisDevices
from extauthz.store.redis_habits import HabitQuestions, RedisHabits
from extauthz.store.redis_limits import RedisLimits
from extauthz.store.redis_revocations import RedisRevocations
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import (
    SubjectKeys,
    consumed_in,
    factor_words,
    factors_in,
    grant_words,
    grants_in,
    ground_words,
    outcome_in,
    proof_key,
    seconds_kept,
    times_in,
    used_in,
)
from extauthz.store.redis_scripts import (
    CONFIRM,
    CONSUME,
    ENROLL,
    REDEEM,
    REMOVE,
    RENAME,
    RESET,
    REVOKE,
    TOUCH,
    USE_PROOF,
    Run,
    Script,
)
from extauthz.store.redis_server import Reply
from extauthz.store.redis_signals import RedisSignals
from extauthz.store.revocations import Changes, Revoked
from extauthz.store.signals import Delivered, Delivery
from extauthz.values.facts import Question
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

_USED_SECONDS: Final = 60
"""How long the uses of a Check are kept: longer than it may be repeated, for clocks that differ a little."""
_IDS_AT_ONCE: Final = 500


class RedisStore(RedisApproving):
    """`redis://…`. Implements `store.protocol.Store`. Connects when it is first asked, in the event loop that asks.

    Each call may take `patience` seconds, CALL_SECONDS if it is `None`.
    """

    def __init__(self, address: RedisAddress, *, patience: float | None = None) -> None:
        self._prefix = address.prefix
        self._calls = RedisCalls(address, patience)
        super().__init__(self._calls, address.prefix)
        self._limits = RedisLimits(self._calls, address.prefix)
        self._habits = RedisHabits(self._calls, address.prefix)
        self._devices = RedisDevices(self._calls, address.prefix)
        self._audit_heads = RedisAuditHeads(self._calls, address.prefix)
        self._revocations = RedisRevocations(self._calls, address.prefix)
        self._signals = RedisSignals(self._calls, address.prefix, self._revocations)

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        usual = HabitQuestions(self._prefix, subject, questions, now)
        wanted: list[Command] = []
        if subject is not None and session is not None:
            keys = self._keys(subject)
            wanted = [_get("HGETALL", keys.grants), _get("GET", keys.seen(session))]
            if fingerprint:
                wanted.append(_get("HGETALL", keys.used(fingerprint)))
        if not (wanted or usual.asked):
            return Found()
        replies = await self._calls.run(*wanted, *usual.asked)
        answers = usual.answers(replies[len(wanted) :])
        if session is None or not wanted:
            return Found(answers=answers)
        used = used_in(replies[2], now) if fingerprint else frozenset()
        return Found(
            grants=_good_in(replies[0], session, used, now), session=times_in(replies[1], now), answers=answers
        )

    async def consume(self, subject: Subject, grants: Sequence[str], *, fingerprint: str, now: float) -> Consumed:
        keys = self._keys(subject)
        kept = _USED_SECONDS if fingerprint else 0
        arguments: tuple[str | int, ...] = (repr(now), repr(REPEAT_SECONDS), kept, *dict.fromkeys(grants))
        use = Run(script=CONSUME, keys=(keys.grants, keys.ends, keys.used(fingerprint)), arguments=arguments)
        (reply,) = await self._calls.run(use)
        return consumed_in(reply)

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        burn, ticket, keys = redemption.burn, redemption.ticket, self._keys(redemption.subject)
        match burn:
            case None:
                burned: tuple[str, str, int] = ("none", "", 0)
            case Advance():
                burned = ("advance", burn.factor, burn.mark)
            case UseUp():
                burned = ("use-up", burn.factor, 0)
            case Presence():
                burned = ("presence", burn.factor, 0)
            case _:
                assert_never(burn)
        ends = max((grant.expires_at for grant in redemption.grants), default=now)
        arguments = (
            repr(now),
            *burned,
            _seconds(ticket, now),
            seconds_kept(ends, now),
            MOST_GRANTS,
            repr(redemption.since),
            *(word for grant in redemption.grants for word in grant_words(grant)),
        )
        used = (keys.factors, keys.grants, keys.ends, keys.marks, *_tickets(keys, ticket))
        redeemed = outcome_in(await self._calls.run(Run(script=REDEEM, keys=used, arguments=arguments)), Redeemed)
        if redeemed is Redeemed.DONE:
            # What is done stays done if this fails: then the try stays counted.
            with suppress(StateUnavailable):
                await self._limits.give_back(redemption.limits, redemption.known_to, now)
        return redeemed

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        arguments = (repr(now), repr(expires_at + CLOCK_SKEW), fingerprint, repr(REPEAT_SECONDS))
        used = Run(script=USE_PROOF, keys=(proof_key(self._prefix, proof),), arguments=arguments)
        return await self._calls.run(used) == [1]

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> Tried:
        return await self._limits.attempt(limits, now)

    async def touch(self, activities: Sequence[Activity]) -> None:
        touched = (
            Run(
                script=TOUCH,
                keys=(self._keys(one.subject).seen(one.session),),
                arguments=(repr(one.at), repr(one.until)),
            )
            for one in activities
        )
        await self._calls.run(*touched)

    async def note_habits(self, habits: Iterable[Habit]) -> None:
        await self._habits.note(habits)

    async def put_device(self, device: ListedDevice, *, now: float) -> None:
        await self._devices.put(device, now)

    async def devices(self, subject: Subject | None, *, now: float) -> tuple[ListedDevice, ...]:
        return await self._devices.listed(subject, now)

    async def put_audit_head(self, head: AuditHead, *, now: float) -> None:
        await self._audit_heads.put(head, now)

    async def audit_heads(self, *, now: float) -> tuple[AuditHead, ...]:
        return await self._audit_heads.listed(now)

    async def grants(self, selection: Selection, *, now: float) -> tuple[Grant, ...]:
        found = [grant async for grants in self._selected(selection) for grant in grants if _is_good(grant, now)]
        return tuple(sorted(found, key=lambda grant: (grant.issued_at, grant.id)))

    async def revoke(self, selection: Selection, *, now: float) -> int:
        good = 0
        async for grants in self._selected(selection):
            for start in range(0, len(grants), _IDS_AT_ONCE):
                keys, some = self._keys(grants[0].subject), grants[start : start + _IDS_AT_ONCE]
                ids = tuple(grant.id for grant in some)
                await self._calls.run(Run(script=REVOKE, keys=(keys.grants, keys.ends), arguments=ids))
                good += sum(_is_good(grant, now) for grant in some)
        return good

    async def enroll(self, enrolment: Enrolment, *, now: float) -> Changed:
        kinds = {factor.kind for factor in enrolment.factors}
        arguments: tuple[str | int, ...] = (
            _seconds(enrolment.ticket, now),
            f",{','.join(enrolment.replaces)},",
            f",{','.join(kinds)},",
            *(word for factor in enrolment.factors for word in factor_words(factor)),
        )
        return await self._change(ENROLL, enrolment.subject, enrolment.ground, enrolment.ticket, now, arguments)

    async def confirm_factor(
        self,
        subject: Subject,
        advance: Advance,
        *,
        now: float,
        ground: Ground | None = None,
        ticket: SpentTicket | None = None,
    ) -> Changed:
        arguments = (_seconds(ticket, now), advance.factor, advance.mark)
        return await self._change(CONFIRM, subject, ground, ticket, now, arguments)

    async def factors(self, subject: Subject | None) -> tuple[EnrolledFactor, ...]:
        found: list[EnrolledFactor] = []
        async for replies in self._hashes("factors", subject):
            found += [factor for reply in replies for factor in factors_in(reply)]
        return tuple(sorted(found, key=lambda factor: (factor.created_at, factor.id)))

    async def rename_factor(
        self, subject: Subject, factor: str, name: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        return await self._change(RENAME, subject, ground, None, now, (factor, json.dumps(name)))

    async def remove_factor(
        self, subject: Subject, factor: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        return await self._change(REMOVE, subject, ground, None, now, (factor,))

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit], *, now: float) -> int:
        keys = self._keys(subject)
        used = (keys.factors, keys.grants, keys.ends, keys.reset)
        (had,) = await self._calls.run(Run(script=RESET, keys=used, arguments=(repr(now), int(RESET_SECONDS))))
        if not isinstance(had, int):
            raise StateUnavailable(f"store: not a count, but {type(had).__name__}")
        await self._limits.forget(limits)
        return had

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        return await self._revocations.put(revocation, now=now)

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        return await self._revocations.withdraw(key, now=now)

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        return await self._revocations.listed(subject, now=now)

    async def revocation_changes(self, since: str | None) -> Changes:
        return await self._revocations.changes(since)

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        return await self._signals.deliver(delivery, now=now)

    async def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        return await self._signals.signals(subject, now=now)

    async def ping(self) -> None:
        await self._calls.check()

    async def close(self) -> None:
        await self._news.close()
        await self._calls.close()

    def _keys(self, subject: Subject) -> SubjectKeys:
        return SubjectKeys.of(self._prefix, subject)

    async def _change(
        self,
        script: Script,
        subject: Subject,
        ground: Ground | None,
        ticket: SpentTicket | None,
        now: float,
        arguments: tuple[str | int, ...],
    ) -> Changed:
        keys = self._keys(subject)
        used = (keys.factors, keys.reset, keys.marks, *_tickets(keys, ticket))
        run = Run(script=script, keys=used, arguments=(repr(now), *ground_words(ground), *arguments))
        return outcome_in(await self._calls.run(run), Changed)

    async def _selected(self, selection: Selection) -> AsyncIterator[list[Grant]]:
        """The selected grants, subject by subject, whether they are good or not."""
        async for replies in self._hashes("grants", selection.subject):
            for reply in replies:
                yield [grant for grant in grants_in(reply) if selection.includes(grant)]

    async def _hashes(self, last: str, subject: Subject | None) -> AsyncIterator[list[Reply]]:
        """What is in the hashes of this kind, of one subject or of everybody."""
        if subject is not None:
            keys = self._keys(subject)
            yield await self._calls.exchange(_get("HGETALL", keys.grants if last == "grants" else keys.factors))
            return
        async for names in self._calls.all_keys(last):
            yield await self._calls.exchange(*(_get("HGETALL", name) for name in names))


def _get(verb: str, key: str) -> Command:
    return Command(key=key, words=(verb, key))


def _seconds(ticket: SpentTicket | None, now: float) -> int:
    return 0 if ticket is None else seconds_kept(ticket.expires_at, now)


def _tickets(keys: SubjectKeys, ticket: SpentTicket | None) -> tuple[str, ...]:
    return () if ticket is None else (keys.ticket(ticket.id),)


def _good_in(reply: Reply, session: str, used: frozenset[str], now: float) -> tuple[Grant, ...]:
    """The grants in a hash that a Check in this session may rest on that has `used` these already."""
    grants: list[Grant] = []
    for grant in grants_in(reply):
        if grant.session != session or grant.expires_at <= now:
            continue
        if grant.uses != 0:
            grants.append(grant)
        elif grant.id in used:
            grants.append(replace(grant, uses=1))
    return tuple(grants)


def _is_good(grant: Grant, now: float) -> bool:
    return grant.expires_at > now and grant.uses != 0
