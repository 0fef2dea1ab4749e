"""Re-authentication after inactivity, on every store: what keeps a session awake, here and on other servers."""

from collections.abc import Callable

import pytest
from check.watching import Person, pass_time, person
from checking import Bench, make_bench
from store.one_loop import run

from extauthz.store.protocol import Store


@pytest.fixture
def bench(store: Store) -> Bench:
    return make_bench(store, run)


@pytest.fixture
def alice(bench: Bench) -> Person:
    return person(bench)


@pytest.fixture
def second(bench: Bench, alice: Person, address: str, opened: Callable[[str], Store]) -> Bench:
    """Another server on the same state; of memory there is one for all."""
    assert alice.bench is bench
    return bench.replica(bench.store if address == "memory:" else opened(address))


def write(*servers: Bench) -> None:
    for server in servers:
        run(server.activities.write())


def test_who_stays_active_is_never_asked(alice: Person, second: Bench) -> None:
    for number in range(18):
        assert alice.asks(on=(alice.bench, second)[number % 2]) == "allow"
        write(alice.bench, second)
        pass_time(alice.bench, 10)
    pass_time(alice.bench, 6)
    assert alice.asks() == alice.asks(on=second) == "challenge"
    assert alice.idle() == 16 * 60


def test_asking_again_is_no_way_around_a_proof(alice: Person, second: Bench) -> None:
    assert alice.asks() == "allow"
    write(alice.bench)
    pass_time(alice.bench, 16)
    for _ in range(3):
        assert alice.asks() == "challenge"
        assert alice.asks("/never") == "deny"
        assert alice.asks("/other") == "allow", "what no rule watches wakes nothing"
        write(alice.bench, second)
    assert alice.asks(on=second) == "challenge"
    assert alice.asks(code=alice.bench.code()) == "allow"
    write(alice.bench)
    pass_time(alice.bench, 14)  # the proof is over, the activity is not
    assert alice.asks(on=second) == "allow"


def test_what_a_server_has_not_written_it_knows_alone(alice: Person, second: Bench) -> None:
    pass_time(alice.bench, 14)
    assert alice.asks() == "allow"
    pass_time(alice.bench, 2)
    assert (alice.asks(on=second), alice.asks()) == ("challenge", "allow")
    write(alice.bench)
    assert alice.asks(on=second) == "allow"


def test_last_seen_only_moves_forward(alice: Person, second: Bench) -> None:
    """The first server writes late what the second has long overtaken."""
    assert alice.asks() == "allow"
    pass_time(alice.bench, 10)
    assert alice.asks(on=second) == "allow"
    write(second, alice.bench)
    pass_time(alice.bench, 14)
    assert alice.asks(on=second) == "allow"


def test_all_is_written_at_the_end(alice: Person, second: Bench) -> None:
    """Also what was written a moment ago, and was active since."""
    assert alice.asks() == "allow"
    write(alice.bench)
    alice.bench.now[0] += 30
    assert alice.asks() == "allow"
    write(alice.bench)
    alice.bench.now[0] += 15 * 60 - 10
    assert alice.asks(on=second) == "challenge", "at most once a minute"
    run(alice.bench.activities.close())
    assert alice.asks(on=second) == "allow"


def test_two_sessions_and_two_people_are_told_apart(bench: Bench, alice: Person) -> None:
    assert alice.asks() == "allow"
    write(bench)
    pass_time(bench, 14)
    alice.asks()
    write(bench)
    pass_time(bench, 2)
    claims = {"iat": alice.issued_at, "exp": alice.issued_at + 10**7}
    for sub, sid in (("alice", "s2"), ("bob", "s1")):
        token = bench.token(sub, sid=sid, **claims)
        payload = bench.request("/pay", headers={"authorization": f"Bearer {token}"})
        assert bench.decision(payload)[0] == "challenge"
    assert alice.asks() == "allow"
