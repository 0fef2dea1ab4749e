"""What every store promises of proofs: each factor, step, code and ticket is good once."""

from stepup.proofs import ALICE, NOW, SESSION
from store.asking import BOB, confirm, enroll, found, put, spent
from store.one_loop import crowd, run
from store.parts import ADDRESS, LIMIT, factor, grant, redemption

from extauthz.store.protocol import (
    Advance,
    Changed,
    Presence,
    Redeemed,
    Redemption,
    Store,
    UseUp,
)
from extauthz.values.identity import Subject


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


def test_of_many_uses_of_one_recovery_code_at_once_one_succeeds(store: Store) -> None:
    enroll(store, factor("r", kind="recovery"))

    async def race() -> list[Redeemed]:
        used = (
            Redemption(subject=ALICE, burn=UseUp(factor="r"), grants=(grant(str(number)),)) for number in range(200)
        )
        return await crowd(store.redeem(one, now=NOW) for one in used)

    assert run(race()).count(Redeemed.DONE) == 1
    assert len(found(store)) == 1
