"""What people see of approvals: those that concern them, each with what they could do about it now.

The rule: a person sees what the rule asks them about, what they have answered, and what they have asked for. Of
anything else not even whether it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.approval import course
from extauthz.approval.counting import Tally, has_voted, tally
from extauthz.approval.lifecycle import is_final
from extauthz.approval.on_call import Right
from extauthz.approval.refusals import Refusal, RefusalWord
from extauthz.approval.terms import Terms
from extauthz.check.approvals import Approvals
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Approval, Approver

MOST_PAGES: Final = 20
"""Pages of the store that are read for one of a viewer; there may be more behind a page that is short, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An approval, brought up to the moment, as one viewer has it.

    `terms` are those in force now, `None` if the rule is gone. `objection` is why the viewer can't answer now, `None`
    if they can, then by the right of `in_place_of` unless by their own. A proof or a reason may be needed beside.
    """

    approval: Approval
    terms: Terms | None
    tally: Tally
    objection: RefusalWord | None
    in_place_of: Approver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Some approvals, newest first, and where those go on that are older: `next`, empty if there are none."""

    shown: tuple[Shown, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """Without a viewer it is the operator who looks, and sees everything. All of it raises `StateUnavailable`."""

    approvals: Approvals

    async def show(self, id_: str, viewer: Approver | None) -> Shown | Refusal:
        """One approval, by its id."""
        approval = await self.approvals.store.approval(id_)
        shown = None if approval is None else self._shown(approval, viewer, await self._rights(viewer))
        return Refusal(word="not-found") if shown is None else shown

    async def listed(
        self, query: ApprovalQuery, viewer: Approver | None, *, most: int, before: str = "", votable: bool = False
    ) -> Listed:
        """At most `most` that the query means, those opened last first; `votable`: only those that the viewer can
        answer now. With `before` those that follow the page that said it as its `next`."""
        held = await self._rights(viewer)
        found: list[Shown] = []
        for _ in range(MOST_PAGES):
            page = await self.approvals.store.approvals(query, most=most - len(found), before=before)
            shown = [self._shown(approval, viewer, held) for approval in page.approvals]
            found += [one for one in shown if one is not None and not (votable and one.objection is not None)]
            before = page.next
            if not before or len(found) == most:
                break
        return Listed(shown=tuple(found), next=before)

    async def alike(self, approval: Approval, viewer: Approver | None, *, most: int) -> tuple[Shown, ...]:
        """What became of others that the same rule has asked for, the newest first."""
        over = ApprovalQuery(states=frozenset({"approved", "denied", "expired", "cancelled"}), rule=approval.rule)
        listed = await self.listed(over, viewer, most=most + 1)
        return tuple(one for one in listed.shown if one.approval.id != approval.id)[:most]

    async def _rights(self, viewer: Approver | None) -> Sequence[Right]:
        return () if viewer is None else await self.approvals.rights(viewer)

    def _shown(self, approval: Approval, viewer: Approver | None, held: Sequence[Right]) -> Shown | None:
        now = self.approvals.clock()
        terms = self.approvals.terms_of(approval.rule, now)
        approval = course.bring_up(approval, terms, now=now).approval
        if viewer is not None and not _concerns(approval, terms, viewer, held, now):
            return None
        right: Right | RefusalWord = "not-an-approver"
        if viewer is not None:
            right = course.standing(approval, terms, approver=viewer, rights=held, now=now)
        counted = Tally(approve=0, deny=0)
        if terms is not None:
            counted = tally(
                terms,
                approval.votes,
                opened_at=approval.opened_at,
                requesters=approval.requesters,
                matter=approval.matter,
            )
        return Shown(
            approval=approval,
            terms=terms,
            tally=counted,
            objection=right if isinstance(right, str) else None,
            in_place_of=None if isinstance(right, str) or right.own else right.holder,
        )


def _concerns(approval: Approval, terms: Terms | None, viewer: Approver, held: Sequence[Right], now: float) -> bool:
    if approval.requesters.include(viewer) or has_voted(approval.votes, viewer):
        return True
    # Of what was answered in time those are kept out who would have been asked later; a review is for them, too.
    ended_at = approval.state_at if is_final(approval.state) and approval.break_glass is None else now
    waited = ended_at - approval.opened_at
    return terms is not None and any(terms.asks(right.holder, approval.matter, waited=waited) for right in held)
