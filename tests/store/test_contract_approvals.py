"""Approvals that are asked for, answered and taken back: what every store promises of them."""

from typing import Any

import msgspec
import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.asking import BOB, found, put
from store.one_loop import crowd, run
from store.opening import CAROL, KEEP, VOTE, after, approved, ids, opened, opening, replaced
from store.parts import approval, given, grant, letter

from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import Revocation
from extauthz.store.approvals import MOST_ALIKE, Opened, Opening, Replaced
from extauthz.store.protocol import Selection, Store
from extauthz.values.approvals import Approval, Approved, BreakGlass, Proof
from extauthz.values.identity import Subject
from extauthz.values.origin import Origin


def test_what_was_opened_is_there_as_it_was(store: Store) -> None:
    new = approval(
        votes=(VOTE,), break_glass=BreakGlass(by=CAROL, reason="fire", proof=Proof(factor="otp", at=1), at=2)
    )
    assert opening(store, new) == Opening(how=Opened.OPENED, approval=new)
    assert run(store.approval("a1")) == new
    assert run(store.approval("a2")) is None
    assert run(store.approvals_of(["a2", "a1"])) == {"a1": new}
    assert run(store.approvals_of([])) == {}


def test_the_same_request_joins_the_one_that_is_pending(store: Store) -> None:
    new = approval()
    opened(store, new)
    other = approval("a2", key=new.key)
    assert opening(store, other) == Opening(how=Opened.JOINED, approval=new)
    assert run(store.approval("a2")) is None
    assert ids(store) == ["a1"]
    assert opening(store, approval("a3")).how is Opened.OPENED, "another request is another one"
    assert opening(store, other, now=NOW + 900).how is Opened.OPENED, "what is overdue is nobody's answer"
    assert opening(store, approval("a4", key=new.key), now=NOW + 10).approval == other, "the newest"


def test_who_opens_one_twice_finds_the_first(store: Store) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, approved(new), given()) is Replaced.DONE
    run(store.revoke(Selection(subject=ALICE), now=NOW))
    assert opening(store, new).approval == approved(new), "and nothing takes its place"


def test_what_was_denied_stays_denied_for_its_cooldown(store: Store) -> None:
    new = approval()
    opened(store, new)
    denied = after(new, state="denied", state_at=NOW + 1, due_at=None, cooldown_until=NOW + 60)
    assert replaced(store, denied) is Replaced.DONE
    again = approval("a2", key=new.key)
    assert opening(store, again, now=NOW + 59) == Opening(how=Opened.JOINED, approval=denied)
    assert opening(store, again, now=NOW + 60).how is Opened.OPENED


def elsewhere(id_: str, **changed: Any) -> Approval:
    """Alice asks for one and the same, in a session of its own, holding something of its own."""
    values = {"binding": "action:p/r", "session": f"session of {id_}", "holder": f"cookie:{id_}", **changed}
    return approval(id_, **values)


@pytest.mark.parametrize("state", ["denied", "cancelled"])
def test_what_was_denied_stays_denied_in_every_session_and_whoever_holds_what(store: Store, state: str) -> None:
    new = elsewhere("a1")
    opened(store, new)
    denied = after(new, state=state, state_at=NOW + 1, due_at=None, cooldown_until=NOW + 60)
    assert replaced(store, denied) is Replaced.DONE
    again = elsewhere("a2")
    assert opening(store, again, now=NOW + 59) == Opening(how=Opened.JOINED, approval=denied)
    broken = elsewhere("a3", state="approved", due_at=None)
    assert opening(store, broken, grants=(given("a3"),), now=NOW + 59).how is Opened.JOINED, "nor by breaking the glass"
    assert run(store.approvals_of(["a2", "a3"])) == {}
    for other in (
        elsewhere("b1", subject=BOB),
        elsewhere("a4", rule="p/s"),
        elsewhere("a5", binding="action:p/r of another amount"),
    ):
        assert opening(store, other, now=NOW + 59).how is Opened.OPENED
    assert opening(store, again, now=NOW + 60).how is Opened.OPENED


def test_a_denial_counts_beside_those_that_were_open_already(store: Store) -> None:
    opened(store, elsewhere("a1"), elsewhere("a2"), elsewhere("a3"))
    denied = after(elsewhere("a2"), state="denied", state_at=NOW + 1, due_at=None, cooldown_until=NOW + 60)
    assert replaced(store, denied) is Replaced.DONE
    assert replaced(store, approved(elsewhere("a1")), given()) is Replaced.DONE
    assert opening(store, elsewhere("a4")).approval == denied
    again = elsewhere("a5", key="key of a1")
    assert opening(store, again, despite="a1").approval == denied, "also where a grant does not do"


def test_one_and_the_same_is_asked_for_at_few_places_at_once(store: Store) -> None:
    for number in range(MOST_ALIKE):
        assert opening(store, elsewhere(f"a{number}", expires_at=NOW + 100 + number)).how is Opened.OPENED
    more = elsewhere("more")
    assert opening(store, more) == Opening(how=Opened.FULL)
    assert opening(store, elsewhere("again", key="key of a0")).how is Opened.JOINED
    assert opening(store, elsewhere("other", binding="another")).how is Opened.OPENED
    assert (
        replaced(store, after(elsewhere("a3", expires_at=NOW + 103), state="cancelled", due_at=None)) is Replaced.DONE
    )
    assert opening(store, more) == Opening(how=Opened.FULL), "who takes one back has no more to ask for it"
    glass = elsewhere("glass", state="approved", due_at=None)
    assert opening(store, glass, grants=(given("glass"),)).how is Opened.OPENED
    assert opening(store, more, now=NOW + 100).how is Opened.OPENED, "one is overdue"
    assert opening(store, elsewhere("more still"), now=NOW + 100).how is Opened.FULL


def test_a_workload_asks_for_the_same_from_as_many_addresses_as_it_likes(store: Store) -> None:
    gateway = Subject("", "spiffe://prod.example.org/ns/shop/sa/web")
    addresses = [elsewhere(f"a{number}", subject=gateway, holder=f"peer:{number}") for number in range(MOST_ALIKE + 2)]
    opened(store, *addresses)
    denied = after(addresses[0], state="denied", state_at=NOW + 1, due_at=None, cooldown_until=NOW + 60)
    assert replaced(store, denied) is Replaced.DONE
    assert opening(store, elsewhere("more", subject=gateway, holder="peer:x")).approval == denied


def test_of_many_places_that_ask_for_the_same_at_once_few_do(store: Store) -> None:
    async def open_one(number: int) -> Opening:
        return await store.open_approval(elsewhere(f"a{number}"), keep=KEEP, most_open=50, now=NOW)

    openings = run(crowd(open_one(number) for number in range(12)))
    assert [one.how for one in openings].count(Opened.OPENED) == MOST_ALIKE
    assert len(ids(store)) == MOST_ALIKE


@pytest.mark.parametrize("state", ["expired", "cancelled", "denied"])
def test_what_ended_otherwise_is_asked_anew(store: Store, state: str) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, after(new, state=state, due_at=None)) is Replaced.DONE
    assert opening(store, approval("a2", key=new.key)).how is Opened.OPENED


def test_what_was_approved_is_joined_while_its_grant_is_good(store: Store) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, approved(new), given()) is Replaced.DONE
    again = approval("a2", key=new.key)
    assert opening(store, again) == Opening(how=Opened.JOINED, approval=approved(new))
    assert run(store.consume(ALICE, ["a1"], fingerprint="f", now=NOW))
    assert opening(store, again).how is Opened.OPENED


def test_what_was_approved_and_does_not_do_is_asked_anew(store: Store) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, approved(new), given()) is Replaced.DONE
    assert opening(store, approval("a2", key=new.key), despite="a1").how is Opened.OPENED
    assert opening(store, approval("a3", key=new.key), now=NOW + 300).approval is not None


def test_a_grant_that_has_ended_keeps_no_key(store: Store) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, approved(new), given()) is Replaced.DONE
    assert opening(store, approval("a2", key=new.key), now=NOW + 300).how is Opened.OPENED


def test_a_subject_has_so_many_that_are_pending_and_no_more(store: Store) -> None:
    opened(store, approval("a1", expires_at=NOW + 10), approval("a2"))
    for new in (approval("a3"), approval("a4")):
        assert opening(store, new, most_open=2) == Opening(how=Opened.FULL)
    assert ids(store) == ["a2", "a1"]
    assert opening(store, approval("b1", subject=BOB), most_open=2).how is Opened.OPENED
    assert opening(store, approval("a3"), most_open=2, now=NOW + 10).how is Opened.OPENED, "one is overdue"
    assert opening(store, approval("a4", state="approved"), most_open=2, grants=(given("a4"),)).how is Opened.OPENED
    assert replaced(store, after(approval("a2"), state="denied")) is Replaced.DONE
    assert opening(store, approval("a5"), most_open=2, now=NOW + 10).how is Opened.OPENED


def test_who_takes_back_what_was_asked_has_no_more_to_ask_for_it(store: Store) -> None:
    for number in range(2):
        new = approval(f"a{number}", expires_at=NOW + 600)
        assert opening(store, new, most_open=2).how is Opened.OPENED
        assert replaced(store, after(new, state="cancelled", state_at=NOW, due_at=None)) is Replaced.DONE
    assert opening(store, approval("more"), most_open=2, now=NOW + 599).how is Opened.FULL
    assert opening(store, approval("later"), most_open=2, now=NOW + 601).how is Opened.OPENED


def test_a_vote_and_the_grant_and_the_letters_are_one_step(store: Store) -> None:
    new = approval()
    opened(store, new)
    told = Approved(id="a1", opened_at=NOW, votes=(VOTE,), origin=Origin(decision_id="d1", span="00-1-2-01"))
    left = given(approval=told)
    assert replaced(store, approved(new), left, letters=(letter(),)) is Replaced.DONE
    assert run(store.approval("a1")) == approved(new)
    (there,) = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants
    assert there == left
    assert run(store.grants(Selection(subject=ALICE), now=NOW)) == (left,)
    (claim,) = run(store.claim_letters("hook", most=9, lease=30, now=NOW + 1))
    assert claim.letter == letter()


def test_of_two_changes_of_one_version_one_is_made(store: Store) -> None:
    new = approval()
    opened(store, new)
    assert replaced(store, approved(new), given(), letters=(letter(),)) is Replaced.DONE
    denied = after(new, state="denied", due_at=None)
    assert replaced(store, denied, given("other"), letters=(letter("l2"),), forget=("a1",)) is Replaced.CONFLICT
    assert run(store.approval("a1")) == approved(new)
    assert found(store) == ["a1"]
    assert [one.letter.id for one in run(store.claim_letters("hook", most=9, lease=30, now=NOW + 1))] == ["l1"]
    assert replaced(store, after(approval("gone")), given("x")) is Replaced.GONE
    assert run(store.approval("gone")) is None


def test_of_many_changes_at_once_each_version_has_one(store: Store) -> None:
    opened(store, approval())

    async def vote(number: int) -> int:
        tries = 0
        while True:
            known = await store.approval("a1")
            assert known is not None
            tries += 1
            vote = msgspec.structs.replace(VOTE, reason=str(number))
            new = after(known, votes=(*known.votes, vote))
            told = (letter(f"l{new.version}"),)
            done = await store.replace_approval(new, version=known.version, letters=told, keep=KEEP, now=NOW)
            if done is Replaced.DONE:
                return tries

    run(crowd(vote(number) for number in range(12)))
    there = run(store.approval("a1"))
    assert there is not None
    assert there.version == 13
    assert sorted(int(vote.reason) for vote in there.votes) == list(range(12))
    told = run(store.letters(most=50))
    assert sorted(one.letter.id for one in told) == sorted(f"l{version}" for version in range(2, 14))


def test_of_many_that_open_the_same_at_once_one_does(store: Store) -> None:
    async def open_one(number: int) -> Opening:
        return await store.open_approval(approval(f"a{number}", key="k"), keep=KEEP, most_open=50, now=NOW)

    openings = run(crowd(open_one(number) for number in range(12)))
    (first,) = [one.approval for one in openings if one.how is Opened.OPENED]
    assert first is not None
    assert {one.approval.id for one in openings if one.approval is not None} == {first.id}
    assert ids(store) == [first.id]


def test_what_an_approval_left_is_taken_back(store: Store) -> None:
    new = approval()
    opened(store, new)
    put(store, grant("of a factor"))
    assert replaced(store, approved(new), given()) is Replaced.DONE
    assert replaced(store, after(approved(new)), forget=("a1",)) is Replaced.DONE
    assert found(store) == ["of a factor"]


def revocation(kind: Any, **changed: Any) -> Revocation:
    values = {"kind": kind, "subject": ALICE, "at": NOW, "until": NOW + 600, "id": "", **changed}
    return Revocation(**values)


BARRIERS: list[tuple[Revocation, Replaced]] = [
    (revocation("block"), Replaced.BLOCKED),
    (revocation("tokens", at=NOW - 60), Replaced.REVOKED),
    (revocation("session", id="1"), Replaced.REVOKED),
]


@pytest.mark.parametrize(("revoked", "expected"), BARRIERS, ids=["block", "tokens", "session"])
def test_no_grant_is_left_against_a_revocation(store: Store, revoked: Revocation, expected: Replaced) -> None:
    new, session = approval(), session_of_sid(ALICE.issuer, "1")
    opened(store, new)
    run(store.put_revocation(revoked, now=NOW))
    assert replaced(store, approved(new), given(session=session), letters=(letter(),)) is expected
    assert run(store.approval("a1")) == new
    assert found(store) == []
    assert run(store.claim_letters("hook", most=9, lease=30, now=NOW + 1)) == ()
    broken = approval("a2", state="approved", due_at=None)
    assert opening(store, broken, grants=(given("a2", session=session),)).how.value == expected.value
    assert run(store.approval("a2")) is None
    assert replaced(store, after(new, state="cancelled", due_at=None)) is Replaced.DONE, "what leaves nothing may be"


def test_what_rests_on_newer_tokens_or_another_session_is_left(store: Store) -> None:
    run(store.put_revocation(revocation("tokens", at=NOW - 61), now=NOW))
    run(store.put_revocation(revocation("session", id="another"), now=NOW))
    run(store.put_revocation(revocation("block", subject=BOB), now=NOW))
    opened(store, approval())
    assert replaced(store, approved(approval()), given()) is Replaced.DONE
    unknown = approval("a2", since=None)
    opened(store, unknown)
    assert replaced(store, approved(unknown), given("a2")) is Replaced.REVOKED, "it may rest on any"
