"""From a code to grants: the flow that page and terminal share."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from stepup.proofs import ALICE, NOW, SESSION, counted_entropy, demand, ring

from extauthz.check.proof.proving import LockedOut, NotProven, ProofOutcome, Proven, Proving, TicketUsed
from extauthz.check.proof.totp import prove_totp
from extauthz.errors import StateUnavailable
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.factor_secret import open_factor, seal_factor
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import EnrolledFactor, Enrolment, SpentTicket
from extauthz.values.identity import Subject

SECRET = b"12345678901234567890"
OTHER_SECRET = b"09876543210987654321"
TICKET = SpentTicket(id="t", expires_at=NOW + 300)


def code(secret: bytes = SECRET, ahead: int = 0) -> str:
    return code_at(secret, step_at(NOW) + ahead)


class Person:
    """Somebody with a store to themselves."""

    def __init__(self, keys: KeyRing | None = None) -> None:
        self.store = MemoryStore()
        self.keys = keys or ring()
        self.entropy = counted_entropy()

    def enroll(self, secret: bytes = SECRET, *, confirmed: bool = True, subject: Subject = ALICE) -> EnrolledFactor:
        factor = seal_factor(
            secret, subject=subject, confirmed=confirmed, keys=self.keys, now=NOW, entropy=self.entropy
        )
        asyncio.run(self.store.enroll(Enrolment(subject=subject, factors=(factor,)), now=NOW))
        return factor

    def proving(self, **changed: Any) -> Proving:
        arguments: dict[str, Any] = {
            "store": self.store,
            "keys": self.keys,
            "subject": ALICE,
            "session": SESSION,
            "holder": "cookie:x",
            "credentials": (),
            "demands": (demand(),),
            "address": "198.51.100.7",
            "now": NOW,
            "entropy": self.entropy,
            **changed,
        }
        return Proving(**arguments)

    def prove(self, given: str, **changed: Any) -> ProofOutcome:
        return asyncio.run(prove_totp(self.proving(**changed), given))

    def grants(self) -> int:
        return len(asyncio.run(self.store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants)


def test_a_right_code_leaves_exactly_the_grants_that_it_reports() -> None:
    person = Person()
    person.enroll()
    outcome = person.prove(code(), demands=(demand("p/a"), demand("p/b", factors=("webauthn", "totp"), uses=1)))
    assert isinstance(outcome, Proven)
    assert asyncio.run(person.store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == tuple(
        sorted(outcome.grants, key=lambda grant: grant.id)
    )
    first, second = outcome.grants
    assert (first.binding, first.uses, first.expires_at, first.holder) == ("action:p/a", None, NOW + 300, "cookie:x")
    assert (second.binding, second.uses) == ("action:p/b", 1)
    assert first.id != second.id


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_clock_may_be_one_step_off(ahead: int) -> None:
    person = Person()
    person.enroll()
    assert isinstance(person.prove(code(ahead=ahead)), Proven)


@pytest.mark.parametrize("ahead", [-2, 2])
def test_a_clock_may_not_be_two_steps_off(ahead: int) -> None:
    person = Person()
    person.enroll()
    assert person.prove(code(ahead=ahead)) == NotProven(reason="wrong-code")


def test_a_totp_step_is_good_once_for_page_and_terminal() -> None:
    person = Person()
    person.enroll()
    assert isinstance(person.prove(code(), ticket=TICKET), Proven)
    assert person.prove(code()) == NotProven(reason="code-used")
    assert person.grants() == 1


def test_an_older_code_is_not_good_after_a_newer_one() -> None:
    person = Person()
    person.enroll()
    assert isinstance(person.prove(code(ahead=1)), Proven)
    assert person.prove(code()) == NotProven(reason="code-used")


def test_a_ticket_is_good_once() -> None:
    person = Person()
    person.enroll()
    assert isinstance(person.prove(code(), ticket=TICKET), Proven)
    assert person.prove(code(ahead=1), ticket=TICKET) == TicketUsed()
    assert person.grants() == 1


def test_the_same_sub_at_another_issuer_has_no_factor_here() -> None:
    person = Person()
    person.enroll(subject=Subject("https://other.example", ALICE.id))
    assert person.prove(code()) == NotProven(reason="not-enrolled")


def test_a_factor_that_was_never_confirmed_proves_nothing() -> None:
    person = Person()
    person.enroll(confirmed=False)
    assert person.prove(code()) == NotProven(reason="not-enrolled")


def test_either_of_two_apps_proves() -> None:
    person = Person()
    person.enroll()
    person.enroll(OTHER_SECRET)
    assert isinstance(person.prove(code()), Proven)
    assert isinstance(person.prove(code(OTHER_SECRET)), Proven)
    assert person.prove(code()) == NotProven(reason="code-used")


def test_a_demand_that_takes_no_code_is_not_met_by_one() -> None:
    person = Person()
    person.enroll()
    for demands in ((), (demand(factors=("webauthn", "recovery")),)):
        assert person.prove(code(), demands=demands) == NotProven(reason="factor-not-accepted")
    assert person.grants() == 0


def test_one_limiter_for_all_ways_to_try() -> None:
    person = Person()
    person.enroll()
    for number in range(5):
        ticket = SpentTicket(id=str(number), expires_at=NOW + 300) if number % 2 else None
        wrong = NotProven(reason="wrong-code", locks=30.0 if number == 4 else 0.0)
        assert person.prove("000000", ticket=ticket, address=f"198.51.100.{number}") == wrong
    assert person.prove(code()) == LockedOut(retry_after=30.0)
    assert isinstance(person.prove(code(ahead=1), now=NOW + 30), Proven)


def test_a_right_code_while_locked_out_is_not_burned() -> None:
    person = Person()
    person.enroll()
    for _ in range(5):
        person.prove("000000")
    assert isinstance(person.prove(code(ahead=1)), LockedOut)
    assert isinstance(person.prove(code(ahead=1), now=NOW + 31), Proven)


def test_what_is_not_spelled_like_a_code_is_no_try() -> None:
    person = Person()
    person.enroll()
    for _ in range(20):
        assert person.prove(f" {code()}") == NotProven(reason="wrong-code")
    assert isinstance(person.prove(code()), Proven)


def test_many_guesses_at_once_get_no_more_than_the_limit() -> None:
    person = Person()
    person.enroll()

    async def guess(given: str) -> ProofOutcome:
        return await prove_totp(person.proving(address=""), given)

    async def flood() -> list[ProofOutcome]:
        wrong = (number for number in range(1000) if f"{number:06}" not in {code(ahead=-1), code(), code(ahead=1)})
        return await asyncio.gather(*(guess(f"{number:06}") for number in wrong))

    outcomes = asyncio.run(flood())
    assert outcomes.count(NotProven(reason="wrong-code")) == 4
    assert outcomes.count(NotProven(reason="wrong-code", locks=30.0)) == 1
    assert all(isinstance(outcome, (NotProven, LockedOut)) for outcome in outcomes)


def test_rotated_keys_keep_factors() -> None:
    person = Person(ring("old"))
    factor = person.enroll()
    person.keys = ring("old", "new")
    assert open_factor(factor, person.keys) == SECRET
    assert isinstance(person.prove(code()), Proven)


def test_a_factor_that_no_key_opens_is_our_outage_and_not_a_wrong_code() -> None:
    person = Person(ring("old"))
    person.enroll()
    person.keys = ring("new")
    with pytest.raises(StateUnavailable, match="not in the key file"):
        person.prove(code())


def test_a_factor_that_was_moved_to_another_subject_does_not_open() -> None:
    person = Person()
    bob = Subject(ALICE.issuer, "bob")
    stolen = person.enroll(subject=bob)
    moved = replace(stolen, subject=ALICE)
    person.store = MemoryStore()
    asyncio.run(person.store.enroll(Enrolment(subject=ALICE, factors=(moved,)), now=NOW))
    with pytest.raises(StateUnavailable):
        person.prove(code())


def test_a_store_that_is_gone_proves_nothing() -> None:
    person = Person()
    person.enroll()
    asyncio.run(person.store.close())
    with pytest.raises(StateUnavailable):
        person.prove(code())
