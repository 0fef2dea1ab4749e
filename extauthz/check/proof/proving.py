"""What every proof has in common: who gives it and what for, how it is counted, and what it leaves.

The rules: a grant is left only together with burning what it was given for, ticket included; every try of what can be
guessed is counted before it is looked at, in the same limiters whatever the factor; and a grant says no more than what
was shown.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Literal, TypeVar, assert_never

import msgspec

from extauthz.errors import StateUnavailable, SubjectBlocked, TokenRevoked
from extauthz.stepup.factors import proven_amr
from extauthz.stepup.keys import KeyRing, SealBroken
from extauthz.stepup.lockout import limits_of
from extauthz.stepup.oidc import OidcFailure
from extauthz.stepup.webauthn_answer import WebauthnFailure
from extauthz.store.factor_secret import open_factor
from extauthz.store.protocol import (
    Burn,
    EnrolledFactor,
    FactorKind,
    Redeemed,
    Redemption,
    SpentTicket,
    Store,
    Tried,
)
from extauthz.values.decisions import ChallengeDemand, Factor, ProofFailure
from extauthz.values.grants import Grant
from extauthz.values.identity import Credential, Subject

GRANT_ID_BYTES = 16


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """It was right; these grants are in the store."""

    grants: tuple[Grant, ...]
    reason: Literal["proven"] = "proven"


class NotProven(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was proven.

    `wrong-code`: it is none of the subject's codes. `code-used`: it was right and was used before; another one will do.
    `not-enrolled`: the subject has no such factor. `factor-not-accepted`: no demand can be met by it.
    `locks` are the seconds for which no other code is looked at.
    """

    reason: ProofFailure
    locks: float = 0.0


class Unverified(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser or a provider brought proves nothing, for this reason."""

    reason: WebauthnFailure | OidcFailure


class LockedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Too many wrong codes; ask again after `retry_after` seconds. The code was not looked at."""

    retry_after: float
    reason: Literal["locked-out"] = "locked-out"


class TicketUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket has served its one challenge."""

    reason: Literal["ticket-used"] = "ticket-used"


CodeOutcome = Proven | NotProven | LockedOut | TicketUsed
"""How a code that somebody types came out."""
ProofOutcome = CodeOutcome | Unverified

_Failed = TypeVar("_Failed", NotProven, Unverified, NotProven | Unverified)


class Proving(msgspec.Struct, frozen=True, kw_only=True):
    """A proof that is being given: by `subject` in `session`, for what `demands` ask, tied to `holder`.

    `credentials` are the tokens that the identity rests on: what was revoked of them leaves no grant. `address` is the
    client's, empty if it is not known; `now` in seconds since the epoch; `entropy(n)` gives n random bytes; `ticket` is
    burned along.
    """

    store: Store
    keys: KeyRing
    subject: Subject
    session: str
    holder: str
    credentials: Sequence[Credential]
    demands: Sequence[ChallengeDemand]
    address: str
    now: float
    entropy: Callable[[int], bytes]
    ticket: SpentTicket | None = None

    def demands_for(self, factor: Factor) -> tuple[ChallengeDemand, ...]:
        """The demands that `factor` can meet."""
        return tuple(demand for demand in self.demands if factor in demand.factors)

    async def enrolled(self, kind: FactorKind) -> tuple[EnrolledFactor, ...]:
        """The factors of this kind that prove something. Raises `StateUnavailable`."""
        return tuple(
            factor for factor in await self.store.factors(self.subject) if factor.kind == kind and factor.confirmed
        )

    def opened(self, factor: EnrolledFactor) -> bytes:
        """The secret of `factor`; `StateUnavailable` if it opens with no key: that is our outage and no wrong code."""
        try:
            return open_factor(factor, self.keys)
        except SealBroken as error:
            raise StateUnavailable(f"factor `{factor.id}`: {error}") from error

    async def count_try(self) -> Tried | LockedOut:
        """Count a try before it is looked at; `LockedOut` forbids to look. Raises `StateUnavailable`."""
        tried = await self.store.attempt(limits_of(self.subject, self.address, self.holder), now=self.now)
        return LockedOut(retry_after=tried.wait) if tried.wait > 0 else tried

    def grant(
        self,
        demand: ChallengeDemand,
        factor: Factor,
        *,
        user_verified: bool = True,
        issued_at: float | None = None,
    ) -> Grant:
        """What a proof of `factor` leaves for `demand`; `issued_at` is when it was given, now if it is not said."""
        given_at = self.now if issued_at is None else issued_at
        return Grant(
            id=self.entropy(GRANT_ID_BYTES).hex(),
            subject=self.subject,
            session=self.session,
            holder=self.holder,
            binding=demand.binding,
            rule=demand.rule,
            factor=proven_amr(factor, acr=demand.acr, user_verified=user_verified),
            issued_at=given_at,
            expires_at=given_at + demand.max_age,
            uses=demand.uses,
        )

    async def redeem(
        self,
        burn: Burn | None,
        grants: tuple[Grant, ...],
        *,
        mark_used: _Failed,
        gone: _Failed,
        tried: Tried | None = None,
    ) -> Proven | TicketUsed | _Failed:
        """Burn and leave, all of it or nothing. `mark_used` and `gone` are what it means if the number was burned
        before, or the factor is not there any more; what was `tried` is given back.

        Raises:
            StateUnavailable: the store is out of reach.
            SubjectBlocked, TokenRevoked: it was revoked, perhaps so lately that nobody here has heard of it.
        """
        limiter, *_ = limits_of(self.subject, self.address, self.holder)
        redemption = Redemption(
            subject=self.subject,
            burn=burn,
            grants=grants,
            since=issued_since(self.subject, self.credentials),
            limits=() if tried is None else tried.counted,
            known_to=None if tried is None else limiter,
            ticket=self.ticket,
        )
        redeemed = await self.store.redeem(redemption, now=self.now)
        match redeemed:
            case Redeemed.DONE:
                return Proven(grants=grants)
            case Redeemed.MARK_USED:
                return mark_used
            case Redeemed.TICKET_USED:
                return TicketUsed()
            case Redeemed.FACTOR_GONE:
                return gone
            case Redeemed.BLOCKED | Redeemed.REVOKED:
                raise revoked(redeemed)
            case _:
                assert_never(redeemed)


def issued_since(subject: Subject, credentials: Iterable[Credential]) -> float:
    """When the oldest of these tokens that is about `subject` was issued; one that does not say is as old as can be."""
    about = (credential.issued_at for credential in credentials if subject in credential.subjects)
    return min((-inf if issued_at is None else issued_at for issued_at in about), default=-inf)


def revoked(how: Literal[Redeemed.BLOCKED, Redeemed.REVOKED]) -> SubjectBlocked | TokenRevoked:
    """What a proof comes to that a revocation stands against."""
    if how is Redeemed.BLOCKED:
        return SubjectBlocked("revocations: the subject was blocked before its proof was redeemed")
    return TokenRevoked("revocations: the tokens or the session were revoked before the proof was redeemed")
