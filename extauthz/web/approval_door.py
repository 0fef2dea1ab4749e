"""What the APIs for approvals do, over HTTP and over gRPC: who comes in, and what they see and answer.

The rules: nobody comes in but by a token of the approvers' issuer, so every vote is a person's; what somebody can't see
is not there for their answer either; and a one-time code is looked at only when the vote is good but for the factor.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from extauthz.approval.refusals import Refusal
from extauthz.approval.view import approval_object, needed_object
from extauthz.check.approval_absences import Absences
from extauthz.check.approval_viewing import Seen, SeenPage, Viewing
from extauthz.check.approvals import Approvals
from extauthz.check.approver_codes import Codes
from extauthz.check.approver_identity import ApproverTokens, LoggedIn
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Absence, Approval, Channel, Proof, Stance, State, Verdict
from extauthz.values.identity import Subject
from extauthz.web.approval_refusals import Declined, declined

CODE_AMR: Final = "otp"
"""What a one-time code proves (RFC 8176)."""
PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which approvals somebody wants: those of a query, and of these perhaps only what is theirs to answer or review
    now."""

    query: ApprovalQuery
    mine: bool = False

    def includes(self, seen: Seen) -> bool:
        """Whether this one is meant."""
        return self.query.includes(seen.approval) and (not self.mine or seen.against is None or seen.may_review)


Try = Callable[[Proof | None], Awaitable[Approval | Refusal]]
"""An answer, with what is proven for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The one door of the APIs. `url` is the origin of the approvers' pages, `None` if there are none; `issuer` is the
    only one of users, `None` if there are several or none.

    Everything that is asynchronous raises `Declined`, and `StateUnavailable` and what else `declined_for` knows.
    """

    approvals: Approvals
    viewing: Viewing
    absences: Absences
    tokens: ApproverTokens
    codes: Codes
    url: str | None
    issuer: str | None

    def wanted(
        self, *, states: frozenset[State], rule: str, subject: str, issuer: str, mine: bool, unreviewed: bool
    ) -> Wanted:
        """What a caller means by a filter; what is empty is not asked for. Raises `Declined`."""
        named = None
        if subject:
            named = self._subject(subject, issuer)
        elif issuer:
            raise Declined("malformed", "`subject` is missing; say whom of `issuer` you mean")
        query = ApprovalQuery(states=states or None, rule=rule or None, subject=named, unreviewed=unreviewed)
        return Wanted(query=query, mine=mine)

    async def enter(self, authorization: Sequence[str]) -> LoggedIn:
        """Who comes with these values of the Authorization header."""
        return await self.tokens.authenticate(authorization)

    async def listed(self, by: LoggedIn, wanted: Wanted, *, most: int, before: str) -> SeenPage:
        """At most `most` of what is wanted, the newest first; with `before` those that follow the page that said it."""
        try:
            return await self.viewing.listed(wanted.query, by.approver, most=most, before=before, mine=wanted.mine)
        except ValueError:
            if not before:
                raise
            raise Declined("malformed", "that `cursor` was never given; begin without one") from None

    async def shown(self, by: LoggedIn, id_: str) -> Seen:
        """One approval."""
        seen = await self.viewing.show(id_, by.approver)
        if seen is None:
            raise Declined("not-found")
        return seen

    async def vote(self, by: LoggedIn, id_: str, *, stance: Stance, reason: str, code: str, channel: Channel) -> Seen:
        """Answer; `code` is a one-time code, empty for none. What comes back is the approval after it."""

        await self.shown(by, id_)

        async def answer(proof: Proof | None) -> Approval | Refusal:
            return await self.approvals.vote(
                id_, by.approver, stance=stance, reason=reason, proof=proof, channel=channel
            )

        return await self._done(by, id_, await self._proven(by, id_, code, answer))

    async def review(self, by: LoggedIn, id_: str, *, verdict: Verdict, reason: str, code: str) -> Seen:
        """Say what one thinks of a use of break-glass."""

        await self.shown(by, id_)

        async def answer(proof: Proof | None) -> Approval | Refusal:
            return await self.approvals.review(id_, by.approver, verdict=verdict, reason=reason, proof=proof)

        return await self._done(by, id_, await self._proven(by, id_, code, answer))

    async def cancel(self, by: LoggedIn, id_: str, *, reason: str) -> Seen:
        """Withdraw what one has asked for oneself."""
        await self.shown(by, id_)
        return await self._done(by, id_, await self.approvals.cancel(id_, by=by.approver, reason=reason))

    async def revoke(self, by: LoggedIn, id_: str, *, reason: str) -> Seen:
        """Take back what was given."""
        await self.shown(by, id_)
        return await self._done(by, id_, await self.approvals.revoke(id_, by=by.approver, reason=reason))

    async def away(self, by: LoggedIn) -> Sequence[Absence]:
        """One's own absences, and those for which one stands in."""
        return await self.absences.concerning(by.approver)

    async def leave(
        self, by: LoggedIn, *, since: float | None, until: float, delegate: str | None, note: str
    ) -> Absence:
        """Be away from `since`, now if it is not said, until `until` (seconds since the epoch)."""
        begins = self.approvals.clock() if since is None else since
        put = await self.absences.put(by.approver, since=begins, until=until, delegate=delegate, note=note)
        if not isinstance(put, Absence):
            raise Declined(put)
        return put

    async def return_(self, by: LoggedIn, id_: str) -> None:
        """Be back."""
        if not await self.absences.end(by.approver, id_):
            raise Declined("not-found", "there is no absence of yours with this id")

    def _subject(self, named: str, issuer: str) -> Subject:
        """A workload, or the user of that issuer, or else of the only one there is."""
        if issuer or named.startswith("spiffe://"):
            return Subject(issuer, named)
        if self.issuer is None:
            raise Declined("malformed", "`issuer` is missing; say whose user `subject` is")
        return Subject(self.issuer, named)

    async def _proven(self, by: LoggedIn, id_: str, code: str, answer: Try) -> Approval | Refusal:
        """What comes of an answer: with no proof if that will do, else with what the token proves, else the code."""
        refusal = await answer(None)
        if not isinstance(refusal, Refusal) or refusal.word != "needs-factor":
            return refusal
        for proof in by.proofs:
            if proof.factor in refusal.factors and self.approvals.clock() - proof.at < refusal.max_age:
                return await answer(proof)
        if not code or CODE_AMR not in refusal.factors:
            return refusal
        approval = (await self.shown(by, id_)).approval
        return await answer(await self.codes.prove(code, by=by, approval=approval))

    async def _done(self, by: LoggedIn, id_: str, outcome: Approval | Refusal) -> Seen:
        if isinstance(outcome, Refusal):
            raise declined(outcome, page=None if self.url is None else f"{self.url}/approvals/{id_}")
        return await self.shown(by, id_)


def seen_object(seen: Seen) -> dict[str, Any]:
    """An approval as JSON, with how far it has come and what its viewer could do.

    `needed` is `None` once the rule is gone; `viewer.against` is why the viewer can't answer, `None` if they can.
    """
    terms, stands_for = seen.terms, seen.in_place_of
    return {
        **approval_object(seen.approval),
        "counted": {"approve": seen.tally.approve, "deny": seen.tally.deny},
        "needed": None if terms is None else needed_object(terms),
        "viewer": {
            "asks": seen.asked,
            "against": None if seen.against is None else seen.against.word,
            "in_place_of": None if stands_for is None else stands_for.person,
            "may_cancel": seen.may_cancel,
            "may_review": seen.may_review,
            "may_revoke": seen.may_revoke,
        },
    }
