"""Where a subject was last, and what it means for the next request: with real databases, through the whole checker."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import geoip
import pytest
from checking import Bench

from extauthz.check.checker import Checker
from extauthz.check.habits import Habits
from extauthz.errors import StateUnavailable
from extauthz.lookup.geo import open_databases
from extauthz.policy.load import load_text
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Found, Store
from extauthz.values.facts import Local, Question
from extauthz.values.grants import Facts
from extauthz.values.identity import Subject
from extauthz.values.request import EMPTY

POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: users, paths: [/pay], effect: allow, when: has(user.sub)}
    - {name: elsewhere, paths: [/pay], effect: MODE, when: has(travel.speed_kmh) && travel.speed_kmh > 900.0}
    - {name: strict, paths: [/strict], effect: deny, when: travel.speed_kmh > 900.0}
    - {name: users-strictly, paths: [/strict], effect: allow, when: has(user.sub)}
    - {name: elsewhere-unseen, paths: [/unwatched], mode: shadow, effect: deny, when: travel.speed_kmh > 900.0}
    - {name: unwatched, paths: [/unwatched], effect: allow}
    - {name: local, paths: [/local], effect: allow, when: 'geo.country == "GB"'}
"""
LINKOEPING, SEATTLE, CHANGCHUN = "89.160.20.112", "216.160.83.56", "175.16.199.1"
HOUR: Final = 3600.0


class Gone(MemoryStore):
    """A store that can be out of reach."""

    is_there = True

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        if not self.is_there:
            raise StateUnavailable("store: it is gone")
        return await super().look_up(subject, session, fingerprint=fingerprint, now=now, questions=questions)


@pytest.fixture
def store() -> Store:
    return Gone()


@dataclass
class Traveller:
    """Somebody who asks from several places."""

    bench: Bench
    checker: Checker
    habits: Habits

    def asks(self, address: str, *, after: float = 0.0, path: str = "/pay", proof: Mapping[str, str] = EMPTY) -> str:
        """The reason of the decision, `after` so many seconds."""
        self.bench.now[0] += after
        sent = {"authorization": f"Bearer {self.bench.token()}", **proof}
        request = self.bench.request(path, headers=sent, source_ip=address)
        return replace(self.bench, checker=self.checker).decision(request)[1]


def traveller(bench: Bench, effect: str = "deny") -> Traveller:
    geo = open_databases({"city": geoip.city()}).find
    rules = POLICY.replace("effect: MODE", f"effect: {effect}")
    ruling = replace(bench.checker.ruling, policies=load_text(rules), facts=Facts(local=Local(geo=geo)))
    habits = Habits(bench.store)
    return Traveller(bench, Checker(ruling, replace(bench.surroundings, habits=habits)), habits)


def test_nobody_is_on_two_continents_within_an_hour(bench: Bench) -> None:
    alice = traveller(bench)
    assert alice.asks(geoip.LONDON) == "allowed"
    assert alice.asks(geoip.BOXFORD, after=60) == "allowed"
    assert alice.asks(SEATTLE, after=HOUR) == "denied"
    assert alice.asks(LINKOEPING, after=HOUR) == "allowed", "two hours are enough for a flight from London"


def test_who_is_denied_has_not_moved(bench: Bench) -> None:
    alice = traveller(bench)
    assert alice.asks(geoip.LONDON) == "allowed"
    for _ in range(3):
        assert alice.asks(CHANGCHUN, after=60) == "denied"
    assert alice.asks(geoip.LONDON, after=60) == "allowed"


def test_who_proves_to_be_there_is_there_from_then_on(bench: Bench) -> None:
    alice = traveller(bench, "challenge, challenge: {factors: [totp]}")
    assert alice.asks(geoip.LONDON) == "allowed"
    assert alice.asks(CHANGCHUN, after=60) == "proof-required"
    proof = {"x-extauthz-otp": bench.code(), "cookie": "__Host-extauthz-holder=" + "A" * 43}
    assert alice.asks(CHANGCHUN, proof=proof) == "allowed"
    assert alice.asks(CHANGCHUN, after=60) == "allowed"
    assert alice.asks(geoip.LONDON, after=60) == "proof-required"


def test_a_clock_that_is_set_back_stops_who_moved_and_nobody_else(bench: Bench) -> None:
    alice = traveller(bench)
    assert alice.asks(geoip.LONDON) == "allowed"
    assert alice.asks(CHANGCHUN, after=-HOUR) == "denied"
    assert alice.asks(geoip.LONDON) == "allowed"


def test_the_first_request_and_an_unknown_place_are_what_the_rule_says(bench: Bench) -> None:
    alice = traveller(bench)
    assert alice.asks(geoip.UNKNOWN) == "allowed", "`has` says what absence means"
    assert alice.asks(geoip.LONDON, path="/strict") == "policy-error", "and without it a guard denies"
    assert alice.asks(geoip.LONDON) == "allowed"
    assert alice.asks(geoip.LONDON, path="/strict") == "allowed"
    assert alice.asks(geoip.UNKNOWN, path="/strict") == "policy-error"


def test_without_its_store_nobody_travels_unseen(bench: Bench) -> None:
    alice = traveller(bench)
    assert alice.asks(geoip.LONDON) == "allowed"
    assert isinstance(bench.store, Gone)
    bench.store.is_there = False
    assert alice.asks(geoip.LONDON) == "state-unavailable"
    assert alice.asks(geoip.LONDON, path="/unwatched") == "allowed", "a rule in shadow keeps nobody waiting"
    assert alice.asks(geoip.LONDON, path="/local") == "allowed", "and what is known here needs no store"
    assert alice.asks(SEATTLE, path="/local") == "no-rule-allows"


def test_a_place_that_is_not_known_yet_is_written_by_whoever_allows(bench: Bench) -> None:
    """What one server allowed, another one knows when it is written."""
    alice = traveller(bench)
    assert alice.asks(geoip.LONDON) == "allowed"
    asyncio.run(alice.habits.write())
    assert traveller(bench).asks(CHANGCHUN, after=60) == "denied"
