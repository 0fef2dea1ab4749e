"""Approvals: what people and callers do with them, and the one way in which any of it is written.

The rules: an approval changes by `approval.course` alone, on the version that was read, and with it in one step the
grant that it leaves or loses and the letters that tell of it; whoever comes second looks again. Who answers, and by
which rights, is worked out here from the login, never taken from a form. Terms are those of the rule in force now.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, assert_never

import msgspec
from msgspec.structs import replace

from extauthz.approval import course
from extauthz.approval.audience import audience
from extauthz.approval.course import By, Operator, Outcome
from extauthz.approval.on_call import Right, Schedules, rights
from extauthz.approval.refusals import Refusal
from extauthz.approval.telling.addressing import Addressees
from extauthz.approval.terms import Terms
from extauthz.check.approval_telling import named, tell
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import RevocationsStale, SubjectBlocked, TokenRevoked
from extauthz.record.chronicle import REQUESTER, SILENT, Chronicle
from extauthz.record.life import SERVER
from extauthz.store.approvals import ApprovalStore, Opened, Replaced
from extauthz.values.approvals import Absence, Approval, Approver, Channel, Picture, Proof, Stance, Verdict, key_of
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer
from extauthz.values.identity import Credential, Identity, User
from extauthz.values.letters import EventKind, Letter

APPROVAL_ID_BYTES: Final = 16
MOST_TRIES: Final = 50
"""How often a change is tried again that somebody else has come before: each of them has changed it, so that is enough
for everybody whom a rule can ask at the same moment."""

NOBODY: Final = Addressees()
"""Who is told where nobody wants to be."""

Step = Callable[[Approval, Terms | None, float], Outcome]
"""What is to become of an approval by these terms at a moment (seconds since the epoch)."""


class BrokenGlass(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says who goes through without an answer: as the decision offers it, why, and what they proved."""

    offer: BreakGlassOffer
    reason: str
    proof: Proof


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """It waits for an answer."""

    approval: Approval


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """There is a grant in the store: decide again with a new look-up. If that is not enough by the rule of the moment,
    ask `despite` this approval's id."""

    approval: Approval


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """It is denied, until `until` (seconds since the epoch), or can't be asked; `refusal` is why a glass stays whole.

    `overloaded`: this subject has asked for enough already.
    """

    reason: Literal["approval-denied", "overloaded", "break-glass-refused", "subject-blocked", "token-revoked"]
    approval: Approval | None = None
    until: float | None = None
    refusal: Refusal | None = None


Asked = Pending | Granted | Refused


class Approvals(msgspec.Struct, frozen=True, kw_only=True):
    """`terms_of(rule, now)` are the terms of a rule in force, `None` if there is none. `clock` gives seconds since the
    epoch, `entropy(n)` n random bytes. An approval is kept for `keep` seconds after it is over; a subject may have
    `most_open` pending ones. `revocations` is `None` where nobody can revoke anything. Everything that is asynchronous
    raises `StateUnavailable`.
    """

    store: ApprovalStore
    terms_of: Callable[[str, float], Terms | None]
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    keep: float
    most_open: int
    schedules: Schedules
    addressees: Addressees = NOBODY
    revocations: RevocationFeed | None = None
    chronicle: Chronicle = SILENT

    async def ask(
        self,
        demand: ApprovalDemand,
        *,
        holder: str,
        picture: Picture,
        since: float | None,
        glass: BrokenGlass | None = None,
        despite: str = "",
    ) -> Asked:
        """Open an approval for what a decision demands, or join the one that is open for the same.

        `since` is when the oldest token was issued that the request rests on, `None` if nobody knows. With `glass` its
        caller goes through at once.
        """
        now = self.clock()
        terms = self.terms_of(demand.rule, now)
        new = self._new(demand, holder=holder, picture=picture, since=since, now=now)
        outcome = course.bring_up(new, terms, now=now) if glass is None else _broken(new, terms, glass, now)
        if outcome.refusal is not None:
            return Refused(reason="break-glass-refused", refusal=outcome.refusal)
        new = outcome.approval
        kinds: tuple[EventKind, ...] = ("opened", *outcome.happenings)
        opening = await self.store.open_approval(
            new,
            grants=() if outcome.grant is None else (outcome.grant,),
            letters=await self._letters(new, kinds, terms, now),
            keep=self.keep,
            most_open=self.most_open,
            despite=despite,
            now=now,
        )
        match opening.how:
            case Opened.OPENED:
                tell(self.chronicle, new, kinds, by=REQUESTER, grant=outcome.grant)
                return Pending(approval=new) if outcome.grant is None else Granted(approval=new)
            case Opened.JOINED:
                assert opening.approval is not None  # noqa: S101 - that is what joining is
                return await self._joined(opening.approval, glass)
            case Opened.FULL:
                return Refused(reason="overloaded")
            case Opened.BLOCKED:
                return Refused(reason="subject-blocked")
            case Opened.REVOKED:
                return Refused(reason="token-revoked")
            case _:
                assert_never(opening.how)

    async def vote(
        self,
        id_: str,
        approver: Approver,
        *,
        stance: Stance,
        reason: str,
        proof: Proof | None,
        channel: Channel,
    ) -> Approval | Refusal:
        """Answer, by the approver's own right, or else in the place of the first who is away and has named them."""

        held = await self.rights(approver)

        def step(approval: Approval, terms: Terms | None, now: float) -> Outcome:
            return course.vote(
                approval,
                terms,
                approver=approver,
                rights=held,
                stance=stance,
                reason=reason,
                proof=proof,
                channel=channel,
                now=now,
            )

        return await self.change(id_, step, by=named(approver))

    async def cancel(self, id_: str, *, by: By, reason: str = "") -> Approval | Refusal:
        """Take back what was asked and not answered yet."""
        return await self.change(
            id_,
            lambda approval, terms, now: course.cancel(approval, terms, by=by, reason=reason, now=now),
            by=named(by),
        )

    async def revoke(self, id_: str, *, by: By, reason: str = "") -> Approval | Refusal:
        """Take back what was given: its grant is gone when this returns."""
        held = await self.rights(by) if isinstance(by, Approver) else ()
        return await self.change(
            id_,
            lambda approval, terms, now: course.revoke(approval, terms, by=by, rights=held, reason=reason, now=now),
            by=named(by),
        )

    async def review(
        self, id_: str, approver: Approver, *, verdict: Verdict, reason: str, proof: Proof | None
    ) -> Approval | Refusal:
        """Say afterwards whether a break-glass was justified; what is left of one that was not is taken back."""
        held = await self.rights(approver)

        def step(approval: Approval, terms: Terms | None, now: float) -> Outcome:
            return course.review(
                approval,
                terms,
                approver=approver,
                rights=held,
                verdict=verdict,
                reason=reason,
                proof=proof,
                now=now,
            )

        return await self.change(id_, step, by=named(approver))

    async def rights(self, approver: Approver) -> Sequence[Right]:
        """By which rights an approver may answer now: their own, and those of the people they stand in for."""
        now = self.clock()
        return rights(approver, schedules=self.schedules, absences=await self.absences(now), now=now)

    async def absences(self, now: float) -> tuple[Absence, ...]:
        """Those that are not over at `now`. An absence is as good as the login by which it was entered: it ends with
        what ends that."""
        return tuple(one for one in await self.store.absences(now=now) if self._stands(one, now))

    async def change(self, id_: str, step: Step, *, by: str = SERVER) -> Approval | Refusal:
        """Take this step with an approval, as records name who does `by`; what it comes to, once it is written."""
        for _ in range(MOST_TRIES):
            before = await self.store.approval(id_)
            if before is None:
                return Refusal(word="not-found")
            now = self.clock()
            terms = self.terms_of(before.rule, now)
            outcome = step(before, terms, now)
            if not outcome.happenings and outcome.approval == before:
                return outcome.refusal or before
            written = await self._write(before, outcome, terms, now)
            match written:
                case Replaced.DONE:
                    tell(self.chronicle, outcome.approval, outcome.happenings, by=by, grant=outcome.grant)
                    return outcome.refusal or replace(outcome.approval, version=before.version + 1)
                case Replaced.CONFLICT:
                    continue
                case Replaced.GONE:
                    return Refusal(word="not-found")
                case Replaced.BLOCKED | Replaced.REVOKED:
                    await self.cancel(id_, by=Operator(name="revocations"), reason="whoever asks for it was revoked")
                    return Refusal(word="subject-blocked")
                case _:
                    assert_never(written)
        return Refusal(word="conflict")

    def _new(
        self, demand: ApprovalDemand, *, holder: str, picture: Picture, since: float | None, now: float
    ) -> Approval:
        return Approval(
            id=self.entropy(APPROVAL_ID_BYTES).hex(),
            key=key_of(
                subject=demand.subject,
                session=demand.session,
                holder=holder,
                rule=demand.rule,
                binding=demand.binding,
            ),
            rule=demand.rule,
            binding=demand.binding,
            bind=demand.bind,
            subject=demand.subject,
            session=demand.session,
            holder=holder,
            since=since,
            requesters=demand.requesters,
            opened_at=now,
            expires_at=now + demand.expires_in,
            state_at=now,
            picture=picture,
        )

    async def _joined(self, approval: Approval, glass: BrokenGlass | None) -> Asked:
        match approval.state:
            case "denied" | "cancelled":
                return Refused(reason="approval-denied", approval=approval, until=approval.cooldown_until)
            case "approved":
                return Granted(approval=approval)
            case "pending" | "expired":
                pass
            case _:
                assert_never(approval.state)
        if glass is None:
            return Pending(approval=approval)
        changed = await self.change(
            approval.id, lambda before, terms, now: _broken(before, terms, glass, now), by=REQUESTER
        )
        if isinstance(changed, Refusal):
            return Refused(reason="break-glass-refused", approval=approval, refusal=changed)
        return Granted(approval=changed)

    def _stands(self, absence: Absence, now: float) -> bool:
        if self.revocations is None:
            return True
        subject = absence.absent.subject
        login = Credential(subjects=(subject,), issued_at=absence.made_at)
        try:
            self.revocations.check(
                Identity(user=User(sub=subject.id, iss=subject.issuer), credentials=(login,)), now=now
            )
        except (SubjectBlocked, TokenRevoked, RevocationsStale):
            return False
        return True

    async def _write(self, before: Approval, outcome: Outcome, terms: Terms | None, now: float) -> Replaced:
        new = replace(outcome.approval, version=before.version + 1)
        return await self.store.replace_approval(
            new,
            version=before.version,
            grants=() if outcome.grant is None else (outcome.grant,),
            forget=(new.id,) if outcome.takes_back else (),
            letters=await self._letters(new, outcome.happenings, terms, now),
            keep=self.keep,
            now=now,
        )

    async def _letters(
        self, approval: Approval, kinds: Sequence[EventKind], terms: Terms | None, now: float
    ) -> Sequence[Letter]:
        if not kinds or self.addressees == NOBODY:
            return ()
        asked = audience(approval, terms, schedules=self.schedules, absences=await self.absences(now), now=now)
        return self.addressees.letters(approval, kinds, asked, now=now)


def _broken(approval: Approval, terms: Terms | None, glass: BrokenGlass, now: float) -> Outcome:
    return course.break_glass(
        approval,
        terms,
        by=glass.offer.by,
        reason=glass.reason,
        proof=glass.proof,
        valid_for=glass.offer.valid_for,
        now=now,
    )
