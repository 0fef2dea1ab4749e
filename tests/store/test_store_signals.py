"""What every store promises of signals and of the tokens that bring them."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from math import inf
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import LIMIT, enrolment, factor, grant

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Revocation
from extauthz.identity.signals.facts import LEVELS, Signal, SignalKey
from extauthz.store.protocol import Presence, Redemption, Store
from extauthz.store.redis_signals import RedisSignals
from extauthz.store.signals import Delivered, Delivery, Receipt
from extauthz.values.identity import Subject
from extauthz.values.signals import SignalName

BOB = Subject(ALICE.issuer, "bob")


def key(
    name: SignalName = "risk", subject: Subject = ALICE, *, session: str = "", source: str = "idp", device: str = ""
) -> SignalKey:
    if device:
        return SignalKey("device", "", device, session, name, source)
    return SignalKey("subject", subject.issuer, subject.id, session, name, source)


def signal(level: str = "HIGH", of: SignalKey | None = None, *, at: float = NOW, until: float = inf) -> Signal:
    return Signal(key=key() if of is None else of, level=level, reason="because", at=at, until=until)


def receipt(id_: str = "t1", digest: str = "aa", until: float = NOW + 600) -> Receipt:
    return Receipt(id=id_, digest=digest, until=until)


def deliver(store: Store, *signals: Signal, by: Receipt | None = None, now: float = NOW) -> Delivered:
    return run(store.deliver(Delivery(receipt=by, signals=signals), now=now))


def of(store: Store, subject: Subject | None = None, now: float = NOW) -> tuple[Signal, ...]:
    return run(store.signals(subject, now=now))


def with_grant(store: Store) -> None:
    run(store.enroll(enrolment(factor("f")), now=NOW))
    proof = Redemption(subject=ALICE, burn=Presence(factor="f"), grants=(grant("g"),))
    run(store.redeem(proof, now=NOW))


def grants(store: Store) -> list[str]:
    return [one.id for one in run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants]


def test_a_signal_comes_back_as_it_was(store: Store) -> None:
    for one in (
        signal(at=NOW + 0.125, until=NOW + 60),
        signal("disabled", key("account", Subject("", "spiffe://example.org/web"))),
        signal("not-compliant", key("compliance", device='d"1 [')),
        signal("LOW", key(subject=Subject('is"[s', "o\udc80ther"), session="s 1", source="é")),
    ):
        assert deliver(store, one) is Delivered.DONE
        assert one in of(store)
        assert one in run(store.revocation_changes(None)).signals


def test_signals_are_listed_of_one_subject_or_of_everything_and_oldest_first(store: Store) -> None:
    late, early, other = signal(at=NOW), signal("decreased", key("assurance"), at=NOW - 9), signal(of=key(subject=BOB))
    device = signal(of=key(device=ALICE.id), at=NOW + 1)
    deliver(store, device, late, early, other)
    assert of(store, ALICE) == (early, late)
    assert set(of(store)) == {late, early, other, device}
    assert of(store)[-1] == device


def test_a_token_is_done_once_and_its_id_is_no_other_ones(store: Store) -> None:
    assert deliver(store, signal("LOW"), by=receipt()) is Delivered.DONE
    assert deliver(store, signal("HIGH", at=NOW + 9), by=receipt()) is Delivered.AGAIN
    assert deliver(store, signal("HIGH", at=NOW + 9), by=receipt(digest="bb")) is Delivered.CONFLICT
    assert of(store) == (signal("LOW"),)
    assert deliver(store, signal("HIGH", at=NOW + 9), by=receipt("t2")) is Delivered.DONE


def test_a_token_is_remembered_until_its_end_and_while_clocks_differ(store: Store) -> None:
    deliver(store, by=receipt(until=NOW + 100))
    run(store.attempt([LIMIT], now=NOW + 399))
    assert deliver(store, by=receipt(), now=NOW + 399) is Delivered.AGAIN


def test_what_a_token_says_is_done_together(store: Store) -> None:
    with_grant(store)
    revocation = Revocation(kind="session", subject=ALICE, id="s1", at=NOW)
    said = Delivery(receipt=receipt(), revocations=(revocation,), signals=(signal(),), voids=(ALICE,))
    assert grants(store) == ["g"]
    assert run(store.deliver(said, now=NOW)) is Delivered.DONE
    assert run(store.revocations(ALICE, now=NOW)) == (revocation,)
    assert (of(store), grants(store)) == ((signal(),), [])
    run(store.withdraw_revocation(revocation.key, now=NOW))
    assert run(store.deliver(said, now=NOW)) is Delivered.AGAIN
    assert run(store.revocations(ALICE, now=NOW)) == ()


def test_a_token_that_revokes_takes_the_grants_with_it(store: Store) -> None:
    with_grant(store)
    tokens = Revocation(kind="tokens", subject=ALICE, at=NOW)
    assert run(store.deliver(Delivery(receipt=None, revocations=(tokens,)), now=NOW)) is Delivered.DONE
    assert grants(store) == []


def test_grants_of_others_stay(store: Store) -> None:
    with_grant(store)
    run(store.deliver(Delivery(receipt=None, voids=(BOB,)), now=NOW))
    assert grants(store) == ["g"]


def test_what_is_older_changes_nothing_and_of_one_moment_the_worse_holds(store: Store) -> None:
    deliver(store, signal("MEDIUM"))
    mark = run(store.revocation_changes(None)).mark
    deliver(store, signal("HIGH", at=NOW - 1), signal("LOW"), signal("MEDIUM"))
    assert of(store) == (signal("MEDIUM"),)
    assert run(store.revocation_changes(mark)).mark == mark
    deliver(store, signal("HIGH"))
    deliver(store, signal("LOW", at=NOW + 1))
    assert of(store) == (signal("LOW", at=NOW + 1),)


def test_what_has_ended_holds_nothing_up(store: Store) -> None:
    deliver(store, signal("HIGH", at=NOW + 50, until=NOW + 60))
    assert of(store, now=NOW + 60) == ()
    late = signal("LOW", at=NOW + 40)
    deliver(store, late, now=NOW + 60)
    assert of(store, now=NOW + 60) == (late,)


def test_changes_of_signals_and_revocations_are_told_by_one_mark(store: Store) -> None:
    first = run(store.revocation_changes(None))
    assert (first.whole, first.signals) == (True, ())
    deliver(store, signal("LOW"), signal("HIGH", at=NOW + 1), signal(of=key(device="d")))
    block = Revocation(kind="block", subject=BOB, at=NOW)
    run(store.put_revocation(block, now=NOW))
    second = run(store.revocation_changes(first.mark))
    assert (second.whole, second.put, second.withdrawn) == (False, (block,), ())
    assert set(second.signals) == {signal("HIGH", at=NOW + 1), signal(of=key(device="d"))}
    third = run(store.revocation_changes(second.mark))
    assert (third.mark, third.put, third.signals) == (second.mark, (), ())


def test_signals_that_were_swept_are_not_told(store: Store) -> None:
    mark = run(store.revocation_changes(None)).mark
    deliver(store, signal(until=NOW + 1))
    run(store.attempt([LIMIT], now=NOW + 1000))
    deliver(store, signal(of=key(subject=BOB), at=NOW + 1000), now=NOW + 1000)  # a Redis sweeps in passing
    changes = run(store.revocation_changes(mark))
    assert (changes.whole, changes.withdrawn) == (False, ())
    assert changes.signals == (signal(of=key(subject=BOB), at=NOW + 1000),)
    assert run(store.revocation_changes(None)).signals == changes.signals


def test_revocations_alone_are_listed_as_such(store: Store) -> None:
    deliver(store, signal())
    assert run(store.revocations(ALICE, now=NOW)) == ()
    assert run(store.revocations(None, now=NOW)) == ()


def test_of_one_token_that_comes_many_times_at_once_one_is_first(store: Store) -> None:
    async def race() -> None:
        said = Delivery(receipt=receipt(), signals=(signal(),))
        came = await asyncio.gather(*(store.deliver(said, now=NOW) for _ in range(8)))
        assert set(came) <= {Delivered.DONE, Delivered.AGAIN}
        assert came.count(Delivered.DONE) == 1

    run(race())
    assert of(store) == (signal(),)


@pytest.mark.parametrize("address", ["sqlite", "redis", "cluster"], indirect=True)
def test_a_second_process_knows_the_token_and_what_it_said(address: str, opened: Callable[[str], Store]) -> None:
    one, other = opened(address), opened(address)
    mark = run(other.revocation_changes(None)).mark
    deliver(one, signal(), by=receipt())
    assert run(other.revocation_changes(mark)).signals == (signal(),)
    assert deliver(other, signal(), by=receipt()) is Delivered.AGAIN


@pytest.mark.parametrize("address", ["redis", "cluster"], indirect=True)
def test_who_dies_before_a_token_is_remembered_has_done_what_is_done_again(
    address: str, opened: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, other = opened(address), opened(address)
    tokens = Revocation(kind="tokens", subject=ALICE, at=NOW)
    disabled, enabled = (signal(level, key("account"), at=NOW + n) for n, level in enumerate(("disabled", "enabled")))
    said = Delivery(receipt=receipt(), revocations=(tokens,), signals=(disabled,), voids=(ALICE,))

    async def die(*_: object) -> bool:
        raise StateUnavailable("store: it is away")

    with monkeypatch.context() as patched:
        patched.setattr(RedisSignals, "_receive", die)
        with pytest.raises(StateUnavailable):
            run(dying.deliver(said, now=NOW))
    assert of(other, ALICE) == (disabled,)
    deliver(other, enabled, by=receipt("t2"))
    assert run(other.deliver(said, now=NOW)) is Delivered.DONE
    assert of(other, ALICE) == (enabled,), "what is newer stays"
    assert run(other.revocations(ALICE, now=NOW)) == (tokens,)
    assert run(other.deliver(said, now=NOW)) is Delivered.AGAIN


def test_a_closed_store_takes_and_tells_nothing(store: Store) -> None:
    run(store.close())
    for call in (
        store.deliver(Delivery(receipt=receipt(), signals=(signal(),)), now=NOW),
        store.signals(None, now=NOW),
    ):
        with pytest.raises(StateUnavailable):
            run(call)


said = st.builds(
    lambda name_level, at, of: signal(name_level[1], of._replace(name=name_level[0]), at=NOW + at),
    st.sampled_from([(name, level) for name, levels in LEVELS.items() for level in levels]),
    st.integers(0, 3),
    st.sampled_from([key(), key(subject=BOB), key(device="d"), key(source="other"), key(session="s")]),
)


TRIES = itertools.count()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signals=st.lists(said, max_size=12), order=st.randoms(use_true_random=False))
def test_the_order_in_which_signals_come_is_irrelevant(store: Store, signals: list[Signal], order: Random) -> None:
    this_try = f"try-{next(TRIES)}"  # the store of a test is one for all tries
    signals = [replace(one, key=one.key._replace(id=f"{this_try} {one.key.id}")) for one in signals]
    expected: dict[SignalKey, Signal] = {}
    for one in signals:
        if one.key not in expected or one.follows(expected[one.key]):
            expected[one.key] = one
    order.shuffle(signals)
    for one in signals:
        deliver(store, one)
    assert {one.key: one for one in of(store) if one.key.id.startswith(f"{this_try} ")} == expected
