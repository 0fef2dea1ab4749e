"""Whom an operator names, and what is done about them by hand: the one account that commands and the admin API share.

The rule: what is said to be done is in the store that the servers follow; they know it within a second. Nothing is
guessed: who could be two is nobody.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import inf, isinf
from typing import Any, Final

import msgspec

from extauthz.check.revocation_telling import tell_revoked
from extauthz.errors import ExtauthzError
from extauthz.identity import spiffe
from extauthz.identity.compact import Unreadable, take_apart
from extauthz.identity.revocations import DIGEST_PREFIX, Kind, Revocation
from extauthz.identity.signals.facts import Signal, is_disabled
from extauthz.record.chronicle import COMMAND, SILENT, Chronicle
from extauthz.store.protocol import Store
from extauthz.store.revocations import Revoked
from extauthz.store.signals import Delivery
from extauthz.values.duration import seconds
from extauthz.values.identity import Subject
from extauthz.values.instant import instant

_SCHEME: Final = "spiffe://"
_DIGEST: Final = re.compile(DIGEST_PREFIX + "[0-9a-f]{64}")
_LONGEST: Final = 100 * 365 * 86_400.0


class NobodyNamed(ExtauthzError):
    """Nobody is called like this; the message says what to do."""


class NoName(NobodyNamed):
    """Nobody can be called like this, whoever there is."""


class SubjectsRefused(ExtauthzError):
    """It can't be revoked like this; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How operators name whom they mean: `issuers` are those of users, `spelled` writes the name of an option."""

    issuers: Collection[str]
    spelled: Callable[[str], str]

    def user(self, user: str, issuer: str | None) -> Subject:
        """The user at that issuer, or at the only one that is configured.

        Raises:
            NobodyNamed: there is no such issuer, or several to choose from.
        """
        if not user.strip():
            raise NoName("the user has no name; write the `sub` of their tokens")
        return Subject(self.issuer(issuer, of=user), user)

    def issuer(self, issuer: str | None, *, of: str) -> str:
        """That issuer, or the only one that is configured; `of` is whom or what it knows.

        Raises:
            NobodyNamed: there is no such issuer, or several to choose from.
        """
        issuers = sorted(set(self.issuers))
        if issuer is None and len(issuers) == 1:
            return issuers[0]
        named = ", ".join(f"`{known}`" for known in issuers) or "none is configured"
        if issuer is None:
            raise NobodyNamed(f"`{of}`: whose user is it? name it with {self.spelled('issuer')} ({named})")
        if issuer not in issuers:
            raise NobodyNamed(f"`{issuer}`: no such issuer under `identity.users` ({named})")
        return issuer

    def anybody(self, named: str, issuer: str | None) -> Subject:
        """The workload or the user that is meant; an issuer that is not configured can be that of actors.

        Raises:
            NobodyNamed: as `user`, or it is no SPIFFE ID.
        """
        if named.lower().startswith(_SCHEME) and issuer is None:
            if spiffe.parse(named, verified_by="") is None:
                raise NoName(f"`{named}`: is no SPIFFE ID; write `spiffe://DOMAIN/PATH`, the domain in lower case")
            return Subject("", named)
        if issuer is None or not named.strip() or not self.is_only_of_actors(issuer):
            return self.user(named, issuer)
        return Subject(issuer, named)

    def is_only_of_actors(self, issuer: str | None) -> bool:
        """Whether no user is of this issuer."""
        return issuer is not None and issuer not in self.issuers


class Unblocked(msgspec.Struct, frozen=True, kw_only=True):
    """Of whom the block was ended, if there was one."""

    subject: Subject
    was_blocked: bool


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """What operators do; `clock` gives seconds since the epoch, `by` is what records call whoever does it.

    Every method raises `NobodyNamed`, `SubjectsRefused` for what can't be meant, and `StateUnavailable`.
    """

    store: Store
    naming: Naming
    clock: Callable[[], float]
    chronicle: Chronicle = SILENT
    by: str = COMMAND

    async def block(self, named: str, issuer: str | None, *, duration: str | None) -> Revoked:
        """Refuse every request of a subject, for a `duration` as it is written, or for ever."""
        return await self._put("block", named, issuer, "", duration)

    async def unblock(self, named: str, issuer: str | None) -> Unblocked:
        """End a block, by whomever: an account that a transmitter has disabled is enabled until it says so again."""
        subject, now = self.naming.anybody(named, issuer), self.clock()
        key = Revocation(kind="block", subject=subject, at=now).key
        was_blocked = await self.store.withdraw_revocation(key, now=now)
        disabled = tuple(signal for signal in await self.store.signals(subject, now=now) if is_disabled(signal))
        if disabled:
            await self.store.deliver(
                Delivery(receipt=None, signals=tuple(_enabled(signal, now) for signal in disabled)), now=now
            )
        if was_blocked or disabled:
            self.chronicle.tell("subject.unblocked", subject=subject, by=self.by)
        return Unblocked(subject=subject, was_blocked=was_blocked or bool(disabled))

    async def revoke(
        self, named: str, issuer: str | None, *, session: str | None, token: str | None, duration: str | None
    ) -> Revoked:
        """Refuse what a subject was given: one `session`, by its `sid`, one `token`, by its `jti`, or all until now."""
        if session is not None and token is not None:
            one, other = (self.naming.spelled(name) for name in ("session", "token"))
            raise SubjectsRefused(f"`{one}` and `{other}` are two things; revoke one after the other")
        if session is not None:
            return await self._put("session", named, issuer, session, duration)
        if token is not None:
            return await self._put("token", named, issuer, self._token_id(token), duration)
        return await self._put("tokens", named, issuer, "", duration)

    async def listed(self, named: str | None, issuer: str | None) -> tuple[tuple[Revocation, ...], tuple[Signal, ...]]:
        """What is blocked and revoked, and what others say, of one subject or of everybody; oldest first."""
        subject, now = None if named is None else self.naming.anybody(named, issuer), self.clock()
        return await self.store.revocations(subject, now=now), await self.store.signals(subject, now=now)

    async def _put(self, kind: Kind, named: str, issuer: str | None, id_: str, duration: str | None) -> Revoked:
        lasts = inf if duration is None else self._seconds(duration)
        if kind in ("session", "token") and not id_.strip():
            claim = "sid" if kind == "session" else "jti"
            raise SubjectsRefused(f"{self.naming.spelled(kind)}: has no name; write the claim `{claim}`")
        subject, now = self.naming.anybody(named, issuer), self.clock()
        revocation = Revocation(kind=kind, subject=subject, id=id_, at=now, until=now + lasts)
        revoked = await self.store.put_revocation(revocation, now=now)
        tell_revoked(self.chronicle, revoked.revocation, by=self.by, grants=revoked.grants)
        return revoked

    def _seconds(self, duration: str) -> float:
        place = self.naming.spelled("for")
        try:
            lasts = seconds(duration)
        except ValueError as error:
            raise SubjectsRefused(f"{place}: `{duration}` is {error}") from None
        if not 0 < lasts <= _LONGEST:
            raise SubjectsRefused(f"{place}: `{duration}` is no time that people live to see; leave it out for ever")
        return lasts

    def _token_id(self, token: str) -> str:
        place = self.naming.spelled("token")
        if token.startswith(DIGEST_PREFIX) and not _DIGEST.fullmatch(token):
            raise SubjectsRefused(f"{place}: `{token}` is no digest; write `sha256:` and 64 digits of lower-case hex")
        try:
            parts = take_apart(token.removeprefix("Bearer "))
        except Unreadable:
            return token
        # Not said again: whoever reads it could use it.
        raise SubjectsRefused(f"{place}: is a token, not its `jti`; write that, or `{DIGEST_PREFIX}{parts.digest}`")


def _enabled(signal: Signal, now: float) -> Signal:
    """What takes the place of one that says that an account is disabled, also where its clock runs ahead."""
    return replace(signal, level="enabled", reason="by hand", at=max(now, signal.at + 0.001))


def described(revocation: Revocation) -> dict[str, Any]:
    """A revocation for programs."""
    return {
        "sub": revocation.subject.id,
        "issuer": revocation.subject.issuer,
        "kind": revocation.kind,
        "id": revocation.id,
        "at": instant(revocation.at),
        "until": _end(revocation.until),
    }


def described_signal(signal: Signal) -> dict[str, Any]:
    """A signal for programs; that of a device has its id in the place of `sub`, and no issuer."""
    return {
        "sub": signal.key.id,
        "issuer": signal.key.issuer,
        "kind": "signal" if signal.key.about == "subject" else "device-signal",
        "id": signal.key.session,
        "name": signal.key.name,
        "level": signal.level,
        "reason": signal.reason,
        "source": signal.key.source,
        "at": instant(signal.at),
        "until": _end(signal.until),
    }


def _end(until: float) -> str | None:
    return None if isinf(until) else instant(until)
