"""What happens of itself: everything is told once, and what is due happens once."""

import asyncio

import pytest
from approval.asking import ANNA, BEN, CALLER, CLEO, NOW, RULE, terms
from approval.kept import BOARD, InBetween, Place
from store.one_loop import run

from extauthz.approval.telling.addressing import Addressees
from extauthz.approval.terms import Step
from extauthz.check import approval_clerk
from extauthz.check.approval_clerk import Clerk
from extauthz.errors import StateUnavailable
from extauthz.store.memory import MemoryStore
from extauthz.values.approvals import Approval
from extauthz.values.letters import EVENT_KINDS

HOOK = Addressees(webhooks={"hook": frozenset(EVENT_KINDS)})


def told(place: Place) -> list[tuple[str, str]]:
    claims = run(place.store.claim_letters("hook", most=100, lease=60.0, now=place.now))
    assert len({claim.letter.id for claim in claims}) == len(claims)
    return [(claim.letter.kind, claim.letter.event) for claim in claims]


def test_everything_that_happens_is_told_once() -> None:
    store = InBetween()
    place = Place(store, hooks=HOOK)
    run(place.feed.load())
    place.rules[RULE] = terms(min=2, escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    place.ask()  # joins, which is no news
    place.now += 60
    store.times, store.act = (
        1,
        lambda: place.server(HOOK).vote(id_, BEN, stance="approve", reason="", proof=None, channel="page"),
    )
    place.vote(id_, ANNA)
    place.vote(id_, CLEO)  # too late, and not told
    run(place.approvals.revoke(id_, by=CALLER))
    assert sorted(told(place), key=lambda letter: letter[1]) == [
        ("opened", f"{id_}-1-0"),
        ("escalated", f"{id_}-2-0"),
        ("voted", f"{id_}-2-1"),
        ("voted", f"{id_}-3-0"),
        ("approved", f"{id_}-3-1"),
        ("revoked", f"{id_}-4-0"),
    ]


# The clerk
def test_what_is_due_happens_once_whoever_looks() -> None:
    place = Place(hooks=HOOK)
    run(place.feed.load())
    place.rules[RULE] = terms(escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    clerks = [Clerk(approvals=place.server(HOOK)) for _ in range(3)]
    assert [run(clerk.catch_up()) for clerk in clerks] == [0, 0, 0]
    place.now += 60
    assert sum(run(clerk.catch_up()) for clerk in clerks) == 1
    place.now += 840
    assert sum(run(clerk.catch_up()) for clerk in clerks) == 1
    assert place.kept(id_).state == "expired"
    assert sorted(kind for kind, _ in told(place)) == ["escalated", "expired", "opened"]


def test_an_approval_whose_rule_is_gone_or_has_changed_is_not_due_for_ever(place: Place) -> None:
    place.rules[RULE] = terms(escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    clerk = Clerk(approvals=place.approvals)
    del place.rules[RULE]
    place.now += 60
    assert run(clerk.catch_up()) == 1
    assert run(clerk.catch_up()) == 0
    assert (place.kept(id_).state, place.kept(id_).due_at) == ("pending", NOW + 900)


class Away(MemoryStore):
    """Out of reach for a while."""

    looks = 0

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        self.looks += 1
        if self.looks <= 2:
            raise StateUnavailable("store: away")
        return await super().due_approvals(most=most, now=now)


def test_the_clerk_goes_on_when_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_clerk, "LOOK_EVERY", 0.001)
    place = Place(Away())
    id_ = place.asked()
    place.now += 900

    async def until_expired() -> None:
        follower = asyncio.ensure_future(Clerk(approvals=place.approvals).follow())
        news = place.store.approval_news()
        while (found := await place.store.approval(id_)) is not None and found.state == "pending":
            await anext(news)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower

    run(asyncio.wait_for(until_expired(), 30.0))
    assert place.kept(id_).state == "expired"
