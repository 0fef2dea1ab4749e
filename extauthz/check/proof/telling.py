"""What is told of a proof: that a challenge was met, by which factor, and what that has left; or why it was not.

The rule: it is told when the store has it, by whoever has given it there; a code is never in it.
"""

from typing import assert_never

import msgspec

from extauthz.check.proof.proving import LockedOut, NotProven, ProofOutcome, Proven, TicketUsed, Unverified
from extauthz.record.chronicle import REQUESTER, Chronicle, approver
from extauthz.stepup.ticket import Ticket
from extauthz.values.decisions import Factor
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.origin import NO_ORIGIN, Origin


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody tries to prove: `subject` by a `factor`, for a `challenge` (its public id, `None` for a code that
    came along with a request or a vote), which was opened at `since` by the decision that is its `origin`."""

    chronicle: Chronicle
    subject: Subject
    factor: Factor
    by: str = REQUESTER
    origin: Origin = NO_ORIGIN
    challenge: str | None = None
    since: float | None = None

    def tell(self, outcome: ProofOutcome) -> None:
        """How it came out."""
        match outcome:
            case Proven():
                self._met(outcome)
            case NotProven():
                self.tell_failure(outcome.reason)
                if outcome.locks:
                    tell_locked(self.chronicle, self.subject, by=self.by, seconds=outcome.locks, origin=self.origin)
            case Unverified() | LockedOut() | TicketUsed():
                self.tell_failure(outcome.reason)
            case _:
                assert_never(outcome)

    def tell_failure(self, reason: str) -> None:
        """Nothing was proven."""
        self.chronicle.tell(
            "challenge.failed",
            subject=self.subject,
            by=self.by,
            origin=self.origin,
            challenge=self.challenge,
            factor=self.factor,
            reason=reason,
        )

    def _met(self, proven: Proven) -> None:
        tell_proven(self.chronicle, self.subject, self.factor, by=self.by, origin=self.origin, challenge=self.challenge)
        rules = tuple(sorted({grant.rule for grant in proven.grants}))
        self.chronicle.tell(
            "challenge.met",
            subject=self.subject,
            by=self.by,
            origin=self.origin,
            rule=next(iter(rules), None),
            challenge=self.challenge,
            factor=self.factor,
            details={"rules": rules},
            since=self.since,
        )
        for grant in proven.grants:
            tell_given(self.chronicle, grant, by=self.by, origin=self.origin, challenge=self.challenge)


def tell_proven(
    chronicle: Chronicle,
    subject: Subject,
    factor: str,
    *,
    by: str = REQUESTER,
    origin: Origin = NO_ORIGIN,
    challenge: str | None = None,
) -> None:
    """A factor of the subject was right."""
    chronicle.tell("factor.proven", subject=subject, by=by, origin=origin, challenge=challenge, factor=factor)


def tell_locked(
    chronicle: Chronicle, subject: Subject, *, by: str = REQUESTER, seconds: float, origin: Origin = NO_ORIGIN
) -> None:
    """No code of the subject's, or of who shares its address, is looked at for these seconds."""
    chronicle.tell("factor.locked", subject=subject, by=by, origin=origin, details={"seconds": round(seconds, 3)})


def tell_given(
    chronicle: Chronicle,
    grant: Grant,
    *,
    by: str,
    origin: Origin,
    challenge: str | None = None,
    approval: str | None = None,
) -> None:
    """A grant is in the store."""
    uses = {} if grant.uses is None else {"uses": grant.uses}
    chronicle.tell(
        "grant.given",
        subject=grant.subject,
        by=by,
        origin=origin,
        rule=grant.rule,
        challenge=challenge,
        approval=approval,
        grant=grant.id,
        factor=grant.factor,
        details={"valid_s": round(grant.expires_at - grant.issued_at, 3), **uses},
    )


def tell_used(chronicle: Chronicle, grants: tuple[Grant, ...], used: frozenset[str], *, origin: Origin) -> None:
    """Of these `grants`, those whose ids are in `used` have lost a use, by the decision that is the `origin`."""
    for grant in grants:
        if grant.id in used:
            approval = grant.approval
            chronicle.tell(
                "grant.used",
                subject=grant.subject,
                by=REQUESTER,
                origin=origin,
                beside=NO_ORIGIN if approval is None else approval.origin,
                rule=grant.rule,
                approval=None if approval is None else approval.id,
                grant=grant.id,
                factor=grant.factor,
            )


def at_page(ticket: Ticket) -> str:
    """Who is at the page that a ticket opens, as records name them."""
    return approver(ticket.approver) if ticket.approver else REQUESTER


def tell_opened(chronicle: Chronicle, ticket: Ticket, *, approvals: tuple[str, ...]) -> None:
    """A challenge was opened on the way to one of these approvals, by a page."""
    chronicle.tell(
        "challenge.opened",
        subject=ticket.subject,
        by=at_page(ticket),
        origin=ticket.origin,
        rule=ticket.demands[0].rule,
        challenge=ticket.id,
        approval=approvals[0],
        details={"rules": tuple(demand.rule for demand in ticket.demands)},
    )
