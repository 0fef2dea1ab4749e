"""What every store promises of grants and sessions. Each test runs on each of them."""

from collections.abc import Coroutine
from typing import Any

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.asking import BOB, enroll, found, put, spent
from store.one_loop import crowd, run
from store.parts import LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.store.protocol import (
    Activity,
    Advance,
    Consumed,
    Redeemed,
    Redemption,
    Selection,
    Store,
)
from extauthz.values.identity import Subject


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
    assert [one.done for one in used] == [True, True, True, False, False]


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


@pytest.mark.parametrize("address", ["memory", "sqlite"], indirect=True)
def test_what_has_expired_is_removed_in_passing(store: Store) -> None:
    put(store, grant(expires_at=NOW + 1))
    run(store.attempt([LIMIT], now=NOW + 120))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))


def test_who_uses_up_is_told_which_have_lost_a_use_by_it(store: Store) -> None:
    put(store, grant("once", uses=1), grant("ever"))
    ids = ["once", "ever"]
    assert run(store.consume(ALICE, ids, fingerprint="f", now=NOW)) == Consumed(done=True, used=frozenset({"once"}))
    assert run(store.consume(ALICE, ids, fingerprint="f", now=NOW)) == Consumed(done=True)
    assert run(store.consume(ALICE, ids, fingerprint="g", now=NOW)) == Consumed(done=False)


def test_of_many_uses_at_once_one_succeeds(store: Store) -> None:
    put(store, grant(uses=1))

    async def race() -> list[Consumed]:
        return await crowd(store.consume(ALICE, ["g1"], fingerprint=str(number), now=NOW) for number in range(200))

    assert sum(map(bool, run(race()))) == 1


def test_nobody_uses_up_the_grant_of_somebody_else(store: Store) -> None:
    put(store, grant(uses=1))
    assert not run(store.consume(BOB, ["g1"], fingerprint="", now=NOW))
    assert found(store) == ["g1"]


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
