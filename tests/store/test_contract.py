"""What every store promises. Each test runs on each of them."""

from collections.abc import Coroutine
from typing import Any

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import crowd, run
from store.parts import ADDRESS, FIRST, LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import Kind, Revocation
from extauthz.store.protocol import (
    Activity,
    Advance,
    Changed,
    EnrolledFactor,
    FactorKind,
    Ground,
    Presence,
    Redeemed,
    Redemption,
    Selection,
    SpentTicket,
    Store,
    UseUp,
)
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")


def enroll(store: Store, *factors: EnrolledFactor) -> None:
    assert run(store.enroll(enrolment(*factors), now=NOW)) is Changed.DONE


def confirm(store: Store, id_: str, mark: int) -> Changed:
    return run(store.confirm_factor(ALICE, Advance(factor=id_, mark=mark), now=NOW))


def put(store: Store, *grants: Grant, step: int = 7) -> None:
    enroll(store, factor(f"of-step-{step}"))
    assert run(store.redeem(redemption(*grants, of=f"of-step-{step}", step=step), now=NOW)) is Redeemed.DONE


def found(store: Store, *, fingerprint: str = "", now: float = NOW, session: str = SESSION) -> list[str]:
    return [one.id for one in run(store.look_up(ALICE, session, fingerprint=fingerprint, now=now)).grants]


def test_a_grant_comes_back_as_it_was(store: Store) -> None:
    first, second = grant("a", uses=3), grant("b", issued_at=NOW + 0.125, binding="scope:x:p/r")
    put(store, second, first)
    assert run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == (first, second)


def test_a_grant_is_found_by_its_subject_in_its_session_only(store: Store) -> None:
    put(store, grant())
    assert found(store, session="sid:2") == []
    for other in (Subject(ALICE.issuer, "bob"), Subject("https://other.example", ALICE.id), Subject("", ALICE.id)):
        assert run(store.look_up(other, SESSION, fingerprint="", now=NOW)).grants == ()


def test_a_grant_ends_when_it_says(store: Store) -> None:
    put(store, grant(uses=1))
    assert found(store, now=NOW + 299.9) == ["g1"]
    assert found(store, now=NOW + 300) == []
    assert not run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW + 300))


def test_a_use_is_used_once(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    assert found(store) == []
    assert not run(store.consume(ALICE, ["g1"], fingerprint="g", now=NOW))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))


def test_uses_are_counted(store: Store) -> None:
    put(store, grant(uses=3))
    used = [run(store.consume(ALICE, ["g1"], fingerprint=str(number), now=NOW)) for number in range(5)]
    assert used == [True, True, True, False, False]


def test_a_grant_without_a_count_is_never_used_up(store: Store) -> None:
    put(store, grant())
    assert all(run(store.consume(ALICE, ["g1"], fingerprint=str(number), now=NOW)) for number in range(5))
    assert found(store) == ["g1"]


def test_all_are_used_up_or_none(store: Store) -> None:
    put(store, grant("a", uses=1), grant("b", uses=1), grant("c"))
    assert run(store.consume(ALICE, ["b"], fingerprint="f", now=NOW))
    assert not run(store.consume(ALICE, ["a", "c", "b"], fingerprint="g", now=NOW))
    assert found(store) == ["a", "c"]
    assert not run(store.consume(ALICE, ["a", "gone"], fingerprint="g", now=NOW))
    assert run(store.consume(ALICE, ["a", "c"], fingerprint="g", now=NOW))
    assert found(store) == ["c"]


def test_a_grant_named_twice_is_used_once(store: Store) -> None:
    put(store, grant(uses=2))
    assert run(store.consume(ALICE, ["g1", "g1"], fingerprint="", now=NOW))
    (left,) = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants
    assert left.uses == 1


def test_the_same_check_sent_again_rests_on_the_same_use(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    for later in (0.0, 29.9):
        (again,) = run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW + later)).grants
        assert again.uses == 1
        assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW + later))
    assert found(store, fingerprint="g") == []
    assert found(store, fingerprint="f", now=NOW + 31) == []
    assert not run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW + 31))


def test_a_repeated_check_costs_no_second_use(store: Store) -> None:
    put(store, grant(uses=2))
    for _ in range(3):
        assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    assert run(store.consume(ALICE, ["g1"], fingerprint="g", now=NOW))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="h", now=NOW))


def test_an_empty_fingerprint_repeats_nothing(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))
    assert found(store, fingerprint="") == []


def test_a_repeated_check_does_not_outlive_the_grant(store: Store) -> None:
    put(store, grant(uses=1, expires_at=NOW + 10))
    assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW + 9))
    assert found(store, fingerprint="f", now=NOW + 11) == []
    assert not run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW + 11))


def test_a_totp_step_is_good_once(store: Store) -> None:
    put(store, grant("a"))
    again = redemption(grant("b"), of="of-step-7")
    assert run(store.redeem(again, now=NOW)) is Redeemed.MARK_USED
    assert found(store) == ["a"]


def test_no_step_before_a_burned_one_is_good(store: Store) -> None:
    put(store, grant("a"))
    assert run(store.redeem(redemption(grant("b"), of="of-step-7", step=6), now=NOW)) is Redeemed.MARK_USED
    assert run(store.redeem(redemption(grant("c"), of="of-step-7", step=8), now=NOW)) is Redeemed.DONE
    assert found(store) == ["a", "c"]


def test_a_ticket_is_good_once_and_burns_no_step_again(store: Store) -> None:
    enroll(store, factor())
    assert run(store.redeem(redemption(grant("a"), ticket="t"), now=NOW)) is Redeemed.DONE
    replayed = redemption(grant("b"), ticket="t", step=8, limits=(LIMIT,))
    assert run(store.redeem(replayed, now=NOW)) is Redeemed.TICKET_USED
    assert run(store.redeem(redemption(grant("c"), ticket="u", step=8), now=NOW)) is Redeemed.DONE
    assert found(store) == ["a", "c"]


def test_a_step_that_is_used_does_not_burn_the_ticket(store: Store) -> None:
    enroll(store, factor())
    assert run(store.redeem(redemption(grant("a"), ticket="t"), now=NOW)) is Redeemed.DONE
    assert run(store.redeem(redemption(grant("b"), ticket="u"), now=NOW)) is Redeemed.MARK_USED
    assert run(store.redeem(redemption(grant("b"), ticket="u", step=8), now=NOW)) is Redeemed.DONE


def test_a_burned_ticket_stays_burned_while_clocks_disagree(store: Store) -> None:
    enroll(store, factor())
    assert run(store.redeem(redemption(ticket="t"), now=NOW)) is Redeemed.DONE
    for later in (400, 500, 599):
        run(store.attempt([LIMIT], now=NOW + later))
    assert run(store.redeem(redemption(ticket="t", step=8), now=NOW)) is Redeemed.TICKET_USED


def test_a_factor_that_is_not_there_or_not_confirmed_proves_nothing(store: Store) -> None:
    assert run(store.redeem(redemption(grant(), of="nobody", ticket="t"), now=NOW)) is Redeemed.FACTOR_GONE
    enroll(store, factor(confirmed=False))
    assert run(store.redeem(redemption(grant(), ticket="t"), now=NOW)) is Redeemed.FACTOR_GONE
    assert found(store) == []
    assert confirm(store, "f1", 5) is Changed.DONE
    assert run(store.redeem(redemption(grant(), ticket="t"), now=NOW)) is Redeemed.DONE


def test_confirming_burns_the_step(store: Store) -> None:
    enroll(store, factor(confirmed=False))
    assert confirm(store, "f1", 7) is Changed.DONE
    assert confirm(store, "f1", 7) is Changed.MARK_USED
    assert confirm(store, "gone", 7) is Changed.FACTOR_GONE
    assert run(store.redeem(redemption(step=7), now=NOW)) is Redeemed.MARK_USED
    assert run(store.redeem(redemption(step=8), now=NOW)) is Redeemed.DONE


def test_factors_are_listed_by_subject_and_oldest_first(store: Store) -> None:
    old, new = factor("b"), factor("a", created_at=NOW + 1, confirmed=False)
    other = factor("c", BOB, created_at=NOW + 2)
    enroll(store, other)
    enroll(store, new, old)
    assert run(store.factors(ALICE)) == (old, new)
    assert run(store.factors(BOB)) == (other,)
    assert run(store.factors(Subject("https://other.example", "alice"))) == ()
    assert run(store.factors(None)) == (old, new, other)


def test_a_reset_ends_factors_grants_and_lock_out_of_one_subject(store: Store) -> None:
    enroll(store, factor())
    enroll(store, factor("f2", BOB))
    run(store.redeem(redemption(grant("a")), now=NOW))
    theirs = Redemption(subject=BOB, burn=None, grants=(grant("b", subject=BOB),), ticket=spent("t"))
    assert run(store.redeem(theirs, now=NOW)) is Redeemed.DONE
    for _ in range(3):
        run(store.attempt([LIMIT, ADDRESS], now=NOW))
    assert run(store.reset_factors(ALICE, [LIMIT], now=NOW)) == 1
    assert run(store.factors(None)) == (factor("f2", BOB),)
    assert found(store) == []
    assert len(run(store.look_up(BOB, SESSION, fingerprint="", now=NOW)).grants) == 1
    assert run(store.attempt([LIMIT], now=NOW)).wait == 0


def test_too_many_tries_must_wait_longer_each_time(store: Store) -> None:
    now, waits = NOW, []
    for _ in range(3):
        assert run(store.attempt([LIMIT], now=now)).wait == 0
    for _ in range(5):
        waits.append(run(store.attempt([LIMIT], now=now)).wait)
        now += waits[-1]
        assert run(store.attempt([LIMIT], now=now)).wait == 0
    assert waits == pytest.approx([10, 20, 40, 80, 100])


def test_a_try_that_must_wait_is_not_counted(store: Store) -> None:
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW))
    assert [run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait for _ in range(9)] == [10] * 9
    for _ in range(5):
        assert run(store.attempt([ADDRESS], now=NOW)).wait == 0
    assert run(store.attempt([ADDRESS], now=NOW)).wait == 10


def test_the_longest_wait_counts(store: Store) -> None:
    for _ in range(4):
        run(store.attempt([ADDRESS], now=NOW))
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW - 5))
    assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 5
    assert run(store.attempt([ADDRESS], now=NOW)).wait == 0
    assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 10


def test_a_right_code_gives_the_try_back(store: Store) -> None:
    enroll(store, factor())
    for step in range(20):
        assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 0
        redeemed = run(store.redeem(redemption(step=step, limits=(LIMIT, ADDRESS)), now=NOW))
        assert redeemed is Redeemed.DONE


def test_a_refused_redemption_gives_no_try_back(store: Store) -> None:
    enroll(store, factor())
    run(store.redeem(redemption(), now=NOW))
    for _ in range(3):
        assert run(store.attempt([LIMIT], now=NOW)).wait == 0
        assert run(store.redeem(redemption(limits=(LIMIT,)), now=NOW)) is Redeemed.MARK_USED
    assert run(store.attempt([LIMIT], now=NOW)).wait > 0


def test_wrong_tries_are_forgotten_one_by_one(store: Store) -> None:
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW))
    one_later = NOW + 1000
    assert [run(store.attempt([LIMIT], now=one_later)).wait for _ in range(2)] == [0, 10]
    all_later = one_later + 3000
    assert [run(store.attempt([LIMIT], now=all_later)).wait for _ in range(4)] == [0, 0, 0, 10]


def test_no_limit_is_no_wait(store: Store) -> None:
    assert run(store.attempt([], now=NOW)).wait == 0


def use(store: Store, proof: str = "p1", *, by: str = "f", until: float = NOW + 90, now: float = NOW) -> bool:
    return run(store.use_proof(proof, expires_at=until, fingerprint=by, now=now))


def test_a_proof_of_possession_is_used_once(store: Store) -> None:
    assert use(store)
    assert not use(store, by="g")
    assert not use(store, by="")
    assert use(store, "p2", by="g"), "and others are others"


def test_the_same_check_sent_again_uses_its_proof_no_second_time(store: Store) -> None:
    assert use(store)
    for later in (0.0, 29.9):
        assert use(store, now=NOW + later)
    assert not use(store, now=NOW + 31)
    assert not use(store, by="g", now=NOW + 1)


def test_a_check_that_nothing_tells_from_others_repeats_no_proof(store: Store) -> None:
    assert use(store, by="")
    assert not use(store, by="")


def test_a_used_proof_stays_used_while_clocks_disagree(store: Store) -> None:
    assert use(store, until=NOW + 90)
    assert use(store, "p2", now=NOW + 90 + 299)  # which sweeps
    assert not use(store, by="g", now=NOW + 90 + 299)


def test_a_proof_that_is_too_old_anyway_is_forgotten(store: Store) -> None:
    assert use(store, until=NOW + 90)
    assert use(store, "p2", now=NOW + 90 + 301)
    assert use(store, by="g", now=NOW + 90 + 301)


@pytest.mark.parametrize("address", ["memory", "sqlite"], indirect=True)
def test_what_has_expired_is_removed_in_passing(store: Store) -> None:
    put(store, grant(expires_at=NOW + 1))
    run(store.attempt([LIMIT], now=NOW + 120))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))


def test_of_many_uses_at_once_one_succeeds(store: Store) -> None:
    put(store, grant(uses=1))

    async def race() -> list[bool]:
        return await crowd(store.consume(ALICE, ["g1"], fingerprint=str(number), now=NOW) for number in range(200))

    assert sum(run(race())) == 1


def test_of_many_uses_of_one_proof_at_once_one_succeeds(store: Store) -> None:
    async def race() -> list[bool]:
        return await crowd(
            store.use_proof("p", expires_at=NOW + 90, fingerprint=str(number), now=NOW) for number in range(200)
        )

    assert sum(run(race())) == 1


def test_of_many_codes_of_one_step_at_once_one_succeeds(store: Store) -> None:
    enroll(store, factor())

    async def race() -> list[Redeemed]:
        return await crowd(
            store.redeem(redemption(grant(str(number)), ticket=str(number)), now=NOW) for number in range(200)
        )

    outcomes = run(race())
    assert outcomes.count(Redeemed.DONE) == 1
    assert outcomes.count(Redeemed.MARK_USED) == 199
    assert len(found(store)) == 1


def test_of_many_tries_at_once_only_the_free_ones_pass(store: Store) -> None:
    async def race() -> list[float]:
        return [tried.wait for tried in await crowd(store.attempt([LIMIT], now=NOW) for _ in range(200))]

    assert run(race()).count(0) == LIMIT.free


def spent(id_: str, until: float = NOW + 300) -> SpentTicket:
    return SpentTicket(id=id_, expires_at=until)


def test_a_recovery_code_is_good_once(store: Store) -> None:
    enroll(store, factor("r1", kind="recovery"), factor("r2", kind="recovery"))
    used = Redemption(subject=ALICE, burn=UseUp(factor="r1"), grants=(grant("a"),))
    assert run(store.redeem(used, now=NOW)) is Redeemed.DONE
    again = Redemption(subject=ALICE, burn=UseUp(factor="r1"), grants=(grant("b"),), ticket=spent("t"))
    assert run(store.redeem(again, now=NOW)) is Redeemed.FACTOR_GONE
    assert [one.id for one in run(store.factors(ALICE))] == ["r2"]
    assert found(store) == ["a"]
    assert run(store.redeem(Redemption(subject=ALICE, burn=None, grants=(), ticket=spent("t")), now=NOW)) is (
        Redeemed.DONE
    ), "a refusal burns no ticket"


def test_an_authenticator_that_does_not_count_must_be_there(store: Store) -> None:
    proof = Redemption(subject=ALICE, burn=Presence(factor="k1"), grants=(), ticket=spent("t"))
    assert run(store.redeem(proof, now=NOW)) is Redeemed.FACTOR_GONE
    enroll(store, factor("k1", kind="webauthn"))
    assert run(store.redeem(proof, now=NOW)) is Redeemed.DONE
    assert run(store.redeem(proof, now=NOW)) is Redeemed.TICKET_USED
    assert run(store.factors(ALICE)) == (factor("k1", kind="webauthn"),)


def test_a_proof_that_was_given_elsewhere_is_good_once_by_its_ticket(store: Store) -> None:
    proof = Redemption(subject=ALICE, burn=None, grants=(grant("a"),), ticket=spent("t"))
    assert run(store.redeem(proof, now=NOW)) is Redeemed.DONE
    replayed = Redemption(subject=ALICE, burn=None, grants=(grant("b"),), ticket=spent("t"))
    assert run(store.redeem(replayed, now=NOW)) is Redeemed.TICKET_USED
    assert found(store) == ["a"]


def test_nobody_proves_with_the_factor_of_somebody_else(store: Store) -> None:
    enroll(store, factor("f1", BOB))
    for burn in (Advance(factor="f1", mark=7), UseUp(factor="f1"), Presence(factor="f1")):
        stolen = Redemption(subject=ALICE, burn=burn, grants=(grant(),))
        assert run(store.redeem(stolen, now=NOW)) is Redeemed.FACTOR_GONE
    assert confirm(store, "f1", 7) is Changed.FACTOR_GONE
    assert run(store.rename_factor(ALICE, "f1", "mine", now=NOW)) is Changed.FACTOR_GONE
    assert run(store.remove_factor(ALICE, "f1", now=NOW)) is Changed.FACTOR_GONE
    assert run(store.factors(None)) == (factor("f1", BOB),)


def test_nobody_uses_up_the_grant_of_somebody_else(store: Store) -> None:
    put(store, grant(uses=1))
    assert not run(store.consume(BOB, ["g1"], fingerprint="", now=NOW))
    assert found(store) == ["g1"]


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


def activity(at: float, *, until: float = NOW + 3600, session: str = SESSION) -> Activity:
    return Activity(subject=ALICE, session=session, at=at, until=until)


def seen(store: Store, *, now: float = NOW, session: str = SESSION) -> tuple[float, float] | None:
    times = run(store.look_up(ALICE, session, fingerprint="", now=now)).session
    return None if times is None else (times.started_at, times.last_seen)


def test_a_session_begins_once_and_is_seen_again(store: Store) -> None:
    assert seen(store) is None
    run(store.touch([activity(NOW + 0.125), activity(NOW, session="sid:2")]))
    assert seen(store) == (NOW + 0.125, NOW + 0.125)
    run(store.touch([activity(NOW + 60)]))
    assert seen(store) == (NOW + 0.125, NOW + 60)
    run(store.touch([activity(NOW + 30)]))
    assert seen(store) == (NOW + 0.125, NOW + 60), "only forward"
    assert seen(store, session="sid:2") == (NOW, NOW)
    assert run(store.look_up(BOB, SESSION, fingerprint="", now=NOW)).session is None


def test_a_session_that_has_ended_begins_anew(store: Store) -> None:
    run(store.touch([activity(NOW, until=NOW + 10)]))
    assert seen(store, now=NOW + 9) == (NOW, NOW)
    assert seen(store, now=NOW + 10) is None
    run(store.touch([activity(NOW + 10, until=NOW + 20)]))
    assert seen(store, now=NOW + 10) == (NOW + 10, NOW + 10)


def test_grants_are_listed_and_revoked_by_what_they_name(store: Store) -> None:
    enroll(store, factor("f1"))
    mine = (grant("a"), grant("b", session="sid:2"), grant("c", rule="p/s", uses=1), grant("d", expires_at=NOW + 9))
    assert run(store.redeem(redemption(*mine), now=NOW)) is Redeemed.DONE
    theirs = Redemption(subject=BOB, burn=None, grants=(grant("e", subject=BOB),), ticket=spent("t"))
    assert run(store.redeem(theirs, now=NOW)) is Redeemed.DONE

    def listed(*, now: float = NOW, **by: Any) -> list[str]:
        return [one.id for one in run(store.grants(Selection(**by), now=now))]

    assert listed() == ["a", "b", "c", "d", "e"]
    assert listed(now=NOW + 9) == ["a", "b", "c", "e"]
    assert listed(subject=ALICE) == ["a", "b", "c", "d"]
    assert listed(subject=ALICE, session=SESSION, rule="p/r") == ["a", "d"]
    assert listed(session="sid:2") == ["b"]
    assert run(store.consume(ALICE, ["c"], fingerprint="f", now=NOW))
    assert listed(rule="p/s") == [], "used up"
    assert run(store.revoke(Selection(session="sid:2"), now=NOW)) == 1
    assert run(store.revoke(Selection(session="sid:2"), now=NOW)) == 0
    assert run(store.revoke(Selection(subject=ALICE, rule="p/r"), now=NOW + 9)) == 1
    assert listed() == ["e"]
    assert run(store.revoke(Selection(), now=NOW)) == 1
    assert listed() == []


def test_what_is_revoked_is_gone_at_once_also_for_the_same_check_sent_again(store: Store) -> None:
    put(store, grant("a", uses=1), grant("b"))
    assert run(store.consume(ALICE, ["a", "b"], fingerprint="f", now=NOW))
    assert run(store.revoke(Selection(subject=ALICE), now=NOW)) == 1
    assert found(store, fingerprint="f") == []
    assert not run(store.consume(ALICE, ["a"], fingerprint="f", now=NOW))
    assert not run(store.consume(ALICE, ["b"], fingerprint="f", now=NOW))


def test_of_many_uses_of_one_recovery_code_at_once_one_succeeds(store: Store) -> None:
    enroll(store, factor("r", kind="recovery"))

    async def race() -> list[Redeemed]:
        used = (
            Redemption(subject=ALICE, burn=UseUp(factor="r"), grants=(grant(str(number)),)) for number in range(200)
        )
        return await crowd(store.redeem(one, now=NOW) for one in used)

    assert run(race()).count(Redeemed.DONE) == 1
    assert len(found(store)) == 1


def test_a_grant_keeps_every_character(store: Store) -> None:
    odd = Subject("https://idp.example.com/a?b={c}", 'ali"ce\n\x00é{}\udce9')
    kept = grant("a", subject=odd, session="s:{\u2028}", holder="h\x00", rule="p/r:1", binding="scope:x:\u2029")
    assert run(store.redeem(Redemption(subject=odd, burn=None, grants=(kept,), ticket=spent("t")), now=NOW)) is (
        Redeemed.DONE
    )
    assert run(store.look_up(odd, kept.session, fingerprint="", now=NOW)).grants == (kept,)
    assert run(store.grants(Selection(subject=odd), now=NOW)) == (kept,)


def test_a_closed_store_is_out_of_reach(store: Store) -> None:
    run(store.ping())
    run(store.close())
    run(store.close())
    calls: list[Coroutine[Any, Any, object]] = [
        store.ping(),
        store.look_up(ALICE, SESSION, fingerprint="", now=NOW),
        store.consume(ALICE, ["g1"], fingerprint="", now=NOW),
        store.redeem(redemption(), now=NOW),
        store.use_proof("p1", expires_at=NOW, fingerprint="", now=NOW),
        store.attempt([LIMIT], now=NOW),
        store.touch([]),
        store.grants(Selection(), now=NOW),
        store.revoke(Selection(), now=NOW),
        store.enroll(enrolment(factor()), now=NOW),
        store.confirm_factor(ALICE, Advance(factor="f1", mark=1), now=NOW),
        store.factors(None),
        store.rename_factor(ALICE, "f1", "x", now=NOW),
        store.remove_factor(ALICE, "f1", now=NOW),
        store.reset_factors(ALICE, [], now=NOW),
    ]
    for call in calls:
        with pytest.raises(StateUnavailable, match="closed"):
            run(call)
