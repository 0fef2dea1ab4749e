"""From a security key, a recovery code and a login to grants: what each leaves, and what each burns."""

import asyncio
import json
from dataclasses import replace

import pytest
from stepup.authenticator import UP, UV, SoftwareAuthenticator
from stepup.owner import CODE_LIST, KEY_DEMAND, PARTY, Person, signed, ticket
from stepup.proofs import ALICE, NOW, demand

from extauthz.check.proof.proving import (
    CodeOutcome,
    LockedOut,
    NotProven,
    ProofOutcome,
    Proven,
    TicketUsed,
    Unverified,
)
from extauthz.check.proof.recovery import prove_recovery
from extauthz.check.proof.totp import prove_totp
from extauthz.check.proof.webauthn import options_for, prove_webauthn
from extauthz.errors import StateUnavailable
from extauthz.stepup.oidc import Authenticated
from extauthz.stepup.recovery import CODES
from extauthz.store.factor_secret import seal_factor


def test_a_recovery_code_leaves_grants_and_is_gone() -> None:
    alice = Person()
    alice.write_down()
    outcome = alice.recover(CODE_LIST[3].lower(), demand("p/a", factors=("recovery",)), demand("p/b"))
    assert isinstance(outcome, Proven)
    (grant,) = alice.grants()
    assert (grant.factor, grant.rule, grant.expires_at) == ("kba", "p/a", NOW + 300)
    assert len(asyncio.run(alice.store.factors(ALICE))) == CODES - 1
    assert alice.recover(CODE_LIST[3]) == NotProven(reason="wrong-code")
    assert isinstance(alice.recover(CODE_LIST[4]), Proven)


def test_a_recovery_code_that_many_try_at_once_is_good_once() -> None:
    alice = Person()
    alice.write_down()

    async def flood() -> list[CodeOutcome]:
        proving = alice.proving(demand(factors=("recovery",)))
        return await asyncio.gather(*(prove_recovery(proving, CODE_LIST[0]) for _ in range(4)))

    outcomes = asyncio.run(flood())
    assert sum(isinstance(outcome, Proven) for outcome in outcomes) == 1
    assert len(alice.grants()) == 1


def test_codes_of_both_kinds_share_their_tries() -> None:
    alice = Person()
    alice.write_down()
    secret = b"12345678901234567890"
    alice.enroll(seal_factor(secret, subject=ALICE, confirmed=True, keys=alice.keys, now=NOW, entropy=alice.entropy))
    for _ in range(3):
        assert alice.recover("0000-0000-0000-0000") == NotProven(reason="wrong-code")
    for locks in (0.0, 30.0):
        outcome = asyncio.run(prove_totp(alice.proving(demand()), "000000"))
        assert outcome == NotProven(reason="wrong-code", locks=locks)
    assert isinstance(alice.recover(CODE_LIST[0]), LockedOut)
    assert isinstance(asyncio.run(prove_totp(alice.proving(demand()), "000000")), LockedOut)


def test_what_can_be_no_recovery_code_is_no_try() -> None:
    alice = Person()
    alice.write_down()
    for typed in ("", "x", "U" * 16, "0" * 17, "0" * 1000, "\uff10" * 16):
        for _ in range(3):
            assert alice.recover(typed) == NotProven(reason="wrong-code")
    assert isinstance(alice.recover(CODE_LIST[0]), Proven)


def test_a_recovery_code_serves_only_who_has_some_and_what_takes_them() -> None:
    alice = Person()
    assert alice.recover(CODE_LIST[0]) == NotProven(reason="not-enrolled")
    alice.write_down()
    assert alice.recover(CODE_LIST[0], demand(factors=("totp", "webauthn"))) == NotProven(reason="factor-not-accepted")


@pytest.mark.parametrize(("flags", "amr"), [(UP | UV, "hwk"), (UP, "user")])
def test_a_key_proves_no_more_than_it_has_checked(flags: int, amr: str) -> None:
    alice, device, asked = Person(), SoftwareAuthenticator(), ticket("t", KEY_DEMAND, demand("p/other"))
    alice.plug_in(device)
    assert isinstance(alice.assert_key(signed(device, asked, flags=flags), asked), Proven)
    assert [(grant.factor, grant.rule) for grant in alice.grants()] == [(amr, "payments/large")]


def test_the_strictest_demand_says_whether_the_user_is_verified() -> None:
    strict = demand("p/strict", factors=("webauthn",), user_verification="required")
    elsewhere = demand("p/elsewhere", factors=("totp",), user_verification="required")
    alice, device = Person(), SoftwareAuthenticator()
    alice.plug_in(device)
    both = ticket("b", demand("p/lax", factors=("webauthn",), user_verification="discouraged"), strict)
    assert alice.assert_key(signed(device, both, flags=UP), both) == Unverified(reason="user-not-verified")
    factors = asyncio.run(alice.store.factors(ALICE))
    assert options_for(both, factors, both.demands, PARTY)["userVerification"] == "required"
    one = ticket("o", KEY_DEMAND, elsewhere)
    assert isinstance(alice.assert_key(signed(device, one, flags=UP), one), Proven)


def test_a_ticket_and_an_assertion_are_good_once_and_for_each_other() -> None:
    alice, device, asked, other = Person(), SoftwareAuthenticator(), ticket(), ticket("o")
    alice.plug_in(device)
    answer = signed(device, asked)
    assert alice.assert_key(answer, other) == Unverified(reason="wrong-challenge")
    assert isinstance(alice.assert_key(answer, asked), Proven)
    assert alice.assert_key(answer, asked) == TicketUsed()
    assert len(alice.grants()) == 1


def test_the_counter_of_a_key_is_burned() -> None:
    alice, device = Person(), SoftwareAuthenticator(count=5)
    alice.plug_in(device)
    first, second, third = ticket("1"), ticket("2"), ticket("3")
    late = signed(device, third)
    assert isinstance(alice.assert_key(signed(device, first), first), Proven)
    assert alice.assert_key(late, third) == Unverified(reason="counter-not-advanced")
    assert isinstance(alice.assert_key(signed(device, second), second), Proven)


def test_two_assertions_of_one_count_at_once_leave_one_grant() -> None:
    """Both are read before either is burned: the store decides."""
    alice, device, first, second = Person(), SoftwareAuthenticator(count=5), ticket("1"), ticket("2")
    alice.plug_in(device)
    answers = [signed(device, first)]
    device.count -= device.step
    answers.append(signed(device, second))

    async def both() -> list[ProofOutcome]:
        return await asyncio.gather(
            *(
                prove_webauthn(alice.proving(KEY_DEMAND, asked=asked), answer, ticket=asked, relying_party=PARTY)
                for asked, answer in zip((first, second), answers, strict=True)
            )
        )

    outcomes = asyncio.run(both())
    assert Unverified(reason="counter-not-advanced") in outcomes
    assert len(alice.grants()) == 1


def test_keys_are_not_guessed_and_so_not_counted() -> None:
    alice, device, asked = Person(), SoftwareAuthenticator(), ticket()
    alice.plug_in(device)
    broken = json.dumps({**json.loads(signed(device, asked)), "id": "x"})
    for answer in ("", "{}", broken) * 5:
        assert alice.assert_key(answer, asked) == Unverified(reason="malformed")
    assert isinstance(alice.assert_key(signed(device, asked), asked), Proven)


def test_a_key_serves_only_where_keys_are_asked_for_and_who_has_one() -> None:
    alice, device, asked = Person(), SoftwareAuthenticator(), ticket()
    assert alice.assert_key(signed(device, asked), asked) == NotProven(reason="not-enrolled")
    alice.plug_in(device)
    answer = signed(device, asked)
    assert alice.assert_key(answer, asked, None) == NotProven(reason="factor-not-accepted")
    codes = replace(asked, demands=(demand(),))
    assert alice.assert_key(answer, codes) == NotProven(reason="factor-not-accepted")


def test_a_stored_key_that_can_not_be_read_is_our_outage() -> None:
    alice = Person()
    alice.enroll(alice.factor("webauthn", "key", public="{}"))
    with pytest.raises(StateUnavailable):
        alice.assert_key("{}", ticket())


def test_a_login_is_as_old_as_it_is_and_serves_what_it_met() -> None:
    gold = demand("p/gold", factors=("oidc", "totp"), acr="gold", max_age=600.0, uses=1)
    asked = ticket("t", gold, demand("p/plain", factors=("oidc",)), demand("p/other"))
    alice = Person()
    assert isinstance(alice.log_in(Authenticated(demands=asked.demands[:2], auth_time=NOW - 100), asked), Proven)
    assert {grant.rule: (grant.factor, grant.issued_at, grant.expires_at, grant.uses) for grant in alice.grants()} == {
        "p/gold": ("mfa gold", NOW - 100, NOW + 500, 1),
        "p/plain": ("mfa", NOW - 100, NOW + 200, None),
    }
    assert alice.log_in(Authenticated(demands=asked.demands[:2], auth_time=NOW), asked) == TicketUsed()
    assert len(alice.grants()) == 2
