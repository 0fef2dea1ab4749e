"""What floods and guesses cost others, on every store: nothing. Grants, and holders that a limiter knows."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import ADDRESS, LIMIT, enrolment, factor, grant, redemption

from extauthz.stepup.lockout import DAY, KNOWN_SECONDS, MOST_KNOWN, Limit, limits_of
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import MOST_GRANTS, Advance, Redeemed, Redemption, Selection, SpentTicket, Store
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")
MINE, THIEFS = "cookie:mine", "cookie:thief's"


def put(store: Store, *grants: Grant, ticket: str) -> None:
    spent = SpentTicket(id=ticket, expires_at=NOW + 300)
    given_elsewhere = Redemption(subject=grants[0].subject, burn=None, grants=grants, ticket=spent)
    assert run(store.redeem(given_elsewhere, now=NOW)) is Redeemed.DONE


def found(store: Store, *, subject: Subject = ALICE, fingerprint: str = "") -> list[str]:
    return [one.id for one in run(store.look_up(subject, SESSION, fingerprint=fingerprint, now=NOW)).grants]


def flood(store: Store, number: int, **changed: object) -> None:
    for one in range(number):
        put(store, grant(f"flood{one}", issued_at=NOW + one, **changed), ticket=f"flood{one}")


def test_a_flood_leaves_no_more_than_the_bound_and_the_newest_stay(store: Store) -> None:
    put(store, grant("bobs", subject=BOB), ticket="t")
    flood(store, 100)
    assert found(store) == [f"flood{one}" for one in range(100 - MOST_GRANTS, 100)]
    assert len(run(store.grants(Selection(subject=ALICE), now=NOW))) == MOST_GRANTS
    assert found(store, subject=BOB) == ["bobs"], "and what others have stays"


def test_what_is_used_up_goes_before_what_is_good(store: Store) -> None:
    put(store, grant("old"), ticket="old")
    flood(store, MOST_GRANTS - 2, uses=1)
    used = [f"flood{one}" for one in range(20)]
    assert run(store.consume(ALICE, used, fingerprint="f", now=NOW))
    put(store, *(grant(f"new{one}", issued_at=NOW + 1000) for one in range(20)), ticket="new")
    left = found(store, fingerprint="f")
    assert "old" in left
    assert {f"new{one}" for one in range(20)} <= set(left)
    assert set(used) - set(left) == set(used[:19]), "there was room for one"


def test_all_grants_of_one_proof_come_though_they_are_more_than_the_bound(store: Store) -> None:
    flood(store, 10)
    put(store, *(grant(f"new{one:03}") for one in range(MOST_GRANTS + 5)), ticket="new")
    assert found(store) == [f"new{one:03}" for one in range(MOST_GRANTS + 5)]


def test_a_proof_that_leaves_nothing_takes_nothing(store: Store) -> None:
    run(store.enroll(enrolment(factor()), now=NOW))
    put(store, *(grant(f"new{one:03}") for one in range(MOST_GRANTS + 5)), ticket="new")
    assert run(store.redeem(redemption(), now=NOW)) is Redeemed.DONE
    assert len(found(store)) == MOST_GRANTS + 5


def test_what_has_ended_takes_no_room(store: Store) -> None:
    flood(store, MOST_GRANTS - 1, expires_at=NOW + 1)
    put(store, grant("kept"), ticket="kept")
    spent = SpentTicket(id="new", expires_at=NOW + 300)
    new = tuple(grant(f"new{one}", issued_at=NOW + 2) for one in range(MOST_GRANTS - 1))
    assert run(store.redeem(Redemption(subject=ALICE, burn=None, grants=new, ticket=spent), now=NOW + 2)) is (
        Redeemed.DONE
    )
    assert len(found(store)) == MOST_GRANTS
    assert "kept" in found(store)


def held_by(holder: str, address: str = "") -> tuple[Limit, ...]:
    return limits_of(ALICE, address, holder)


def be_right(store: Store, limits: Sequence[Limit], *, step: int, now: float = NOW) -> None:
    """A right code of Alice: counted, found right, given back."""
    tried = run(store.attempt(limits, now=now))
    assert tried.wait == 0
    right = Redemption(
        subject=ALICE,
        burn=Advance(factor="f1", mark=step),
        grants=(),
        limits=tried.counted,
        known_to=limits[0],
    )
    assert run(store.redeem(right, now=now)) is Redeemed.DONE


def guess(store: Store, limits: Sequence[Limit], times: int = 200, *, now: float = NOW) -> int:
    """How many wrong codes were looked at."""
    return sum(run(store.attempt(limits, now=now)).wait == 0 for _ in range(times))


@pytest.fixture
def enrolled(store: Store) -> Store:
    """A store with a factor of Alice."""
    run(store.enroll(enrolment(factor("f1")), now=NOW))
    return store


def test_who_was_right_before_is_locked_out_by_nobody_elsewhere(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE, "192.0.2.1"), step=1)
    for number in range(40):
        guess(enrolled, held_by(f"cookie:{number}", "192.0.2.1"), 5)
    assert run(enrolled.attempt(held_by(THIEFS, "192.0.2.1"), now=NOW)).wait > 0
    assert run(enrolled.attempt(held_by("", "192.0.2.1"), now=NOW)).wait > 0
    assert guess(enrolled, held_by(MINE, "192.0.2.1"), 4) == 4
    be_right(enrolled, held_by(MINE, "192.0.2.1"), step=2)


def test_many_holders_get_no_more_tries_than_one(enrolled: Store) -> None:
    assert sum(guess(enrolled, held_by(f"cookie:{number}"), 5) for number in range(40)) == 5


def test_right_codes_give_a_guesser_no_try_back(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    guesses = 0
    for step in range(2, 30):
        guesses += guess(enrolled, held_by(THIEFS), 1)
        be_right(enrolled, held_by(MINE), step=step)
    assert guesses == 5


def test_right_codes_from_places_that_are_new_give_a_guesser_no_try_back(enrolled: Store) -> None:
    guesses = guess(enrolled, held_by(THIEFS), 4)
    for step in range(1, 20):
        be_right(enrolled, held_by(f"peer:{step}"), step=step)
    guesses += guess(enrolled, held_by(THIEFS))
    assert guesses == 5


def test_a_known_holder_is_locked_out_by_its_own_wrong_codes_and_a_right_one_forgets_them(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    assert guess(enrolled, held_by(MINE), 4) == 4
    be_right(enrolled, held_by(MINE), step=2)
    assert guess(enrolled, held_by(MINE)) == 5
    assert run(enrolled.attempt(held_by(MINE), now=NOW)).wait == 30
    assert guess(enrolled, held_by(THIEFS)) == 5, "and it takes nothing from others"


@pytest.mark.parametrize("holder", [MINE, THIEFS, "peer:office"])
def test_a_clock_that_is_set_back_locks_nobody_out_who_was_not(enrolled: Store, holder: str) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    be_right(enrolled, held_by("peer:office"), step=2)
    assert guess(enrolled, held_by(holder), 2) == 2
    be_right(enrolled, held_by(holder), step=3)
    assert guess(enrolled, held_by(holder), 1, now=NOW - 3600) == 1


def test_right_codes_give_nobody_behind_the_same_address_a_try_back(enrolled: Store) -> None:
    be_right(enrolled, held_by("peer:office"), step=1)
    guesses = 0
    for step in range(2, 30):
        guesses += guess(enrolled, held_by("peer:office"), 1)
        tried = run(enrolled.attempt(held_by("peer:office"), now=NOW))
        if tried.wait == 0:
            right = Redemption(
                subject=ALICE,
                burn=Advance(factor="f1", mark=step),
                grants=(),
                limits=tried.counted,
                known_to=held_by("peer:office")[0],
            )
            assert run(enrolled.redeem(right, now=NOW)) is Redeemed.DONE
    assert guesses == 5


def test_a_holder_is_forgotten_after_a_month_and_each_right_code_begins_it_anew(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    be_right(enrolled, held_by(MINE), step=2, now=NOW + 20 * DAY)
    later = NOW + KNOWN_SECONDS + 10 * DAY
    guess(enrolled, held_by(THIEFS), now=later)
    assert run(enrolled.attempt(held_by(MINE), now=later)).wait == 0
    later = NOW + KNOWN_SECONDS + 20 * DAY
    guess(enrolled, held_by(THIEFS), now=later)
    assert run(enrolled.attempt(held_by(MINE), now=later)).wait > 0


def test_as_many_holders_are_known_as_were_right_last(enrolled: Store) -> None:
    for step in range(MOST_KNOWN + 4):
        be_right(enrolled, held_by(f"cookie:{step}"), step=step, now=NOW + step)
    guess(enrolled, held_by(THIEFS), now=NOW + 100)
    known = [guess(enrolled, held_by(f"cookie:{step}"), 1, now=NOW + 100) for step in range(MOST_KNOWN + 4)]
    assert known == [0] * 4 + [1] * MOST_KNOWN


def test_a_reset_forgets_who_was_known(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    assert guess(enrolled, held_by(MINE)) == 5
    assert run(enrolled.reset_factors(ALICE, limits_of(ALICE, ""), now=NOW)) == 1
    assert guess(enrolled, held_by(MINE), 2) == 2
    assert guess(enrolled, held_by(THIEFS)) == 3, "nobody is known, so all share what there is"


def test_a_holder_of_one_subject_is_not_known_for_another(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)
    guess(enrolled, limits_of(BOB, "", THIEFS))
    assert run(enrolled.attempt(limits_of(BOB, "", MINE), now=NOW)).wait > 0


def test_right_codes_of_ones_own_buy_an_address_no_tries(enrolled: Store) -> None:
    mine = held_by(MINE, "192.0.2.1")
    be_right(enrolled, mine, step=1)
    guesses = 0
    for step in range(2, 50):
        theirs = limits_of(Subject(ALICE.issuer, f"victim {step}"), "192.0.2.1")
        guesses += guess(enrolled, theirs, 1)
        be_right(enrolled, mine, step=step)
    assert guesses == 30


def test_of_many_guesses_at_once_from_everywhere_no_more_pass_than_allowed(enrolled: Store) -> None:
    be_right(enrolled, held_by(MINE), step=1)

    async def race() -> list[float]:
        holders = [MINE if number % 2 else f"cookie:{number}" for number in range(200)]
        tries = (enrolled.attempt(held_by(holder, "192.0.2.1"), now=NOW) for holder in holders)
        return [tried.wait for tried in await asyncio.gather(*tries)]

    assert run(race()).count(0) == 5 + 5
    assert guess(enrolled, held_by("", "192.0.2.1")) == 0


def test_a_try_that_one_limiter_refuses_is_counted_in_none(store: Store) -> None:
    for _ in range(ADDRESS.free):
        run(store.attempt([ADDRESS], now=NOW))
    for _ in range(50):
        assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 10
    assert guess(store, [LIMIT]) == LIMIT.free


PLACES = st.sampled_from(["cookie:a", "cookie:b", "peer:c", ""])
MOMENTS = st.sampled_from([0.0, 1.0, 31.0, 4000.0, DAY])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=st.lists(st.tuples(MOMENTS, PLACES), max_size=60))
def test_however_others_guess_whoever_was_right_keeps_their_own_tries_and_guessers_keep_to_the_bound(
    moves: list[tuple[float, str]],
) -> None:
    store = MemoryStore()
    run(store.enroll(enrolment(factor("f1")), now=NOW))
    be_right(store, held_by(MINE), step=0)
    guesses, now = 0, NOW
    for step, (later, place) in enumerate(moves, start=1):
        now += later
        guesses += guess(store, held_by(place), 3, now=now)
        be_right(store, held_by(MINE), step=step, now=now)
        limit = held_by(place)[0]
        assert guesses <= replace(limit, holder="").most + 1 + (now - NOW) / limit.memory
