"""Who sits at the enrolment page, and what they have proven there.

The rules: a link seats one browser; and what somebody proves here serves here and nowhere else, and burns the link.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, assert_never

import msgspec

from extauthz.check.proof.proving import LockedOut, issued_since, revoked
from extauthz.check.proof.telling import tell_locked, tell_proven
from extauthz.errors import StateUnavailable
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.stepup.authenticators import Authenticator, KnownAuthenticator, challenge_of
from extauthz.stepup.enrolment import PROVEN_SECONDS, SEAT_ID_BYTES, Invitation, Seat
from extauthz.stepup.keys import KeyRing, SealBroken
from extauthz.stepup.lockout import Limit, limits_of
from extauthz.stepup.recovery import canonical, find
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import is_code, verify
from extauthz.stepup.webauthn_answer import NotVerified
from extauthz.store.factor_secret import open_factor
from extauthz.store.protocol import (
    AUTHENTICATORS,
    Advance,
    Burn,
    EnrolledFactor,
    Presence,
    Redeemed,
    Redemption,
    SpentTicket,
    Store,
    UseUp,
)
from extauthz.values.decisions import UserVerification
from extauthz.values.identity import Subject

USER_VERIFICATION: Final[UserVerification] = "preferred"
"""How strictly keys are asked for here: an old one without a PIN may be set up, and rules say where it is enough."""


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """A browser at the page: its invitation, its seat, and the confirmed factors of the subject, oldest first."""

    invitation: Invitation
    seat: Seat
    factors: tuple[EnrolledFactor, ...]

    @property
    def subject(self) -> Subject:
        """Whose factors these are."""
        return self.invitation.subject

    @property
    def may(self) -> Literal["add-first", "ask", "prove", "change", "nothing"]:
        """What the user may do next.

        `ask`: for a link, since nobody has let them set up a first factor. `nothing`: the factor that the seat rests on
        is gone.
        """
        if self.seat.proven:
            return "change" if any(factor.id == self.seat.factor for factor in self.factors) else "nothing"
        if self.authenticators:
            return "prove"
        return "ask" if self.invitation.grounds == "session" else "add-first"

    @property
    def authenticators(self) -> tuple[EnrolledFactor, ...]:
        """Apps and keys, oldest first."""
        return tuple(factor for factor in self.factors if factor.kind in AUTHENTICATORS)

    @property
    def codes_left(self) -> int:
        """How many recovery codes are left."""
        return sum(1 for factor in self.factors if factor.kind == "recovery")


Proof = Seat | Literal["wrong-code", "code-used", "used", "gone"]
"""The seat after a proof; or why there is none.

`wrong-code`: it is none of the subject's. `code-used`: it was right and was used before. `used`: the link has served.
`gone`: the factor is not there any more.
"""


class Seating(msgspec.Struct, frozen=True, kw_only=True):
    """`clock()` is seconds since the epoch, `entropy(n)` n random bytes. What is asynchronous raises
    `StateUnavailable`.
    """

    store: Store
    keys: KeyRing
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    chronicle: Chronicle = SILENT

    async def take_seat(self, invitation: Invitation, browser: str) -> Seat | None:
        """The seat of the first browser that begins with this invitation, known by `browser`; `None` for others.

        The same browser may ask twice within seconds: a button that was pressed twice, an answer that was lost.
        """
        first = await self.store.use_proof(
            f"enrolment:{invitation.id}", expires_at=invitation.expires_at, fingerprint=browser, now=self.clock()
        )
        return self.new_seat(invitation, until=invitation.expires_at) if first else None

    async def sit(self, invitation: Invitation, seat: Seat) -> Seated:
        """What the page may show and do for this seat."""
        factors = await self.store.factors(invitation.subject)
        confirmed = tuple(factor for factor in factors if factor.confirmed)
        return Seated(invitation=invitation, seat=seat, factors=confirmed)

    async def prove_code(self, at: Seated, typed: str, address: str) -> Proof | LockedOut:
        """Try a one-time code or a recovery code. `address` is the browser's, empty if it is not known."""
        if not is_code(typed) and canonical(typed) is None:
            return "wrong-code"
        now, limits = self.clock(), limits_of(at.subject, address)
        tried = await self.store.attempt(limits, now=now)
        if tried.wait > 0:
            return LockedOut(retry_after=tried.wait)
        burn = self._burn_of(at.factors, typed, now)
        proof = "wrong-code" if burn is None else await self._redeem(at, burn, tried.counted)
        if tried.locks and proof in ("wrong-code", "code-used"):
            tell_locked(self.chronicle, at.subject, seconds=tried.locks)
        return proof

    async def prove_key(self, at: Seated, relying_party: RelyingParty, answer: str) -> Proof:
        """Check the browser's answer to `proof_options`.

        Raises:
            NotVerified: it proves nothing.
        """
        from extauthz.stepup.webauthn import verify_assertion

        asserted = verify_assertion(
            answer,
            relying_party=relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.get"),
            known=[
                KnownAuthenticator(factor=factor.id, authenticator=_authenticator(factor), mark=factor.mark)
                for factor in at.factors
                if factor.kind == "webauthn"
            ],
            user_verification=USER_VERIFICATION,
        )
        if asserted.mark is None:
            return await self._redeem(at, Presence(factor=asserted.factor))
        return await self._redeem(at, Advance(factor=asserted.factor, mark=asserted.mark))

    def proof_options(self, at: Seated, relying_party: RelyingParty) -> dict[str, Any]:
        """What the browser is given to prove a key or passkey that the subject has, as JSON."""
        from extauthz.stepup.webauthn import assertion_options

        return assertion_options(
            relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.get"),
            registered=keys_of(at.factors),
            user_verification=USER_VERIFICATION,
        )

    async def _redeem(self, at: Seated, burn: Burn, limits: tuple[Limit, ...] = ()) -> Proof:
        """Burn what was shown, and the link with it; the seat then rests on the factor, or on one that outlives it."""
        rest = at.authenticators if isinstance(burn, UseUp) else at.factors
        kept = next((one.id for one in rest if isinstance(burn, UseUp) or one.id == burn.factor), None)
        if kept is None:  # a recovery code with nothing behind it: there is no factor left to rest on
            return "gone"
        now = self.clock()
        redemption = Redemption(
            subject=at.subject,
            burn=burn,
            grants=(),
            since=issued_since(at.subject, at.invitation.credentials),
            limits=limits,
            ticket=link_of(at.invitation),
        )
        redeemed = await self.store.redeem(redemption, now=now)
        match redeemed:
            case Redeemed.DONE:
                shown = next(one.kind for one in at.factors if one.id == burn.factor)
                tell_proven(self.chronicle, at.subject, shown)
                return self.new_seat(at.invitation, until=now + PROVEN_SECONDS, factor=kept)
            case Redeemed.MARK_USED:
                return "code-used"
            case Redeemed.FACTOR_GONE:
                return "code-used" if isinstance(burn, UseUp) else "gone"
            case Redeemed.TICKET_USED:
                return "used"
            case Redeemed.BLOCKED | Redeemed.REVOKED:
                raise revoked(redeemed)
            case _:
                assert_never(redeemed)

    def new_seat(self, invitation: Invitation, *, until: float, factor: str = "") -> Seat:
        """A seat that nobody had before."""
        return Seat(id=self.entropy(SEAT_ID_BYTES).hex(), invitation=invitation.id, until=int(until), factor=factor)

    def open_secret(self, factor: EnrolledFactor) -> bytes:
        """The secret of a factor; one that opens with no key is our outage and no wrong code."""
        try:
            return open_factor(factor, self.keys)
        except SealBroken as error:
            raise StateUnavailable(f"factor `{factor.id}`: {error}") from error

    def _burn_of(self, factors: Sequence[EnrolledFactor], typed: str, now: float) -> Burn | None:
        """What a code burns, `None` if it is nobody's. All are tried, whichever fits."""
        burn: Burn | None = None
        for factor in factors:
            if factor.kind == "totp":
                step = verify(self.open_secret(factor), typed, now)
                if step is not None and burn is None:
                    burn = Advance(factor=factor.id, mark=step)
        kept = {factor.id: self.open_secret(factor) for factor in factors if factor.kind == "recovery"}
        code = find(typed, kept)
        return burn if code is None else UseUp(factor=code)


def link_of(invitation: Invitation) -> SpentTicket:
    """What burns a link."""
    return SpentTicket(id=invitation.id, expires_at=invitation.expires_at)


def keys_of(factors: Iterable[EnrolledFactor]) -> tuple[Authenticator, ...]:
    """The keys and passkeys among these factors."""
    return tuple(_authenticator(factor) for factor in factors if factor.kind == "webauthn")


def _authenticator(factor: EnrolledFactor) -> Authenticator:
    try:
        return Authenticator.from_text(factor.public)
    except NotVerified as error:
        raise StateUnavailable(f"factor `{factor.id}`: {error}") from error
