"""Calls that meet, on every store: what ends proofs beats what uses and leaves them, and no mix gets more tries."""

import asyncio

from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import FIRST, LIMIT, enrolment, factor, grant, redemption

from extauthz.stepup.lockout import limits_of
from extauthz.store.protocol import Advance, Changed, Ground, Redemption, Selection, Store
from extauthz.values.identity import Subject

MALLORY = Subject(ALICE.issuer, "mallory")
ROUNDS = 20


def test_no_use_that_begins_after_a_revocation_was_answered_succeeds(store: Store) -> None:
    async def race(number: int) -> list[bool]:
        ids = [f"g{number}.{one}" for one in range(3)]
        await store.enroll(enrolment(factor(f"f{number}")), now=NOW)
        await store.redeem(redemption(*(grant(id_, uses=9) for id_ in ids), of=f"f{number}"), now=NOW)
        revoking = asyncio.create_task(store.revoke(Selection(subject=ALICE), now=NOW))

        async def use(check: str) -> bool:
            is_late = revoking.done()
            return bool(await store.consume(ALICE, ids, fingerprint=check, now=NOW)) and is_late

        early = await asyncio.gather(*(use(f"{number}.{one}") for one in range(8)))
        await revoking
        late = [await use(f"{number}.{one}") for one in range(8)]  # also the same Checks sent again
        seen = (await store.look_up(ALICE, SESSION, fingerprint=f"{number}.0", now=NOW)).grants
        return [*early, *late, bool(seen)]

    for number in range(ROUNDS):
        assert not any(run(race(number)))


def test_a_reset_that_meets_a_redemption_leaves_no_grant_of_a_factor_that_is_gone(store: Store) -> None:
    async def race(number: int) -> None:
        await store.enroll(enrolment(factor(f"f{number}")), now=NOW)
        proving = store.redeem(redemption(grant(f"g{number}"), of=f"f{number}"), now=NOW)
        await asyncio.gather(proving, store.reset_factors(ALICE, [LIMIT], now=NOW))
        assert await store.factors(ALICE) == ()
        assert (await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == ()

    for number in range(ROUNDS):
        run(race(number))


def test_a_reset_that_meets_changes_leaves_none_of_them(store: Store) -> None:
    async def race(number: int) -> None:
        at = NOW + 2 * number
        ground = Ground(factor=f"f{number}", laid_at=at)
        waiting = factor(f"p{number}", confirmed=False)
        await store.enroll(enrolment(factor(f"f{number}")), now=at)
        await store.enroll(enrolment(waiting, ground=ground), now=at)
        key, first = factor(f"k{number}", kind="webauthn"), factor(f"q{number}", kind="webauthn")
        await asyncio.gather(
            store.enroll(enrolment(key, ground=ground), now=at),
            store.reset_factors(ALICE, [], now=at),
            store.confirm_factor(ALICE, Advance(factor=waiting.id, mark=3), now=at, ground=ground),
            store.enroll(enrolment(first, ground=Ground(laid_at=at)), now=at),
        )
        assert await store.factors(ALICE) == ()

    for number in range(ROUNDS):
        run(race(number))


def test_a_removal_that_meets_changes_is_no_ground_for_them_any_more(store: Store) -> None:
    async def race(number: int) -> None:
        lost, kept = factor(f"lost{number}"), factor(f"kept{number}", kind="webauthn", created_at=NOW + 1)
        await store.enroll(enrolment(lost, kept), now=NOW)
        removing = asyncio.create_task(store.remove_factor(ALICE, lost.id, now=NOW))

        async def add(one: int) -> bool:
            is_late = removing.done()
            added = enrolment(factor(f"k{number}.{one}"), ground=Ground(factor=lost.id, laid_at=NOW))
            return await store.enroll(added, now=NOW) is Changed.DONE and is_late

        late = await asyncio.gather(*(add(one) for one in range(8)))
        assert await removing is Changed.DONE
        assert not any([*late, await add(8)])

    for number in range(ROUNDS):
        run(race(number))


def test_of_removals_that_meet_one_factor_stays(store: Store) -> None:
    async def race(number: int) -> None:
        await store.reset_factors(ALICE, [], now=NOW)
        names = [f"f{number}.{one}" for one in range(4)]
        await store.enroll(enrolment(*(factor(name) for name in names)), now=NOW)
        outcomes = await asyncio.gather(*(store.remove_factor(ALICE, name, now=NOW) for name in names))
        assert sorted(outcome.value for outcome in outcomes) == ["done", "done", "done", "last"]
        assert len(await store.factors(ALICE)) == 1

    for number in range(ROUNDS):
        run(race(number))


def test_of_a_confirmation_and_a_first_enrolment_that_meet_one_comes_through(store: Store) -> None:
    async def race(number: int) -> None:
        await store.reset_factors(ALICE, [], now=NOW - 1)
        await store.enroll(enrolment(factor(f"p{number}", confirmed=False), ground=FIRST), now=NOW)
        confirmed, enrolled = await asyncio.gather(
            store.confirm_factor(ALICE, Advance(factor=f"p{number}", mark=3), now=NOW, ground=FIRST),
            store.enroll(enrolment(factor(f"q{number}", confirmed=False), ground=FIRST), now=NOW),
        )
        assert (confirmed is Changed.DONE) != (enrolled is Changed.DONE)
        assert len(await store.factors(ALICE)) == 1

    for number in range(ROUNDS):
        run(race(number))


def test_right_codes_of_ones_own_buy_no_guesses_at_others_codes(store: Store) -> None:
    run(store.enroll(enrolment(factor("m", MALLORY)), now=NOW))
    own, guesses, step = limits_of(MALLORY, "192.0.2.1"), 0, 0

    async def guess(victim: int) -> None:
        nonlocal guesses
        limits = limits_of(Subject(ALICE.issuer, f"victim {victim}"), "192.0.2.1")
        guesses += (await store.attempt(limits, now=NOW)).wait == 0

    async def prove() -> None:
        nonlocal step
        if (await store.attempt(own, now=NOW)).wait == 0:
            step += 1
            right = Redemption(subject=MALLORY, burn=Advance(factor="m", mark=step), grants=(), limits=own)
            await store.redeem(right, now=NOW)

    async def attack() -> None:
        for number in range(10):
            await asyncio.gather(*(work for one in range(8) for work in (guess(10 * number + one), prove())))

    run(attack())
    assert step > 0
    assert 0 < guesses <= 30
