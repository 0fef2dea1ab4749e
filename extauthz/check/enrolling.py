"""How factors come and go: the flows behind the enrolment page.

The rule (enrolment guard): the first factor of a subject needs an invitation, and the browser that began with it; every
other change needs a factor that the subject has, proven in that browser and still there. The store decides which is
the case, in the same transaction that makes the change, so that two links make no two first factors.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, assert_never

import msgspec

from extauthz.check.proof.proving import issued_since
from extauthz.check.seating import USER_VERIFICATION, Seated, Seating, keys_of, link_of
from extauthz.record.chronicle import REQUESTER
from extauthz.record.life import Detail, LifeKind
from extauthz.stepup.authenticators import Authenticator, challenge_of
from extauthz.stepup.enrolment import PROVEN_SECONDS, Seat, user_handle
from extauthz.stepup.recovery import CODE_BYTES, CODES, make_codes
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import SECRET_BYTES, verify
from extauthz.store.factor_secret import FACTOR_ID_BYTES, seal_codes, seal_factor
from extauthz.store.protocol import (
    AUTHENTICATORS,
    Advance,
    Changed,
    EnrolledFactor,
    Enrolment,
    FactorKind,
    Ground,
    SpentTicket,
)

MOST_AUTHENTICATORS: Final = 20
"""How many apps and keys a subject sets up: each is read with every proof, and each app is one more code to guess."""

Change = Seat | Literal["unproven", "used", "not-first", "wrong-code", "gone", "last", "too-many"]
"""The new seat after a change; or why nothing has changed.

`unproven`: a factor has to be proven before. `used`: the link, or the form, has served. `not-first`: the subject got a
factor meanwhile. `wrong-code`: it is not the first code of the new app, or was used before. `gone`: the factor is not
there (any more). `last`: the last app or key does not go. `too-many`: there are MOST_AUTHENTICATORS.
"""


class Enrolling(msgspec.Struct, frozen=True, kw_only=True):
    """The changes. What is asynchronous raises `StateUnavailable`."""

    seating: Seating

    async def begin_app(self, at: Seated, name: str) -> Change:
        """A new authenticator app that waits for its first code, in the place of those that still do."""
        refused = _refusal(at)
        if refused is not None:
            return refused
        factor = seal_factor(
            self.seating.entropy(SECRET_BYTES),
            subject=at.subject,
            confirmed=False,
            keys=self.seating.keys,
            now=self.seating.clock(),
            entropy=self.seating.entropy,
            name=name,
            # Its secret is shown at this link's page only: another link's browser may wait for its own.
            public=at.invitation.id,
        )
        return _after(await self._enroll(at, (factor,), ticket=None), at.seat)

    async def waiting_app(self, at: Seated) -> tuple[EnrolledFactor, bytes] | None:
        """The app of this invitation that waits for its first code, and its secret."""
        for factor in await self.seating.store.factors(at.subject):
            if factor.kind == "totp" and not factor.confirmed and factor.public == at.invitation.id:
                return factor, self.seating.open_secret(factor)
        return None

    async def confirm_app(self, at: Seated, code: str) -> Change:
        """Let the waiting app count, if this is its code."""
        refused = _refusal(at)
        if refused is not None:
            return refused
        waiting = await self.waiting_app(at)
        if waiting is None:
            return "gone"
        factor, secret = waiting
        now = self.seating.clock()
        step = verify(secret, code, now)
        if step is None:
            return "wrong-code"
        burn = Advance(factor=factor.id, mark=step)
        confirmed = await self.seating.store.confirm_factor(
            at.subject, burn, now=now, ground=_ground(at), ticket=_ticket(at)
        )
        self._tell(confirmed, "factor.enrolled", at, factor)
        return _after(confirmed, self._next(at, rests_on=at.seat.factor or factor.id))

    def key_options(self, at: Seated, relying_party: RelyingParty) -> dict[str, Any]:
        """What the browser is given to register a security key or a passkey, as JSON."""
        from extauthz.stepup.webauthn import registration_options

        registered = keys_of(at.factors)
        return registration_options(
            relying_party,
            user_name=at.subject.id,
            user_handle=_handle(at, registered),
            challenge=challenge_of(at.seat.id, "webauthn.create"),
            registered=registered,
            user_verification=USER_VERIFICATION,
        )

    async def add_key(self, at: Seated, relying_party: RelyingParty, *, answer: str, name: str) -> Change:
        """The security key or passkey that the browser's answer brings.

        Raises:
            NotVerified: it brings none.
        """
        from extauthz.stepup.webauthn import verify_registration

        refused = _refusal(at)
        if refused is not None:
            return refused
        registered = keys_of(at.factors)
        new = verify_registration(
            answer,
            relying_party=relying_party,
            challenge=challenge_of(at.seat.id, "webauthn.create"),
            user_handle=_handle(at, registered),
            registered=registered,
            user_verification=USER_VERIFICATION,
        )
        factor = EnrolledFactor(
            id=self.seating.entropy(FACTOR_ID_BYTES).hex(),
            subject=at.subject,
            kind="webauthn",
            created_at=self.seating.clock(),
            confirmed=True,
            name=name,
            public=new.authenticator.to_text(),
            mark=new.mark,
        )
        enrolled = await self._enroll(at, (factor,), ticket=_ticket(at))
        self._tell(enrolled, "factor.enrolled", at, factor)
        return _after(enrolled, self._next(at, rests_on=at.seat.factor or factor.id))

    async def make_codes(self, at: Seated) -> tuple[Change, tuple[str, ...]]:
        """Ten new recovery codes in the place of all that are left; who they are shown to must keep them."""
        if at.may != "change":
            return "unproven", ()
        codes = make_codes(self.seating.entropy(CODES * CODE_BYTES))
        factors = seal_codes(
            codes,
            subject=at.subject,
            keys=self.seating.keys,
            now=self.seating.clock(),
            entropy=self.seating.entropy,
        )
        enrolled = await self._enroll(at, factors, ticket=_ticket(at), replaces=frozenset({"recovery"}))
        self._tell(enrolled, "factor.enrolled", at, factors[0], codes=len(codes))
        change = _after(enrolled, self._next(at))
        return change, codes if isinstance(change, Seat) else ()

    async def rename(self, at: Seated, factor: str, name: str) -> Change:
        """Call an app or a key by another name."""
        if at.may != "change":
            return "unproven"
        if not any(known.id == factor for known in at.authenticators):
            return "gone"
        renamed = await self.seating.store.rename_factor(
            at.subject, factor, name, now=self.seating.clock(), ground=_ground(at)
        )
        return _after(renamed, self._next(at))

    async def remove(self, at: Seated, factor: str) -> Change:
        """Forget an app or a key, but for the last one: only whoever runs the server can take that away."""
        if at.may != "change":
            return "unproven"
        gone = next((known for known in at.authenticators if known.id == factor), None)
        rest = [known for known in at.authenticators if known.id != factor]
        if gone is None:
            return "gone"
        removed = await self.seating.store.remove_factor(
            at.subject, factor, now=self.seating.clock(), ground=_ground(at)
        )
        self._tell(removed, "factor.removed", at, gone)
        return _after(removed, self._next(at, rests_on=rest[0].id if rest and at.seat.factor == factor else None))

    def _tell(self, changed: Changed, kind: LifeKind, at: Seated, factor: EnrolledFactor, **details: Detail) -> None:
        """Tell of a change that was made."""
        if changed is Changed.DONE:
            grounds = {"grounds": at.invitation.grounds, "first": not at.seat.proven}
            self.seating.chronicle.tell(
                kind,
                subject=at.subject,
                by=REQUESTER,
                factor=factor.kind,
                details={"id": factor.id, **grounds, **details},
            )

    async def _enroll(
        self,
        at: Seated,
        factors: tuple[EnrolledFactor, ...],
        *,
        ticket: SpentTicket | None,
        replaces: frozenset[FactorKind] = frozenset(),
    ) -> Changed:
        # What waits beside a first factor goes: or it would become a second one that nobody had to prove for.
        enrolment = Enrolment(
            subject=at.subject,
            factors=factors,
            replaces=replaces if at.seat.proven else AUTHENTICATORS,
            ground=_ground(at),
            ticket=ticket,
        )
        return await self.seating.store.enroll(enrolment, now=self.seating.clock())

    def _next(self, at: Seated, *, rests_on: str | None = None) -> Seat:
        """The seat after a change: a new id, and no more time than it had, unless the first factor has come."""
        until = at.seat.until if at.seat.proven else self.seating.clock() + PROVEN_SECONDS
        return self.seating.new_seat(
            at.invitation, until=until, factor=at.seat.factor if rests_on is None else rests_on
        )


def _refusal(at: Seated) -> Literal["unproven", "too-many"] | None:
    """What stands against one more app or key."""
    if at.may not in ("add-first", "change"):
        return "unproven"
    return "too-many" if len(at.authenticators) >= MOST_AUTHENTICATORS else None


def _ticket(at: Seated) -> SpentTicket:
    """What a change burns: the link when it brings the first factor, else the seat."""
    return SpentTicket(id=at.seat.id, expires_at=at.seat.until) if at.seat.proven else link_of(at.invitation)


def _ground(at: Seated) -> Ground:
    """What changes rest on: the factor that was proven, else the link; and what that came from."""
    invitation = at.invitation
    since = issued_since(at.subject, invitation.credentials)
    return Ground(factor=at.seat.factor, laid_at=invitation.issued_at, since=since, session=invitation.session)


def _after(changed: Changed, seat: Seat) -> Change:
    match changed:
        case Changed.DONE:
            return seat
        case Changed.TICKET_USED | Changed.GROUND_GONE:
            return "used"
        case Changed.NOT_FIRST:
            return "not-first"
        case Changed.FACTOR_GONE:
            return "gone"
        case Changed.MARK_USED:
            return "wrong-code"
        case Changed.LAST:
            return "last"
        case _:
            assert_never(changed)


def _handle(at: Seated, registered: Sequence[Authenticator]) -> bytes:
    return registered[0].user_handle if registered else user_handle(at.invitation)
