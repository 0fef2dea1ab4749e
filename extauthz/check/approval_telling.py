"""What is told of an approval: each thing that has happened to it, in its order, and the grant that it leaves.

The rule: it is told by whoever has written it, after that; so what several servers try is told once.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from extauthz.approval.course import By, Operator
from extauthz.check.proof.telling import tell_given
from extauthz.record.chronicle import REQUESTER, Chronicle, approver
from extauthz.record.life import SERVER, Detail, LifeKind
from extauthz.values.approvals import Approval, Approver
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.letters import EventKind

_KINDS: Final[Mapping[EventKind, LifeKind]] = {
    "opened": "approval.opened",
    "voted": "approval.voted",
    "escalated": "approval.escalated",
    "approved": "approval.approved",
    "denied": "approval.denied",
    "expired": "approval.expired",
    "cancelled": "approval.cancelled",
    "broken-glass": "approval.broken-glass",
    "reviewed": "approval.reviewed",
    "revoked": "approval.revoked",
}
_DUE: Final[frozenset[EventKind]] = frozenset({"escalated", "expired"})
"""What nobody does."""
_OVER: Final[frozenset[EventKind]] = frozenset({"approved", "denied", "expired", "cancelled", "broken-glass"})
"""What ends the wait for an answer."""


def named(by: By) -> str:
    """Who does something, as records name them."""
    match by:
        case Approver():
            return approver(by.person)
        case Subject():
            return REQUESTER
        case Operator():
            return f"operator:{by.name}"
        case _:
            assert_never(by)


def tell(
    chronicle: Chronicle, approval: Approval, kinds: Sequence[EventKind], *, by: str, grant: Grant | None = None
) -> None:
    """This has happened to the approval, which is now like this; what `by` somebody has done, and what was due."""
    picture = approval.picture
    for kind in kinds:
        doer = SERVER if kind in _DUE else REQUESTER if kind in ("opened", "broken-glass") else by
        reason, details = _words(approval, kind)
        chronicle.tell(
            _KINDS[kind],
            subject=approval.subject,
            by=doer,
            origin=picture.origin,
            rule=approval.rule,
            revision=picture.revision,
            approval=approval.id,
            reason=reason,
            details=details,
            since=approval.opened_at if kind in _OVER else None,
        )
    if grant is not None:
        tell_given(chronicle, grant, by=by, origin=picture.origin, approval=approval.id)


def _words(approval: Approval, kind: EventKind) -> tuple[str, dict[str, Detail]]:
    """Why somebody has done it, in their own words, and how."""
    match kind:
        case "opened":
            return "", {"expires_s": round(approval.expires_at - approval.opened_at, 3)}
        case "escalated":
            return "", {"step": approval.escalated}
        case "voted":
            vote = approval.votes[-1]
            factor = {} if vote.proof is None else {"factor": vote.proof.factor}
            place = {} if vote.in_place_of is None else {"in_place_of": vote.in_place_of.person}
            return vote.reason, {"stance": vote.stance, "channel": vote.channel, **factor, **place}
        case "approved" | "denied":
            return "", {"votes": len(approval.votes)}
        case "broken-glass" if approval.break_glass is not None:
            broken = approval.break_glass
            return broken.reason, {"person": broken.by.person, "factor": broken.proof.factor}
        case "reviewed" if approval.break_glass is not None and approval.break_glass.review is not None:
            review = approval.break_glass.review
            return review.reason, {"verdict": review.verdict}
        case "cancelled" if approval.cancelled is not None:
            return approval.cancelled.reason, {}
        case "revoked" if approval.revoked is not None:
            return approval.revoked.reason, {}
        case _:
            return "", {}
