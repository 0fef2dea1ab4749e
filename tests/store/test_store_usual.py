"""Decisions by what is usual, on every store: rates over replicas, first times, own quantiles, the last place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from checking import Bench, make_bench, told
from finishing import finished
from store.one_loop import crowd, run

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.check.habits import Habits
from extauthz.policy.load import load_text
from extauthz.store.protocol import Store
from extauthz.values.facts import Local
from extauthz.values.grants import Facts

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: usual}
spec:
  variables: {amount: double(request.query.amount)}
  rules:
    - {name: all, effect: allow}
    - name: too-often
      paths: ["/often"]
      when: rate("client " + client.ip, duration("1m")) > 5
      effect: deny
      deny: {status: 429, reason: too-often}
    - name: never
      paths: ["/often"]
      when: has(request.query.never)
      effect: deny
    - name: new-here
      paths: ["/first/**"]
      when: "!seen(request.method + ' ' + request.path)"
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: session}
    - name: much
      paths: ["/pay"]
      when: baseline("amount", user.sub).count >= 5 && variables.amount > 2.0 * baseline("amount", user.sub).p95
      effect: deny
      deny: {reason: unusual-amount}
    - name: far
      paths: ["/travel"]
      when: has(travel.speed_kmh) && travel.speed_kmh > 900.0
      effect: deny
      deny: {reason: too-far}
"""
PLACES = {"203.0.113.9": (47.4, 8.5), "198.51.100.7": (-33.9, 151.2)}


def geo(address: str) -> Mapping[str, Any]:
    if address not in PLACES:
        return {}
    latitude, longitude = PLACES[address]
    return {"latitude": latitude, "longitude": longitude, "accuracy_km": 20.0}


@dataclass(kw_only=True)
class Server:
    """A replica: a bench, and what its requests leave behind."""

    bench: Bench
    habits: Habits

    def asks(self, path: str, *, sub: str = "alice", source_ip: str = "203.0.113.9", code: str = "") -> str:
        """What is decided on a request of a user; the reason, if it is not allowed."""
        headers = {"authorization": f"Bearer {self.bench.token(sub)}", **({"x-extauthz-otp": code} if code else {})}
        decision, reason, _ = self.bench.decision(self.bench.request(path, headers=headers, source_ip=source_ip))
        return "allow" if decision == "allow" else reason


def server(bench: Bench, store: Store) -> Server:
    """A replica of this bench on a store."""
    habits = Habits(store)
    surroundings = replace(bench.surroundings, store=store, habits=habits)
    ruling = replace(bench.checker.ruling, policies=load_text(POLICY), facts=Facts(local=Local(geo=geo)))
    made = replace(bench, checker=Checker(ruling, surroundings), surroundings=surroundings, store=store)
    return Server(bench=made, habits=habits)


@pytest.fixture
def first(store: Store) -> Server:
    return server(make_bench(store, run), store)


@pytest.fixture
def second(first: Server, store: Store, address: str, opened: Callable[[str], Store]) -> Server:
    """Another server on the same state."""
    return server(first.bench, store if address == "memory:" else opened(address))


def write(*servers: Server) -> None:
    for one in servers:
        run(one.habits.write())


def test_replicas_count_together_and_whatever_is_decided(first: Server, second: Server) -> None:
    assert [one.asks("/often?never=1") for one in (first, second, first)] == ["denied"] * 3
    assert [one.asks("/often") for one in (second, first, second, first)] == [
        "allow",
        "allow",
        "too-often",
        "too-often",
    ]
    assert first.asks("/often", source_ip="198.51.100.7") == "allow"
    first.bench.now[0] += 62
    assert first.asks("/often") == "allow"


def test_of_many_requests_at_once_on_two_replicas_no_more_pass_than_the_limit(first: Server, second: Server) -> None:
    async def race() -> list[bytes]:
        answers = []
        for number in range(40):
            on = (first, second)[number % 2].bench
            headers = {"authorization": f"Bearer {on.token()}"}
            opened = on.checker.start(on.request("/often", headers=headers))
            assert not isinstance(opened, bytes)
            answers.append(finished(on.checker, opened, deadline=None))
        return await crowd(answers)

    decisions = [told(CheckResponse.FromString(answer))["decision"] for answer in run(race())]
    assert decisions.count("allow") == 5


def test_what_was_allowed_once_is_no_first_time_any_more(first: Server, second: Server) -> None:
    assert first.asks("/first/a") == "proof-required"
    write(first)
    assert second.asks("/first/a") == "proof-required", "what was not allowed was not seen"
    assert first.asks("/first/a", code=first.bench.code()) == "allow"
    assert first.asks("/first/a", sub="bob") == "proof-required"
    write(first)
    first.bench.now[0] += 3600
    assert second.asks("/first/a") == "allow", "the proof is over; the combination is known"
    assert second.asks("/first/b") == "proof-required"


def test_an_unusual_amount_is_one_by_the_subjects_own_numbers(first: Server, second: Server) -> None:
    for number in range(6):
        assert (first, second)[number % 2].asks(f"/pay?amount={100 + number}") == "allow"
        write(first, second)
    assert first.asks("/pay?amount=1000") == "unusual-amount"
    assert second.asks("/pay?amount=NaN") == "policy-error"
    write(first, second)
    assert first.asks("/pay?amount=1000") == "unusual-amount", "what was denied made it no more usual"
    assert first.asks("/pay?amount=1000", sub="bob") == "allow"
    assert second.asks("/pay?amount=180") == "allow"


def test_nobody_is_on_another_continent_a_minute_later(first: Server, second: Server) -> None:
    assert first.asks("/travel") == "allow"
    assert first.asks("/travel", source_ip="198.51.100.7") == "too-far", "also before it is written"
    write(first)
    first.bench.now[0] += 60
    assert second.asks("/travel", source_ip="198.51.100.7") == "too-far"
    assert second.asks("/travel") == "allow", "what was denied moved nobody"
    assert second.asks("/travel", source_ip="198.51.100.7", sub="bob") == "allow"
    write(second)
    first.bench.now[0] += 86_400
    assert first.asks("/travel", source_ip="198.51.100.7") == "allow"


def test_without_its_store_nothing_that_asks_for_what_is_usual_is_let_through(first: Server) -> None:
    run(first.bench.store.close())
    for path in ("/often", "/pay?amount=5", "/travel"):
        assert first.asks(path) == "state-unavailable"
    assert first.asks("/other") == "allow"
