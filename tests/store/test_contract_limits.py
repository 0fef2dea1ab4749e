"""What every store promises of tries and of what is used once."""

import pytest
from stepup.proofs import NOW
from store.asking import enroll
from store.one_loop import crowd, run
from store.parts import ADDRESS, LIMIT, factor, redemption

from extauthz.store.protocol import (
    Redeemed,
    Store,
)


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


def test_of_many_uses_of_one_proof_at_once_one_succeeds(store: Store) -> None:
    async def race() -> list[bool]:
        return await crowd(
            store.use_proof("p", expires_at=NOW + 90, fingerprint=str(number), now=NOW) for number in range(200)
        )

    assert sum(run(race())) == 1


def test_of_many_tries_at_once_only_the_free_ones_pass(store: Store) -> None:
    async def race() -> list[float]:
        return [tried.wait for tried in await crowd(store.attempt([LIMIT], now=NOW) for _ in range(200))]

    assert run(race()).count(0) == LIMIT.free


def test_the_try_that_locks_says_for_how_long(store: Store) -> None:
    said = [run(store.attempt([LIMIT], now=NOW)).locks for _ in range(LIMIT.free + 1)]
    assert said == [0.0] * (LIMIT.free - 1) + [10.0, 0.0], "the last one was not made"
