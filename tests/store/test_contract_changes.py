"""What every store promises of changes of factors: all or nothing, and on a ground that still stands."""

from typing import Any

import pytest
from stepup.proofs import ALICE, NOW
from store.asking import BOB, enroll, spent
from store.one_loop import crowd, run
from store.parts import FIRST, enrolment, factor

from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import Kind, Revocation
from extauthz.store.protocol import (
    Advance,
    Changed,
    FactorKind,
    Ground,
    Store,
)


def test_a_new_app_takes_the_place_of_one_that_was_never_confirmed(store: Store) -> None:
    enroll(store, factor("kept"), factor("key", kind="webauthn", confirmed=False))
    enroll(store, factor("old", confirmed=False, created_at=NOW + 1))
    enroll(store, factor("new", confirmed=False, created_at=NOW + 2))
    assert [one.id for one in run(store.factors(ALICE))] == ["kept", "key", "new"]


def test_new_recovery_codes_replace_the_old_ones(store: Store) -> None:
    enroll(store, factor("app"), factor("a", kind="recovery"), factor("b", kind="recovery"))
    codes = (factor("c", kind="recovery"), factor("d", kind="recovery"))
    assert run(store.enroll(enrolment(*codes, replaces=frozenset({"recovery"})), now=NOW)) is Changed.DONE
    assert [one.id for one in run(store.factors(ALICE))] == ["app", "c", "d"]


def test_the_first_factor_is_the_first(store: Store) -> None:
    enroll(store, factor("pending", confirmed=False))
    first = enrolment(factor("a"), ground=FIRST, ticket=spent("t"))
    assert run(store.enroll(first, now=NOW)) is Changed.DONE
    second = enrolment(factor("b"), ground=FIRST, ticket=spent("u"))
    assert run(store.enroll(second, now=NOW)) is Changed.NOT_FIRST
    assert run(store.enroll(enrolment(factor("b"), ticket=spent("t")), now=NOW)) is Changed.TICKET_USED
    assert [one.id for one in run(store.factors(ALICE))] == ["a"]
    assert run(store.enroll(enrolment(factor("b"), ticket=spent("u")), now=NOW)) is Changed.DONE


def test_an_enrolment_link_sets_up_one_factor_also_when_it_is_opened_twice_at_once(store: Store) -> None:
    async def race() -> list[Changed]:
        links = (enrolment(factor(f"f{number}"), ticket=spent("t")) for number in range(50))
        return await crowd(store.enroll(link, now=NOW) for link in links)

    outcomes = run(race())
    assert outcomes.count(Changed.DONE) == 1
    assert outcomes.count(Changed.TICKET_USED) == 49
    assert len(run(store.factors(ALICE))) == 1


def test_of_many_first_factors_at_once_one_is_the_first(store: Store) -> None:
    async def race() -> list[Changed]:
        firsts = (enrolment(factor(f"f{number}"), ground=FIRST) for number in range(50))
        return await crowd(store.enroll(first, now=NOW) for first in firsts)

    assert run(race()).count(Changed.DONE) == 1


def test_a_confirmation_burns_its_ticket(store: Store) -> None:
    enroll(store, factor("a", confirmed=False), factor("b", confirmed=False))

    def with_ticket(id_: str, mark: int) -> Changed:
        advance = Advance(factor=id_, mark=mark)
        return run(store.confirm_factor(ALICE, advance, now=NOW, ticket=spent("t")))

    assert with_ticket("gone", 7) is Changed.FACTOR_GONE
    assert with_ticket("a", 7) is Changed.DONE
    assert with_ticket("b", 7) is Changed.TICKET_USED
    assert [one.confirmed for one in run(store.factors(ALICE))] == [True, False]


def test_a_change_rests_on_a_factor_that_is_confirmed_and_there(store: Store) -> None:
    enroll(store, factor("a"))
    enroll(store, factor("theirs", BOB))
    enroll(store, factor("b", kind="webauthn"), factor("p", kind="webauthn", confirmed=False))
    ground = Ground(factor="b", laid_at=NOW)
    for gone in ("p", "theirs", "nowhere"):
        other = Ground(factor=gone, laid_at=NOW)
        refused = run(store.enroll(enrolment(factor("c"), ground=other, ticket=spent("t")), now=NOW))
        assert refused is Changed.GROUND_GONE
    assert run(store.remove_factor(ALICE, "a", ground=other, now=NOW)) is Changed.GROUND_GONE
    assert run(store.enroll(enrolment(factor("c"), ground=ground, ticket=spent("t")), now=NOW)) is Changed.DONE
    assert run(store.enroll(enrolment(factor("d", confirmed=False), ground=ground), now=NOW)) is Changed.DONE
    assert run(store.remove_factor(ALICE, "b", ground=ground, now=NOW)) is Changed.DONE
    for step in range(2):
        advance = Advance(factor="d", mark=step)
        confirmed = run(store.confirm_factor(ALICE, advance, now=NOW, ground=ground, ticket=spent("u")))
        assert confirmed is Changed.GROUND_GONE
    assert [one.id for one in run(store.factors(ALICE)) if one.confirmed] == ["a", "c"]


def test_what_was_begun_as_the_first_is_confirmed_as_the_first_only(store: Store) -> None:
    enroll(store, factor("app", confirmed=False))
    enroll(store, factor("key", kind="webauthn"))
    advance = Advance(factor="app", mark=7)
    late = run(store.confirm_factor(ALICE, advance, now=NOW, ground=FIRST, ticket=spent("t")))
    assert late is Changed.NOT_FIRST
    assert [one.confirmed for one in run(store.factors(ALICE))] == [False, True]
    on_the_key = Ground(factor="key", laid_at=NOW)
    again = run(store.confirm_factor(ALICE, advance, now=NOW, ground=on_the_key, ticket=spent("t")))
    assert again is Changed.DONE


def test_recovery_codes_make_no_first_factor_and_no_last_one(store: Store) -> None:
    enroll(store, factor("r", kind="recovery"))
    assert run(store.enroll(enrolment(factor("a"), ground=FIRST), now=NOW)) is Changed.DONE
    assert run(store.enroll(enrolment(factor("b", confirmed=False)), now=NOW)) is Changed.DONE
    assert run(store.remove_factor(ALICE, "a", now=NOW)) is Changed.LAST
    assert run(store.remove_factor(ALICE, "b", now=NOW)) is Changed.DONE
    assert run(store.remove_factor(ALICE, "r", now=NOW)) is Changed.DONE
    assert [one.id for one in run(store.factors(ALICE))] == ["a"]


@pytest.mark.parametrize("kind", ["totp", "webauthn"])
def test_the_last_factor_is_not_removed(store: Store, kind: FactorKind) -> None:
    enroll(store, factor("a"), factor("b", kind=kind))
    enroll(store, factor("of-bob", BOB))
    assert run(store.remove_factor(ALICE, "a", now=NOW)) is Changed.DONE
    assert run(store.remove_factor(ALICE, "a", now=NOW)) is Changed.FACTOR_GONE
    assert run(store.remove_factor(ALICE, "b", now=NOW)) is Changed.LAST
    assert [one.id for one in run(store.factors(ALICE))] == ["b"]


def test_a_reset_ends_every_ground_that_was_laid_before(store: Store) -> None:
    enroll(store, factor("a"))
    run(store.reset_factors(ALICE, [], now=NOW))
    run(store.reset_factors(ALICE, [], now=NOW - 60))  # by a clock that is behind
    enroll(store, factor("theirs", BOB))
    for laid_at, expected in ((NOW - 1, Changed.GROUND_GONE), (NOW, Changed.GROUND_GONE), (NOW + 1, Changed.DONE)):
        begun = enrolment(factor("p", confirmed=False), ground=Ground(laid_at=laid_at), ticket=spent("t"))
        assert run(store.enroll(begun, now=NOW + 2)) is expected
    advance = Advance(factor="p", mark=1)
    assert run(store.confirm_factor(ALICE, advance, now=NOW + 2, ground=FIRST)) is Changed.GROUND_GONE
    assert run(store.confirm_factor(ALICE, advance, now=NOW + 2, ground=Ground())) is Changed.DONE
    of_bob = enrolment(factor("more", BOB), ground=Ground(factor="theirs", laid_at=NOW - 1))
    assert run(store.enroll(of_bob, now=NOW + 2)) is Changed.DONE


@pytest.mark.parametrize("kind", ["block", "tokens", "session", "token"])
def test_a_revocation_ends_the_ground_that_rests_on_it(store: Store, kind: Kind) -> None:
    enroll(store, factor("a"), factor("b"))
    numbers = iter(range(9))
    session = session_of_sid(ALICE.issuer, "1")

    def outcomes(**ground: Any) -> set[Changed]:
        on = Ground(factor="a", laid_at=NOW, **ground)
        number = next(numbers)
        waiting, added = factor(f"p{number}", kind="webauthn", confirmed=False), factor(f"c{number}")
        enroll(store, waiting)
        changes = [
            run(store.rename_factor(ALICE, "b", "B", now=NOW + 2, ground=on)),
            run(store.enroll(enrolment(added, ground=on), now=NOW + 2)),
            run(store.remove_factor(ALICE, added.id, now=NOW + 2, ground=on)),
            run(store.confirm_factor(ALICE, Advance(factor=waiting.id, mark=0), now=NOW + 2, ground=on)),
        ]
        return set(changes)

    name = {"session": "1", "token": "j"}.get(kind, "")
    run(store.put_revocation(Revocation(kind=kind, subject=ALICE, id=name, at=NOW, until=NOW + 9), now=NOW))
    run(store.put_revocation(Revocation(kind=kind, subject=BOB, id=name + "b", at=NOW + 60), now=NOW))
    here, after = {"since": NOW, "session": session}, {"since": NOW + 1, "session": session_of_sid(ALICE.issuer, "2")}
    ended, good = {Changed.GROUND_GONE}, {Changed.DONE}
    if kind == "token":
        assert outcomes(**here) == good
        return
    assert outcomes(**here) == ended
    assert outcomes(**after) == (ended if kind == "block" else good)
    assert outcomes() == good, "whoever runs the server"
    run(store.withdraw_revocation(Revocation(kind=kind, subject=ALICE, id=name, at=NOW).key, now=NOW))
    assert outcomes(**here) == good


def test_a_factor_is_renamed(store: Store) -> None:
    enroll(store, factor("a"))
    ground = Ground(factor="a", laid_at=NOW)
    assert run(store.rename_factor(ALICE, "a", "Blue key", ground=ground, now=NOW)) is Changed.DONE
    assert run(store.rename_factor(ALICE, "b", "Red key", now=NOW)) is Changed.FACTOR_GONE
    assert [one.name for one in run(store.factors(ALICE))] == ["Blue key"]
    run(store.reset_factors(ALICE, [], now=NOW))
    enroll(store, factor("a"))
    assert run(store.rename_factor(ALICE, "a", "Red key", ground=ground, now=NOW)) is Changed.GROUND_GONE
    assert run(store.rename_factor(ALICE, "a", "Blue key", now=NOW)) is Changed.DONE
    assert [one.name for one in run(store.factors(ALICE))] == ["Blue key"]
