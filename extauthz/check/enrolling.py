"""How factors come and go: the flows behind the enrolment page.

The rule (enrolment guard): the first factor of a subject needs an invitation, and the browser that began with it; every
other change needs a factor that the subject has, proven in that browser and still there. The store decides which is
the case, in the same transaction that makes the change, so that two links make no two first factors.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

from extauthz.check.proof.proving import LockedOut
from extauthz.errors import StateUnavailable
from extauthz.stepup.enrolment import PROVEN_SECONDS, SEAT_ID_BYTES, Invitation, Seat, user_handle
from extauthz.stepup.keys import KeyRing, SealBroken
from extauthz.stepup.lockout import Limit, limits_of
from extauthz.stepup.recovery import CODE_BYTES, CODES, canonical, digest, find, make_codes
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import SECRET_BYTES, is_code, verify
from extauthz.stepup.webauthn import (
    Authenticator,
    KnownAuthenticator,
    assertion_options,
    challenge_of,
    registration_options,
    verify_assertion,
    verify_registration,
)
from extauthz.stepup.webauthn_answer import NotVerified
from extauthz.store.factor_secret import FACTOR_ID_BYTES, open_factor, seal_factor
from extauthz.store.protocol import (
    Advance,
    Burn,
    Enrolled,
    EnrolledFactor,
    Enrolment,
    FactorKind,
    Presence,
    Redeemed,
    Redemption,
    SpentTicket,
    Store,
    UseUp,
)
from extauthz.values.decisions import UserVerification
from extauthz.values.identity import Subject

AUTHENTICATORS: Final[frozenset[FactorKind]] = frozenset({"totp", "webauthn"})
"""What somebody has for good; a recovery code is for the day when these are gone."""

_USER_VERIFICATION: Final[UserVerification] = "preferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """A browser at the page: its invitation, its seat, and the confirmed factors of the subject, oldest first."""

    invitation: Invitation
    seat: Seat
    factors: tuple[EnrolledFactor, ...]

    @property
    def subject(self) -> Subject:
        """Whose factors these are."""
        return self.invitation.subject

    @property
    def may(self) -> Literal["add-first", "prove", "change", "nothing"]:
        """What the user may do next. `nothing`: the factor that the seat rests on is gone."""
        if self.seat.proven:
            return "change" if any(factor.id == self.seat.factor for factor in self.factors) else "nothing"
        return "prove" if self.factors else "add-first"

    @property
    def authenticators(self) -> tuple[EnrolledFactor, ...]:
        """Apps and keys, oldest first."""
        return tuple(factor for factor in self.factors if factor.kind in AUTHENTICATORS)

    @property
    def codes_left(self) -> int:
        """How many recovery codes are left."""
        return sum(1 for factor in self.factors if factor.kind == "recovery")


Change = Seat | Literal["unproven", "used", "not-first", "wrong-code", "gone", "last"]
"""The new seat after a change; or why nothing has changed.

`unproven`: a factor has to be proven before. `used`: the link, or the form, has served. `not-first`: the subject got a
factor meanwhile. `wrong-code`: it is not the first code of the new app, or was used before. `gone`: the factor is not
there (any more). `last`: the last app or key does not go.
"""


Proof = Seat | Literal["wrong-code", "code-used", "used", "gone"]
"""The seat after a proof; or why there is none.

`wrong-code`: it is none of the subject's. `code-used`: it was right and was used before. `used`: the link has served.
`gone`: the factor is not there any more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolling:
    """What the flows work on. `clock()` is seconds since the epoch, `entropy(n)` n random bytes.

    Every method raises `StateUnavailable`.
    """

    store: Store
    keys: KeyRing
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]

    async def take_seat(self, invitation: Invitation, browser: str) -> Seat | None:
        """The seat of the first browser that begins with this invitation, known by `browser`; `None` for others.

        The same browser may ask twice within seconds: a button that was pressed twice, an answer that was lost.
        """
        first = await self.store.use_proof(
            f"enrolment:{invitation.id}", expires_at=invitation.expires_at, fingerprint=browser, now=self.clock()
        )
        return self._seat(invitation, until=invitation.expires_at) if first else None

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
        wait = await self.store.attempt(limits, now=now)
        if wait > 0:
            return LockedOut(retry_after=wait)
        burn = self._burn_of(at.factors, typed, now)
        return "wrong-code" if burn is None else await self._redeem(at, burn, limits)

    async def prove_key(self, at: Seated, relying_party: RelyingParty, answer: str) -> Proof:
        """Check the browser's answer to `proof_options`.

        Raises:
            NotVerified: it proves nothing.
        """
        asserted = verify_assertion(
            answer,
            relying_party=relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.get"),
            known=[
                KnownAuthenticator(factor=factor.id, authenticator=_authenticator(factor), mark=factor.mark)
                for factor in at.factors
                if factor.kind == "webauthn"
            ],
            user_verification=_USER_VERIFICATION,
        )
        if asserted.mark is None:
            return await self._redeem(at, Presence(factor=asserted.factor))
        return await self._redeem(at, Advance(factor=asserted.factor, mark=asserted.mark))

    def proof_options(self, at: Seated, relying_party: RelyingParty) -> dict[str, Any]:
        """What the browser is given to prove a key or passkey that the subject has, as JSON."""
        return assertion_options(
            relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.get"),
            registered=_registered(at.factors),
            user_verification=_USER_VERIFICATION,
        )

    async def _redeem(self, at: Seated, burn: Burn, limits: tuple[Limit, ...] = ()) -> Proof:
        """Burn what was shown, and the link with it; the seat then rests on the factor, or on one that outlives it."""
        rest = at.authenticators if isinstance(burn, UseUp) else at.factors
        kept = next((one.id for one in rest if isinstance(burn, UseUp) or one.id == burn.factor), None)
        if kept is None:  # a recovery code with nothing behind it: there is no factor left to rest on
            return "gone"
        now = self.clock()
        redemption = Redemption(subject=at.subject, burn=burn, grants=(), limits=limits, ticket=_link(at.invitation))
        redeemed = await self.store.redeem(redemption, now=now)
        match redeemed:
            case Redeemed.DONE:
                return self._seat(at.invitation, until=now + PROVEN_SECONDS, factor=kept)
            case Redeemed.MARK_USED:
                return "code-used"
            case Redeemed.FACTOR_GONE:
                return "code-used" if isinstance(burn, UseUp) else "gone"
            case Redeemed.TICKET_USED:
                return "used"
            case _:
                assert_never(redeemed)

    async def begin_app(self, at: Seated, name: str) -> Change:
        """A new authenticator app that waits for its first code, in the place of those that still do."""
        if at.may not in ("add-first", "change"):
            return "unproven"
        factor = seal_factor(
            self.entropy(SECRET_BYTES),
            subject=at.subject,
            confirmed=False,
            keys=self.keys,
            now=self.clock(),
            entropy=self.entropy,
            name=name,
            # Its secret is shown at this link's page only: another link's browser may wait for its own.
            public=at.invitation.id,
        )
        return _after(await self._enroll(at, (factor,), ticket=None), at.seat)

    async def waiting_app(self, at: Seated) -> tuple[EnrolledFactor, bytes] | None:
        """The app of this invitation that waits for its first code, and its secret."""
        for factor in await self.store.factors(at.subject):
            if factor.kind == "totp" and not factor.confirmed and factor.public == at.invitation.id:
                return factor, self._open(factor)
        return None

    async def confirm_app(self, at: Seated, code: str) -> Change:
        """Let the waiting app count, if this is its code."""
        if at.may not in ("add-first", "change"):
            return "unproven"
        waiting = await self.waiting_app(at)
        if waiting is None:
            return "gone"
        factor, secret = waiting
        now = self.clock()
        step = verify(secret, code, now)
        if step is None:
            return "wrong-code"
        burn = Advance(factor=factor.id, mark=step)
        confirmed = await self.store.confirm_factor(at.subject, burn, now=now, ticket=_ticket(at))
        match confirmed:
            case Redeemed.DONE:
                return self._next(at, rests_on=at.seat.factor or factor.id)
            case Redeemed.TICKET_USED:
                return "used"
            case Redeemed.MARK_USED:
                return "wrong-code"
            case Redeemed.FACTOR_GONE:
                return "gone"
            case _:
                assert_never(confirmed)

    def key_options(self, at: Seated, relying_party: RelyingParty) -> dict[str, Any]:
        """What the browser is given to register a security key or a passkey, as JSON."""
        registered = _registered(at.factors)
        return registration_options(
            relying_party,
            user_name=at.subject.id,
            user_handle=_handle(at, registered),
            challenge=challenge_of(at.seat.id, "webauthn.create"),
            registered=registered,
            user_verification=_USER_VERIFICATION,
        )

    async def add_key(self, at: Seated, relying_party: RelyingParty, *, answer: str, name: str) -> Change:
        """The security key or passkey that the browser's answer brings.

        Raises:
            NotVerified: it brings none.
        """
        if at.may not in ("add-first", "change"):
            return "unproven"
        registered = _registered(at.factors)
        new = verify_registration(
            answer,
            relying_party=relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.create"),
            user_handle=_handle(at, registered),
            registered=registered,
            user_verification=_USER_VERIFICATION,
        )
        factor = EnrolledFactor(
            id=self.entropy(FACTOR_ID_BYTES).hex(),
            subject=at.subject,
            kind="webauthn",
            created_at=self.clock(),
            confirmed=True,
            name=name,
            public=new.authenticator.to_text(),
            mark=new.mark,
        )
        enrolled = await self._enroll(at, (factor,), ticket=_ticket(at))
        return _after(enrolled, self._next(at, rests_on=at.seat.factor or factor.id))

    async def make_codes(self, at: Seated) -> tuple[Change, tuple[str, ...]]:
        """Ten new recovery codes in the place of all that are left; who they are shown to must keep them."""
        if at.may != "change":
            return "unproven", ()
        codes = make_codes(self.entropy(CODES * CODE_BYTES))
        factors = tuple(
            seal_factor(
                digest(code.replace("-", "")),
                subject=at.subject,
                confirmed=True,
                keys=self.keys,
                now=self.clock(),
                entropy=self.entropy,
                kind="recovery",
            )
            for code in codes
        )
        enrolled = await self._enroll(at, factors, ticket=_ticket(at), replaces=frozenset({"recovery"}))
        return _after(enrolled, self._next(at)), codes

    async def rename(self, at: Seated, factor: str, name: str) -> Change:
        """Call an app or a key by another name."""
        if at.may != "change":
            return "unproven"
        if not any(known.id == factor for known in at.authenticators):
            return "gone"
        return self._next(at) if await self.store.rename_factor(at.subject, factor, name) else "gone"

    async def remove(self, at: Seated, factor: str) -> Change:
        """Forget an app or a key, but for the last one: only whoever runs the server can take that away."""
        if at.may != "change":
            return "unproven"
        rest = [known for known in at.authenticators if known.id != factor]
        if len(rest) == len(at.authenticators):
            return "gone"
        if not rest:
            return "last"
        if not await self.store.remove_factor(at.subject, factor):
            return "gone"
        return self._next(at, rests_on=rest[0].id if at.seat.factor == factor else None)

    async def _enroll(
        self,
        at: Seated,
        factors: tuple[EnrolledFactor, ...],
        *,
        ticket: SpentTicket | None,
        replaces: frozenset[FactorKind] = frozenset(),
    ) -> Enrolled:
        first = not at.seat.proven
        # What waits beside a first factor goes: or it would become a second one that nobody had to prove for.
        enrolment = Enrolment(
            subject=at.subject,
            factors=factors,
            replaces=AUTHENTICATORS if first else replaces,
            first=first,
            ticket=ticket,
        )
        return await self.store.enroll(enrolment, now=self.clock())

    def _next(self, at: Seated, *, rests_on: str | None = None) -> Seat:
        """The seat after a change: a new id, and no more time than it had, unless the first factor has come."""
        until = at.seat.until if at.seat.proven else self.clock() + PROVEN_SECONDS
        return self._seat(at.invitation, until=until, factor=at.seat.factor if rests_on is None else rests_on)

    def _seat(self, invitation: Invitation, *, until: float, factor: str = "") -> Seat:
        return Seat(id=self.entropy(SEAT_ID_BYTES).hex(), invitation=invitation.id, until=int(until), factor=factor)

    def _burn_of(self, factors: Sequence[EnrolledFactor], typed: str, now: float) -> Burn | None:
        """What a code burns, `None` if it is nobody's. All are tried, whichever fits."""
        burn: Burn | None = None
        for factor in factors:
            if factor.kind == "totp":
                step = verify(self._open(factor), typed, now)
                if step is not None and burn is None:
                    burn = Advance(factor=factor.id, mark=step)
        kept = {factor.id: self._open(factor) for factor in factors if factor.kind == "recovery"}
        code = find(typed, kept)
        return burn if code is None else UseUp(factor=code)

    def _open(self, factor: EnrolledFactor) -> bytes:
        try:
            return open_factor(factor, self.keys)
        except SealBroken as error:
            raise StateUnavailable(f"factor `{factor.id}`: {error}") from error


def _link(invitation: Invitation) -> SpentTicket:
    return SpentTicket(id=invitation.id, expires_at=invitation.expires_at)


def _ticket(at: Seated) -> SpentTicket:
    """What a change burns: the link when it brings the first factor, else the seat."""
    return SpentTicket(id=at.seat.id, expires_at=at.seat.until) if at.seat.proven else _link(at.invitation)


def _after(enrolled: Enrolled, seat: Seat) -> Change:
    match enrolled:
        case Enrolled.DONE:
            return seat
        case Enrolled.TICKET_USED:
            return "used"
        case Enrolled.NOT_FIRST:
            return "not-first"
        case _:
            assert_never(enrolled)


def _registered(factors: Iterable[EnrolledFactor]) -> tuple[Authenticator, ...]:
    return tuple(_authenticator(factor) for factor in factors if factor.kind == "webauthn")


def _authenticator(factor: EnrolledFactor) -> Authenticator:
    try:
        return Authenticator.from_text(factor.public)
    except NotVerified as error:
        raise StateUnavailable(f"factor `{factor.id}`: {error}") from error


def _handle(at: Seated, registered: Sequence[Authenticator]) -> bytes:
    return registered[0].user_handle if registered else user_handle(at.invitation)
