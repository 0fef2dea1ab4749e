"""Approvals as somebody sees them who may answer: which ones, and what they can do with each.

The rules: an approval is seen by who has asked, who has answered, and whom its rule asks, now or later; for everybody
else there is none, but for whoever runs the server, who sees all and answers nothing. What somebody can do is what
`approval.course` would say if they did it now, and is said again when they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, get_args

from extauthz.approval import course
from extauthz.approval.counting import Tally, has_voted, tally
from extauthz.approval.on_call import Right
from extauthz.approval.refusals import Refusal
from extauthz.approval.terms import Terms
from extauthz.check.approvals import Approvals
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Approval, Approver, Proof, State

PAST: Final = 5
"""How many of the past on the like are shown."""
_MOST_PAGES: Final = 20
"""How many pages are looked through for what somebody may see, before they are told to go on."""
_ANSWERED: Final[frozenset[State]] = frozenset(get_args(State)) - {"pending"}
_NOBODY: Final = Refusal(word="not-an-approver")
_SOME_REASON: Final = "-"
"""A reason is asked for when the answer is given; here it stands for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An approval at a moment, as one viewer sees it.

    `terms` are those in force, `None` if there are none; `tally` is what its votes come to by them. `against` is why
    the viewer can't answer, `None` if they can, and `in_place_of` whom they would answer for. `proof` is the factor
    that an answer, or a review, needs. `asked` is whether they are among those who ask.
    """

    approval: Approval
    terms: Terms | None
    tally: Tally
    asked: bool
    against: Refusal | None
    in_place_of: Approver | None
    proof: Refusal | None
    may_cancel: bool
    may_review: bool
    may_revoke: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPage:
    """Some approvals, newest first, and where those go on that are older; `next` is empty if there are none."""

    seen: tuple[Seen, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """Reads what `approvals` writes. The viewer `None` is whoever runs the server. Everything raises
    `StateUnavailable`.
    """

    approvals: Approvals

    async def show(self, id_: str, viewer: Approver | None) -> Seen | None:
        """The approval with this id, `None` if there is none for this viewer."""
        approval = await self.approvals.store.approval(id_)
        return None if approval is None else self._seen(approval, viewer, await self._held(viewer))

    async def listed(
        self, query: ApprovalQuery, viewer: Approver | None, *, mine: bool = False, most: int, before: str = ""
    ) -> SeenPage:
        """Those of the query that the viewer sees; `mine`: that they can answer, or review if nobody has.

        At most `most` of them, those that follow the page that said `before` as its `next`. There may be more behind
        a page that is short, or empty.
        """
        held = await self._held(viewer)
        found: list[Seen] = []
        for _ in range(_MOST_PAGES):
            page = await self.approvals.store.approvals(query, most=most - len(found), before=before)
            before = page.next
            for approval in page.approvals:
                one = self._seen(approval, viewer, held)
                if one is not None and (not mine or one.against is None or one.may_review):
                    found.append(one)
            if len(found) == most or not before:
                break
        return SeenPage(seen=tuple(found), next=before)

    async def past(self, approval: Approval, viewer: Approver | None) -> tuple[Approval, ...]:
        """The newest that are over, of the same rule and the same subject, as far as the viewer sees them."""
        query = ApprovalQuery(states=_ANSWERED, rule=approval.rule, subject=approval.subject)
        page = await self.approvals.store.approvals(query, most=PAST + 1)
        held = await self._held(viewer)
        seen = (self._seen(one, viewer, held) for one in page.approvals if one.id != approval.id)
        return tuple(one.approval for one in seen if one is not None)[:PAST]

    async def _held(self, viewer: Approver | None) -> Sequence[Right]:
        return () if viewer is None else await self.approvals.rights(viewer)

    def _seen(self, approval: Approval, viewer: Approver | None, held: Sequence[Right]) -> Seen | None:
        now = self.approvals.clock()
        terms = self.approvals.terms_of(approval.rule, now)
        approval = course.bring_up(approval, terms, now=now).approval
        if viewer is None:
            return Seen(
                approval=approval,
                terms=terms,
                tally=_tally(approval, terms),
                asked=False,
                against=_NOBODY,
                in_place_of=None,
                proof=None,
                may_cancel=True,
                may_review=False,
                may_revoke=True,
            )
        asked = approval.requesters.include(viewer)
        if not (asked or has_voted(approval.votes, viewer) or _is_for(approval, terms, held)):
            return None
        right = course.standing(approval, terms, approver=viewer, rights=held, now=now)
        review = course.review(
            approval,
            terms,
            approver=viewer,
            rights=held,
            verdict="justified",
            reason=_SOME_REASON,
            # As if the proof were there: what is left to object is the person's, not the moment's.
            proof=_proof(terms, now),
            now=now,
        )
        return Seen(
            approval=approval,
            terms=terms,
            tally=_tally(approval, terms),
            asked=asked,
            against=None if isinstance(right, Right) else Refusal(word=right),
            in_place_of=right.holder if isinstance(right, Right) and not right.own else None,
            proof=_needed(terms),
            may_cancel=course.cancel(approval, terms, by=viewer, reason="", now=now).refusal is None,
            may_review=review.refusal is None,
            may_revoke=course.revoke(approval, terms, by=viewer, rights=held, reason="", now=now).refusal is None,
        )


def _proof(terms: Terms | None, now: float) -> Proof | None:
    return Proof(factor=min(terms.factors), at=now) if terms is not None and terms.factors else None


def _needed(terms: Terms | None) -> Refusal | None:
    if terms is None or not terms.factors:
        return None
    return Refusal(word="needs-factor", factors=terms.factors, max_age=terms.max_age)


def _is_for(approval: Approval, terms: Terms | None, held: Sequence[Right]) -> bool:
    return terms is not None and any(terms.asks(right.holder, approval.matter, waited=inf) for right in held)


def _tally(approval: Approval, terms: Terms | None) -> Tally:
    if terms is None:
        return Tally(approve=0, deny=0)
    return tally(
        terms,
        approval.votes,
        opened_at=approval.opened_at,
        requesters=approval.requesters,
        matter=approval.matter,
    )
