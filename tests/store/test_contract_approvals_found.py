"""Approvals looked for, due and forgotten: what every store promises of them."""

import msgspec
import pytest
from stepup.proofs import ALICE, NOW
from store.asking import BOB
from store.one_loop import run
from store.opening import CAROL, KEEP, VOTE, after, approved, ids, opened, opening, replaced
from store.parts import approval, given

from extauthz.store.approvals import ApprovalQuery, Opened, Replaced
from extauthz.store.protocol import Store
from extauthz.values.approvals import BreakGlass, Proof, Review


def test_pages_begin_with_the_newest_and_go_on_without_gap_or_repetition(store: Store) -> None:
    opened(
        store,
        *(
            approval(f"a{number:02}", opened_at=NOW + number // 3, subject=(ALICE, BOB)[number % 2])
            for number in range(20)
        ),
    )
    seen, before = [], ""
    while True:
        page = run(store.approvals(ApprovalQuery(), most=7, before=before))
        seen += [one.id for one in page.approvals]
        before = page.next
        if not before:
            break
    assert seen == [f"a{number:02}" for number in reversed(range(20))]
    with pytest.raises(ValueError, match="could not convert"):
        run(store.approvals(ApprovalQuery(), most=7, before="nonsense"))


def test_a_query_finds_what_it_means(store: Store) -> None:
    broken = BreakGlass(by=CAROL, reason="fire", proof=Proof(factor="otp", at=NOW), at=NOW)
    opened(
        store,
        approval("a1"),
        approval("a2", opened_at=NOW + 1, rule="p/s"),
        approval("b1", opened_at=NOW + 2, subject=BOB),
        approval("b2", opened_at=NOW + 3, subject=BOB, state="approved", due_at=None, break_glass=broken),
    )
    assert replaced(store, after(approval("a1"), state="denied", due_at=None)) is Replaced.DONE
    pending = frozenset({"pending"})
    assert ids(store, states=pending) == ["b1", "a2"]
    assert ids(store, states=frozenset({"denied", "approved"})) == ["b2", "a1"]
    assert ids(store, rule="p/s") == ["a2"]
    assert ids(store, subject=BOB) == ["b2", "b1"]
    assert ids(store, subject=BOB, states=pending) == ["b1"]
    assert ids(store, unreviewed=True) == ["b2"]
    glass = run(store.approval("b2"))
    assert glass is not None
    review = Review(by=CAROL, verdict="justified", at=NOW)
    reviewed = after(glass, break_glass=msgspec.structs.replace(broken, review=review))
    assert replaced(store, reviewed) is Replaced.DONE
    assert ids(store, unreviewed=True) == []
    assert ids(store, states=frozenset({"approved"})) == ["b2"]


def test_glass_that_was_broken_later_waits_for_a_review_too(store: Store) -> None:
    opened(store, approval())
    voted = after(approval(), votes=(VOTE,))
    assert replaced(store, voted) is Replaced.DONE
    broken = BreakGlass(by=CAROL, reason="fire", proof=Proof(factor="otp", at=NOW), at=NOW)
    assert replaced(store, approved(voted, break_glass=broken), given()) is Replaced.DONE
    assert ids(store, unreviewed=True) == ["a1"]


def test_the_clerk_finds_what_is_due_and_nothing_else(store: Store) -> None:
    def due(now: float, most: int = 50) -> list[str]:
        return [one.id for one in run(store.due_approvals(most=most, now=now))]

    opened(
        store,
        approval("a1", due_at=NOW + 20),
        approval("a2", due_at=NOW + 10, subject=BOB),
        approval("a3", due_at=NOW + 30),
        approval("a4", due_at=NOW + 5, state="denied"),
    )
    assert due(NOW + 9) == []
    assert due(NOW + 20) == ["a2", "a1"]
    assert due(NOW + 40) == ["a2", "a1", "a3"]
    assert due(NOW + 40, most=2) == ["a2", "a1"]
    escalated = after(approval("a2", due_at=NOW + 10, subject=BOB), due_at=NOW + 35, escalated=1)
    assert replaced(store, escalated) is Replaced.DONE
    assert replaced(store, after(approval("a1"), state="expired", due_at=None)) is Replaced.DONE
    assert due(NOW + 40) == ["a3", "a2"]


def test_what_is_over_is_kept_for_a_while_and_then_forgotten(store: Store) -> None:
    new = approval(expires_at=NOW + 10)
    opened(store, new, approval("a2"))
    assert replaced(store, after(new, state="expired", state_at=NOW + 10, due_at=None), now=NOW + 10) is Replaced.DONE
    opened(store, approval("a3", opened_at=NOW + KEEP))
    assert run(store.approval("a1")) is not None
    opened(store, approval("a4", opened_at=NOW + KEEP + 61, expires_at=NOW + KEEP + 900))
    assert run(store.approval("a1")) is None
    assert ids(store) == ["a4", "a3", "a2"]
    assert opening(store, approval("a5", key=new.key), now=NOW + KEEP + 62).how is Opened.OPENED


def test_of_those_that_are_over_a_subject_keeps_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory_approvals", "sqlite_approvals", "redis_approvals"):
        monkeypatch.setattr(f"extauthz.store.{module}.MOST_FINAL", 3)
    opened(store, approval("pending"), approval("b1", subject=BOB, state="denied"))
    for number in range(6):
        over = approval(f"a{number}", opened_at=NOW + number, state_at=NOW + number, state="denied")
        opened(store, over)
    assert ids(store) == ["a5", "a4", "a3", "pending", "b1"]
    assert opening(store, approval("a6", key="key of a0")).how is Opened.OPENED


def test_nobody_gets_rid_of_a_denial_or_a_break_glass_by_asking_for_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory_approvals", "sqlite_approvals", "redis_approvals"):
        monkeypatch.setattr(f"extauthz.store.{module}.MOST_FINAL", 3)
    broken = BreakGlass(by=CAROL, reason="fire", proof=Proof(factor="hwk", at=NOW), at=NOW)
    opened(store, approval("glass", state="approved", break_glass=broken))
    opened(store, approval("denied", opened_at=NOW + 1, state="denied", cooldown_until=NOW + 600))
    for number in range(6):
        opened(store, approval(f"a{number}", opened_at=NOW + 2 + number, state_at=NOW + number, state="cancelled"))
    assert ids(store) == ["a5", "denied", "glass"]
    assert opening(store, approval("more", key="key of denied"), now=NOW + 300).how is Opened.JOINED
    for number in range(4):  # they go, too, where there is nothing else
        opened(store, approval(f"d{number}", opened_at=NOW + 10, state="denied", cooldown_until=NOW + 900))
    assert len(ids(store)) == 3
