"""Who waits for approvals on a page: how it stands, withdrawing it, and going through without.

The rules: a ticket says for which approvals somebody waits and nothing about how they stand, so that is looked up each
time; and a glass is broken by a proof that was given for it, of the same browser, and for all of them or for none.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import structlog

from extauthz.approval import course
from extauthz.approval.course import LONGEST_REASON, Outcome
from extauthz.approval.refusals import Refusal
from extauthz.approval.terms import Terms
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals
from extauthz.check.proof.telling import tell_used
from extauthz.record.chronicle import REQUESTER
from extauthz.stepup.factors import accepted_amr
from extauthz.stepup.ticket import Ticket, Wait
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Approver, Proof, State
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.grants import Grant

_log = structlog.get_logger(__name__)

MOST_REASONS: Final = 5
"""How many of the reasons against one approval are told to who has asked, the latest; each is bounded by itself."""

_WORST_FIRST: tuple[State, ...] = ("denied", "cancelled", "expired", "pending", "approved")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One approval as who waits for it sees it: `given` of `wanted` persons have approved.

    `against` is why it was denied or cancelled, as far as anybody has said: text of others, but not who they are.
    """

    approval: Approval
    given: int
    wanted: int
    against: tuple[str, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How all of them stand together: given when each is, over as soon as one is."""

    state: State
    shown: tuple[Shown, ...]

    @property
    def expires_at(self) -> float:
        """When the first of them is over, in seconds since the epoch."""
        return min((one.approval.expires_at for one in self.shown), default=0.0)

    @property
    def denied_until(self) -> float:
        """Until when asking for the same again is denied at once, in seconds since the epoch."""
        return max((one.approval.cooldown_until or 0.0 for one in self.shown), default=0.0)


Unbroken = Literal["no-reason", "not-proven", "refused"]
"""Why a glass is whole: nobody said why, nobody has proven who they are for it, or it can't be broken (any more)."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What the waiting page asks. Everything that is asynchronous raises `StateUnavailable`."""

    approvals: Approvals
    news: ApprovalNews
    store: Store
    clock: Callable[[], float]

    async def look(self, wait: Wait) -> Standing:
        """How it stands now; what is kept no more has expired."""
        now = self.clock()
        found = await self.store.approvals_of(wait.approvals)
        shown = tuple(self._shown(found[id_], now) for id_ in wait.approvals if id_ in found)
        states = {_state(one.approval, now) for one in shown}
        if len(shown) < len(wait.approvals):
            states.add("expired")
        return Standing(state=next(state for state in _WORST_FIRST if state in states), shown=shown)

    async def cancel(self, ticket: Ticket, wait: Wait) -> None:
        """Withdraw what nobody has answered yet."""
        for id_ in wait.approvals:
            cancelled = await self.approvals.cancel(id_, by=ticket.subject)
            if isinstance(cancelled, Refusal):
                _log.info("not-cancelled", approval=id_, word=cancelled.word)

    async def break_glass(self, ticket: Ticket, wait: Wait, *, holder: str) -> Unbroken | None:
        """Go through without an answer, by the proofs that this browser, which has `holder`, has given for that."""
        if not wait.reason or len(ticket.demands) != len(wait.approvals):
            return "no-reason"
        now = self.clock()
        standing = await self.look(wait)
        if standing.state != "pending" or not all(self._may(one.approval, wait, now) for one in standing.shown):
            return "refused"
        found = await self.store.look_up(ticket.subject, ticket.session, fingerprint="", now=now)
        proofs = [_proof(found.grants, demand, ticket, holder, now) for demand in ticket.demands]
        given = [proof for proof in proofs if proof is not None]
        if len(given) < len(proofs):
            return "not-proven"
        ids = tuple(proof.id for proof in given)
        used = await self.store.consume(ticket.subject, ids, fingerprint="", now=now)
        if not used:
            return "not-proven"
        tell_used(self.approvals.chronicle, tuple(given), used.used, origin=ticket.origin)
        for id_, proof in zip(wait.approvals, given, strict=True):
            broken = await self._break(id_, ticket, wait, Proof(factor=proof.factor, at=proof.issued_at))
            if isinstance(broken, Refusal):
                _log.warning("glass-not-broken", approval=id_, word=broken.word, subject=ticket.subject.key)
                return "refused"
        return None

    async def _break(self, id_: str, ticket: Ticket, wait: Wait, proof: Proof) -> Approval | Refusal:
        by = Approver(subject=ticket.subject, person=wait.person, groups=frozenset(wait.groups))

        def step(approval: Approval, terms: Terms | None, now: float) -> Outcome:
            glass = None if terms is None else terms.break_glass
            return course.break_glass(
                approval,
                None if glass is None else terms,
                by=by,
                reason=wait.reason,
                proof=proof,
                valid_for=0.0 if glass is None else glass.valid_for,
                now=now,
            )

        return await self.approvals.change(id_, step, by=REQUESTER)

    def _may(self, approval: Approval, wait: Wait, now: float) -> bool:
        """Whether the rule in force lets its caller, as a member of these groups, go through."""
        terms = self.approvals.terms_of(approval.rule, now)
        glass = None if terms is None else terms.break_glass
        return glass is not None and glass.takes(approval.subject, wait.groups)

    def _shown(self, approval: Approval, now: float) -> Shown:
        terms = self.approvals.terms_of(approval.rule, now)
        given = {vote.authority.person for vote in approval.votes if vote.stance == "approve"}
        return Shown(
            approval=approval,
            given=len(given),
            wanted=1 if terms is None else terms.min,
            against=_against(approval),
        )


def fitting_reason(text: str) -> str | None:
    """The reason that somebody has written, `None` if it is none."""
    reason = text.strip()
    return reason if 0 < len(reason) <= LONGEST_REASON else None


def _against(approval: Approval) -> tuple[str, ...]:
    """The reasons that were given for what has become of it, if that is not what its caller has wanted."""
    said: list[str] = []
    if approval.state == "denied":
        said = [vote.reason for vote in approval.votes if vote.stance == "deny"]
    elif approval.cancelled is not None:
        said = [approval.cancelled.reason]
    return tuple(reason for reason in said if reason)[-MOST_REASONS:]


def _state(approval: Approval, now: float) -> State:
    return "expired" if approval.state == "pending" and now >= approval.expires_at else approval.state


def _proof(grants: Sequence[Grant], demand: ChallengeDemand, ticket: Ticket, holder: str, now: float) -> Grant | None:
    """The latest proof that was given for this demand, and by this browser."""
    accepted = accepted_amr(demand.factors, acr=demand.acr, user_verification=demand.user_verification)
    fitting = [
        grant
        for grant in grants
        if grant.binding == demand.binding
        and (grant.subject, grant.session, grant.holder) == (ticket.subject, ticket.session, holder)
        and grant.factor in accepted
        and now < min(grant.issued_at + demand.max_age, grant.expires_at)
        and (grant.uses is None or grant.uses > 0)
    ]
    return max(fitting, key=lambda grant: grant.issued_at, default=None)
