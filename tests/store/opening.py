"""Approvals and absences on their way through a store, as the tests of stores have them."""

from typing import Any

import msgspec
from stepup.proofs import NOW
from store.asking import BOB
from store.one_loop import run

from extauthz.store.approvals import ApprovalQuery, Opened, Opening, Replaced
from extauthz.store.protocol import Store
from extauthz.values.approvals import Absence, Approval, Approver, Proof, Vote
from extauthz.values.grants import Grant

KEEP = 3600.0
CAROL = Approver(subject=BOB, person="carol", groups=frozenset({"treasury"}), claims={"odd": "\ud800"})
VOTE = Vote(
    approver=CAROL, stance="approve", at=NOW + 1, reason="fine \u2014 \ud800", proof=Proof(factor="hwk", at=NOW)
)


def opening(store: Store, new: Approval, *, now: float = NOW, most_open: int = 50, **more: Any) -> Opening:
    return run(store.open_approval(new, keep=KEEP, most_open=most_open, now=now, **more))


def opened(store: Store, *news: Approval) -> None:
    for new in news:
        assert opening(store, new, now=new.opened_at).how is Opened.OPENED


def after(known: Approval, **changed: Any) -> Approval:
    """The next version."""
    return msgspec.structs.replace(known, version=known.version + 1, **changed)


def approved(known: Approval, **changed: Any) -> Approval:
    return after(known, **{"state": "approved", "state_at": NOW + 1, "due_at": None, "votes": (VOTE,), **changed})


def replaced(store: Store, new: Approval, *grants: Grant, now: float = NOW + 1, **more: Any) -> Replaced:
    return run(store.replace_approval(new, version=new.version - 1, grants=grants, keep=KEEP, now=now, **more))


def ids(store: Store, *, most: int = 50, **meant: Any) -> list[str]:
    page = run(store.approvals(ApprovalQuery(**meant), most=most))
    assert page.next == ""
    return [one.id for one in page.approvals]


def absence(id_: str, **changed: Any) -> Absence:
    values = {"id": id_, "absent": CAROL, "since": NOW, "until": NOW + 60, "made_at": NOW, **changed}
    return Absence(**values)


def told(store: Store, now: float) -> list[str]:
    """The letters to the webhook that are due, each of which is delivered."""
    claims = run(store.claim_letters("hook", most=50, lease=30, now=now))
    for claim in claims:
        assert run(store.letter_done(claim.letter.id, claim.attempt, now=now))
    return sorted(claim.letter.id for claim in claims)
