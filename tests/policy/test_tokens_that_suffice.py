"""Rules with `accept_token`: what a caller's own token proves, and what it never does."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import NOW, Document, caller, compiled, document, evaluate, rule

from extauthz.stepup.factors import FACTOR_AMR, PRESENCE_AMR, accepted_amr, proven_amr
from extauthz.stepup.token_proof import suffices
from extauthz.values.decisions import Allow, Challenge, Decision, Deny
from extauthz.values.identity import Identity

ALL = rule("all", "allow")


def user(**changes: Any) -> Identity:
    proven: dict[str, Any] = {
        "auth_time": int(NOW) - 60,
        "proven_factors": frozenset({"totp"}),
        "proven_acr": frozenset({"gold"}),
    }
    return caller(sub="u1", **{**proven, **changes})


def decided(identity: Identity, **block: Any) -> Decision:
    challenge: Document = {"factors": ["totp"], "accept_token": True, **block}
    return evaluate(
        compiled(document("p", ALL, rule("a", "challenge", challenge=challenge))), identity=identity
    ).decision


def test_a_fresh_token_with_the_right_words_is_proof_enough_and_rests_on_no_grant() -> None:
    decision = decided(user())
    assert isinstance(decision, Allow)
    assert decision.grants == ()


@pytest.mark.parametrize(
    ("changes", "block"),
    [
        ({"auth_time": None}, {}),
        ({"auth_time": int(NOW) - 300}, {}),
        ({"auth_time": int(NOW) - 60}, {"max_age": "1m"}),
        ({"proven_factors": frozenset()}, {}),
        ({"proven_factors": frozenset({"webauthn"})}, {}),
        ({}, {"acr": "platinum"}),
        ({"proven_acr": frozenset()}, {"acr": "gold"}),
        ({}, {"accept_token": False}),
        ({"proven_factors": frozenset()}, {"factors": ["oidc"]}),
        ({"proven_factors": frozenset({"webauthn"})}, {"factors": ["webauthn"], "user_verification": "required"}),
    ],
)
def test_a_token_that_is_too_old_or_says_too_little_is_challenged(
    changes: dict[str, Any], block: dict[str, Any]
) -> None:
    assert isinstance(decided(user(**changes), **block), Challenge)


@pytest.mark.parametrize(
    ("changes", "block"),
    [
        ({"auth_time": int(NOW) - 299}, {}),
        ({"auth_time": int(NOW) + 20}, {}),
        ({}, {"acr": "gold"}),
        ({}, {"bind": "session"}),
        ({}, {"bind": {"scope": ["request.path"]}}),
        ({}, {"factors": ["webauthn", "totp"]}),
        ({"proven_factors": frozenset()}, {"factors": ["oidc"], "acr": "gold"}),
        ({"proven_factors": frozenset({"webauthn"})}, {"factors": ["webauthn"]}),
    ],
)
def test_a_token_that_says_enough_is_not_challenged(changes: dict[str, Any], block: dict[str, Any]) -> None:
    assert isinstance(decided(user(**changes), **block), Allow)


def test_the_words_of_the_token_itself_mean_nothing() -> None:
    unmapped = user(amr=("totp", "otp"), acr="gold", proven_factors=frozenset(), proven_acr=frozenset())
    assert isinstance(decided(unmapped), Challenge)
    assert isinstance(decided(unmapped, acr="gold", factors=["oidc"]), Challenge)


def test_a_rule_whose_scope_can_not_be_worked_out_denies_whatever_the_token_says() -> None:
    assert decided(user(), bind={"scope": ["request.query.nothing"]}) == Deny(reason="policy-error", rule="p/a")


def test_one_rule_that_takes_the_token_does_not_meet_another_that_does_not() -> None:
    accepting = rule("a", "challenge", challenge={"factors": ["totp"], "accept_token": True})
    decision = evaluate(compiled(document("p", ALL, accepting, rule("b", "challenge"))), identity=user()).decision
    assert isinstance(decision, Challenge)
    assert [one.rule for one in decision.demands] == ["p/b"]


factors = st.sets(st.sampled_from(sorted(FACTOR_AMR)), min_size=1).map(frozenset)


@given(
    factors, factors | st.just(frozenset()), st.sampled_from((None, "gold", "silver")), st.integers(-30, 400), st.data()
)
def test_saying_less_never_suffices_for_more(
    asked: frozenset[Any], proven: frozenset[str], acr: str | None, age: int, data: st.DataObject
) -> None:
    whole = user(auth_time=int(NOW) - age, proven_factors=proven).user
    assert whole is not None
    less = replace(
        whole,
        auth_time=data.draw(st.sampled_from((None, int(NOW) - age - 1))),
        proven_factors=frozenset(one for one in proven if data.draw(st.booleans())),
        proven_acr=data.draw(st.sampled_from((frozenset(), frozenset({"gold"})))),
    )
    words = {"factors": asked, "acr": acr, "user_verification": "preferred", "max_age": 300.0, "now": NOW}
    if suffices(less, **words):  # type: ignore[arg-type]  # the types are those of its arguments
        assert suffices(whole, **words)  # type: ignore[arg-type]  # the types are those of its arguments
    strict = {**words, "user_verification": "required"}
    if suffices(whole, **strict):  # type: ignore[arg-type]  # the types are those of its arguments
        assert suffices(whole, **words)  # type: ignore[arg-type]  # the types are those of its arguments


def test_no_proof_passes_for_one_that_shows_more() -> None:
    said = {
        proven_amr(factor, acr=acr, user_verified=verified)
        for factor in FACTOR_AMR
        for acr in (None, "gold", "silver")
        for verified in (True, False)
    }
    assert len(said) == len(FACTOR_AMR) + 3  # two classes, and the key that was only touched
    assert accepted_amr(["webauthn"], acr=None, user_verification="required") == {"hwk"}
    assert accepted_amr(["webauthn"], acr=None, user_verification="preferred") == {"hwk", PRESENCE_AMR}
    assert proven_amr("oidc", acr="silver") not in accepted_amr(["oidc"], acr="gold", user_verification="preferred")
    assert proven_amr("oidc", acr=None) not in accepted_amr(["oidc"], acr="gold", user_verification="preferred")
