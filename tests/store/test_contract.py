"""What every store promises. Each test runs on each of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.parts import ADDRESS, LIMIT, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.store.protocol import Redeemed, Store, TotpStep
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def put(store: Store, *grants: Grant, step: int = 7) -> None:
    run(store.add_factor(factor(f"of-step-{step}")))
    assert run(store.redeem(redemption(*grants, of=f"of-step-{step}", step=step), now=NOW)) is Redeemed.DONE


def found(store: Store, *, fingerprint: str = "", now: float = NOW, session: str = SESSION) -> list[str]:
    return [one.id for one in run(store.grants(ALICE, session, fingerprint=fingerprint, now=now))]


def test_a_grant_comes_back_as_it_was(store: Store) -> None:
    first, second = grant("a", uses=3), grant("b", issued_at=NOW + 0.125, binding="scope:x:p/r")
    put(store, second, first)
    assert run(store.grants(ALICE, SESSION, fingerprint="", now=NOW)) == (first, second)


def test_a_grant_is_found_by_its_subject_in_its_session_only(store: Store) -> None:
    put(store, grant())
    assert found(store, session="sid:2") == []
    for other in (Subject(ALICE.issuer, "bob"), Subject("https://other.example", ALICE.id), Subject("", ALICE.id)):
        assert run(store.grants(other, SESSION, fingerprint="", now=NOW)) == ()


def test_a_grant_ends_when_it_says(store: Store) -> None:
    put(store, grant(uses=1))
    assert found(store, now=NOW + 299.9) == ["g1"]
    assert found(store, now=NOW + 300) == []
    assert not run(store.consume(["g1"], fingerprint="f", now=NOW + 300))


def test_a_use_is_used_once(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(["g1"], fingerprint="f", now=NOW))
    assert found(store) == []
    assert not run(store.consume(["g1"], fingerprint="g", now=NOW))
    assert not run(store.consume(["g1"], fingerprint="", now=NOW))


def test_uses_are_counted(store: Store) -> None:
    put(store, grant(uses=3))
    used = [run(store.consume(["g1"], fingerprint=str(number), now=NOW)) for number in range(5)]
    assert used == [True, True, True, False, False]


def test_a_grant_without_a_count_is_never_used_up(store: Store) -> None:
    put(store, grant())
    assert all(run(store.consume(["g1"], fingerprint=str(number), now=NOW)) for number in range(5))
    assert found(store) == ["g1"]


def test_all_are_used_up_or_none(store: Store) -> None:
    put(store, grant("a", uses=1), grant("b", uses=1), grant("c"))
    assert run(store.consume(["b"], fingerprint="f", now=NOW))
    assert not run(store.consume(["a", "c", "b"], fingerprint="g", now=NOW))
    assert found(store) == ["a", "c"]
    assert not run(store.consume(["a", "gone"], fingerprint="g", now=NOW))
    assert run(store.consume(["a", "c"], fingerprint="g", now=NOW))
    assert found(store) == ["c"]


def test_a_grant_named_twice_is_used_once(store: Store) -> None:
    put(store, grant(uses=2))
    assert run(store.consume(["g1", "g1"], fingerprint="", now=NOW))
    (left,) = run(store.grants(ALICE, SESSION, fingerprint="", now=NOW))
    assert left.uses == 1


def test_the_same_check_sent_again_rests_on_the_same_use(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(["g1"], fingerprint="f", now=NOW))
    for later in (0.0, 29.9):
        (again,) = run(store.grants(ALICE, SESSION, fingerprint="f", now=NOW + later))
        assert again.uses == 1
        assert run(store.consume(["g1"], fingerprint="f", now=NOW + later))
    assert found(store, fingerprint="g") == []
    assert found(store, fingerprint="f", now=NOW + 31) == []
    assert not run(store.consume(["g1"], fingerprint="f", now=NOW + 31))


def test_a_repeated_check_costs_no_second_use(store: Store) -> None:
    put(store, grant(uses=2))
    for _ in range(3):
        assert run(store.consume(["g1"], fingerprint="f", now=NOW))
    assert run(store.consume(["g1"], fingerprint="g", now=NOW))
    assert not run(store.consume(["g1"], fingerprint="h", now=NOW))


def test_an_empty_fingerprint_repeats_nothing(store: Store) -> None:
    put(store, grant(uses=1))
    assert run(store.consume(["g1"], fingerprint="", now=NOW))
    assert not run(store.consume(["g1"], fingerprint="", now=NOW))
    assert found(store, fingerprint="") == []


def test_a_repeated_check_does_not_outlive_the_grant(store: Store) -> None:
    put(store, grant(uses=1, expires_at=NOW + 10))
    assert run(store.consume(["g1"], fingerprint="f", now=NOW + 9))
    assert found(store, fingerprint="f", now=NOW + 11) == []
    assert not run(store.consume(["g1"], fingerprint="f", now=NOW + 11))


def test_a_totp_step_is_good_once(store: Store) -> None:
    put(store, grant("a"))
    again = redemption(grant("b"), of="of-step-7")
    assert run(store.redeem(again, now=NOW)) is Redeemed.STEP_USED
    assert found(store) == ["a"]


def test_no_step_before_a_burned_one_is_good(store: Store) -> None:
    put(store, grant("a"))
    assert run(store.redeem(redemption(grant("b"), of="of-step-7", step=6), now=NOW)) is Redeemed.STEP_USED
    assert run(store.redeem(redemption(grant("c"), of="of-step-7", step=8), now=NOW)) is Redeemed.DONE
    assert found(store) == ["a", "c"]


def test_a_ticket_is_good_once_and_burns_no_step_again(store: Store) -> None:
    run(store.add_factor(factor()))
    assert run(store.redeem(redemption(grant("a"), ticket="t"), now=NOW)) is Redeemed.DONE
    replayed = redemption(grant("b"), ticket="t", step=8, limits=(LIMIT,))
    assert run(store.redeem(replayed, now=NOW)) is Redeemed.TICKET_USED
    assert run(store.redeem(redemption(grant("c"), ticket="u", step=8), now=NOW)) is Redeemed.DONE
    assert found(store) == ["a", "c"]


def test_a_step_that_is_used_does_not_burn_the_ticket(store: Store) -> None:
    run(store.add_factor(factor()))
    assert run(store.redeem(redemption(grant("a"), ticket="t"), now=NOW)) is Redeemed.DONE
    assert run(store.redeem(redemption(grant("b"), ticket="u"), now=NOW)) is Redeemed.STEP_USED
    assert run(store.redeem(redemption(grant("b"), ticket="u", step=8), now=NOW)) is Redeemed.DONE


def test_a_burned_ticket_stays_burned_while_clocks_disagree(store: Store) -> None:
    run(store.add_factor(factor()))
    assert run(store.redeem(redemption(ticket="t"), now=NOW)) is Redeemed.DONE
    for later in (400, 500, 599):
        run(store.attempt([LIMIT], now=NOW + later))
    assert run(store.redeem(redemption(ticket="t", step=8), now=NOW)) is Redeemed.TICKET_USED


def test_a_factor_that_is_not_there_or_not_confirmed_proves_nothing(store: Store) -> None:
    assert run(store.redeem(redemption(grant(), of="nobody", ticket="t"), now=NOW)) is Redeemed.FACTOR_GONE
    run(store.add_factor(factor(confirmed=False)))
    assert run(store.redeem(redemption(grant(), ticket="t"), now=NOW)) is Redeemed.FACTOR_GONE
    assert found(store) == []
    run(store.confirm_factor(TotpStep(factor="f1", step=5)))
    assert run(store.redeem(redemption(grant(), ticket="t"), now=NOW)) is Redeemed.DONE


def test_confirming_burns_the_step(store: Store) -> None:
    run(store.add_factor(factor(confirmed=False)))
    assert run(store.confirm_factor(TotpStep(factor="f1", step=7)))
    assert not run(store.confirm_factor(TotpStep(factor="f1", step=7)))
    assert not run(store.confirm_factor(TotpStep(factor="gone", step=7)))
    assert run(store.redeem(redemption(step=7), now=NOW)) is Redeemed.STEP_USED
    assert run(store.redeem(redemption(step=8), now=NOW)) is Redeemed.DONE


def test_factors_are_listed_by_subject_and_oldest_first(store: Store) -> None:
    bob = Subject(ALICE.issuer, "bob")
    old, new = factor("b"), factor("a", created_at=NOW + 1, confirmed=False)
    other = factor("c", bob, created_at=NOW + 2)
    for one in (other, new, old):
        run(store.add_factor(one))
    assert run(store.factors(ALICE)) == (old, new)
    assert run(store.factors(bob)) == (other,)
    assert run(store.factors(Subject("https://other.example", "alice"))) == ()
    assert run(store.factors(None)) == (old, new, other)
    assert run(store.remove_factor("b"))
    assert not run(store.remove_factor("b"))
    assert run(store.factors(ALICE)) == (new,)


def test_a_reset_ends_factors_grants_and_lock_out_of_one_subject(store: Store) -> None:
    bob = Subject(ALICE.issuer, "bob")
    run(store.add_factor(factor()))
    run(store.add_factor(factor("f2", bob)))
    run(store.redeem(redemption(grant("a"), grant("b", subject=bob)), now=NOW))
    for _ in range(3):
        run(store.attempt([LIMIT, ADDRESS], now=NOW))
    assert run(store.reset_factors(ALICE, [LIMIT])) == 1
    assert run(store.factors(None)) == (factor("f2", bob),)
    assert found(store) == []
    assert len(run(store.grants(bob, SESSION, fingerprint="", now=NOW))) == 1
    assert run(store.attempt([LIMIT], now=NOW)) == 0


def test_too_many_tries_must_wait_longer_each_time(store: Store) -> None:
    now, waits = NOW, []
    for _ in range(3):
        assert run(store.attempt([LIMIT], now=now)) == 0
    for _ in range(5):
        waits.append(run(store.attempt([LIMIT], now=now)))
        now += waits[-1]
        assert run(store.attempt([LIMIT], now=now)) == 0
    assert waits == pytest.approx([10, 20, 40, 80, 100])


def test_a_try_that_must_wait_is_not_counted(store: Store) -> None:
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW))
    assert [run(store.attempt([LIMIT, ADDRESS], now=NOW)) for _ in range(9)] == [10] * 9
    for _ in range(5):
        assert run(store.attempt([ADDRESS], now=NOW)) == 0
    assert run(store.attempt([ADDRESS], now=NOW)) == 10


def test_the_longest_wait_counts(store: Store) -> None:
    for _ in range(4):
        run(store.attempt([ADDRESS], now=NOW))
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW - 5))
    assert run(store.attempt([LIMIT, ADDRESS], now=NOW)) == 5
    assert run(store.attempt([ADDRESS], now=NOW)) == 0
    assert run(store.attempt([LIMIT, ADDRESS], now=NOW)) == 10


def test_a_right_code_gives_the_try_back(store: Store) -> None:
    run(store.add_factor(factor()))
    for step in range(20):
        assert run(store.attempt([LIMIT, ADDRESS], now=NOW)) == 0
        redeemed = run(store.redeem(redemption(step=step, limits=(LIMIT, ADDRESS)), now=NOW))
        assert redeemed is Redeemed.DONE


def test_a_refused_redemption_gives_no_try_back(store: Store) -> None:
    run(store.add_factor(factor()))
    run(store.redeem(redemption(), now=NOW))
    for _ in range(3):
        assert run(store.attempt([LIMIT], now=NOW)) == 0
        assert run(store.redeem(redemption(limits=(LIMIT,)), now=NOW)) is Redeemed.STEP_USED
    assert run(store.attempt([LIMIT], now=NOW)) > 0


def test_wrong_tries_are_forgotten(store: Store) -> None:
    for _ in range(3):
        run(store.attempt([LIMIT], now=NOW))
    later = NOW + 10 + 1000
    assert [run(store.attempt([LIMIT], now=later)) for _ in range(3)] == [0, 0, 0]


def test_no_limit_is_no_wait(store: Store) -> None:
    assert run(store.attempt([], now=NOW)) == 0


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


def test_what_has_expired_is_removed_in_passing(store: Store) -> None:
    put(store, grant(expires_at=NOW + 1))
    run(store.attempt([LIMIT], now=NOW + 120))
    assert not run(store.consume(["g1"], fingerprint="", now=NOW))


def test_of_many_uses_at_once_one_succeeds(store: Store) -> None:
    put(store, grant(uses=1))

    async def race() -> list[bool]:
        return await asyncio.gather(*(store.consume(["g1"], fingerprint=str(number), now=NOW) for number in range(200)))

    assert sum(run(race())) == 1


def test_of_many_uses_of_one_proof_at_once_one_succeeds(store: Store) -> None:
    async def race() -> list[bool]:
        return await asyncio.gather(
            *(store.use_proof("p", expires_at=NOW + 90, fingerprint=str(number), now=NOW) for number in range(200))
        )

    assert sum(run(race())) == 1


def test_of_many_codes_of_one_step_at_once_one_succeeds(store: Store) -> None:
    run(store.add_factor(factor()))

    async def race() -> list[Redeemed]:
        return await asyncio.gather(
            *(store.redeem(redemption(grant(str(number)), ticket=str(number)), now=NOW) for number in range(200))
        )

    outcomes = run(race())
    assert outcomes.count(Redeemed.DONE) == 1
    assert outcomes.count(Redeemed.STEP_USED) == 199
    assert len(found(store)) == 1


def test_of_many_tries_at_once_only_the_free_ones_pass(store: Store) -> None:
    async def race() -> list[float]:
        return await asyncio.gather(*(store.attempt([LIMIT], now=NOW) for _ in range(200)))

    assert run(race()).count(0) == LIMIT.free


def test_a_closed_store_is_out_of_reach(store: Store) -> None:
    run(store.ping())
    run(store.close())
    run(store.close())
    calls: list[Coroutine[Any, Any, object]] = [
        store.ping(),
        store.grants(ALICE, SESSION, fingerprint="", now=NOW),
        store.consume(["g1"], fingerprint="", now=NOW),
        store.redeem(redemption(), now=NOW),
        store.use_proof("p1", expires_at=NOW, fingerprint="", now=NOW),
        store.attempt([LIMIT], now=NOW),
        store.add_factor(factor()),
        store.confirm_factor(TotpStep(factor="f1", step=1)),
        store.factors(None),
        store.remove_factor("f1"),
        store.reset_factors(ALICE, []),
    ]
    for call in calls:
        with pytest.raises(StateUnavailable, match="closed"):
            run(call)
