"""Verifiers of tokens: what they remember, and whose keys they use."""

import json
from typing import Any

import pytest
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer, public_jwk
from identity.verifying import PLACE, known, verifier

from extauthz.errors import ConfigurationError, InvalidCredential
from extauthz.identity.config import IdentitySettings
from extauthz.identity.tokens import CACHED_TOKENS, Verifier


def test_the_cache_never_outlives_exp(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    token = issuer.token(exp=NOW + 5)
    first = tokens.verify(token, place=PLACE, now=NOW)
    assert tokens.verify(token, place=PLACE, now=NOW + 4) is first
    with pytest.raises(InvalidCredential, match="`exp` is over"):
        tokens.verify(token, place=PLACE, now=NOW + 5)
    # A clock that is set back does not bring it to life by a cached "no": the time is always looked at.
    assert tokens.verify(token, place=PLACE, now=NOW) is first


def test_the_cache_does_not_mix_places(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    token = issuer.token()
    assert not known(tokens, token).user.cookie
    assert known(tokens, token, place="cookie:session").user.cookie
    with pytest.raises(InvalidCredential):
        tokens.verify(token, place="cookie:other", now=NOW)


def test_the_cache_is_bounded_and_keeps_what_is_used(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    kept, dropped = issuer.token("ed", n=-1), issuer.token("ed", n=-2)
    first_kept = tokens.verify(kept, place=PLACE, now=NOW)
    first_dropped = tokens.verify(dropped, place=PLACE, now=NOW)
    for number in range(CACHED_TOKENS - 1):
        tokens.verify(issuer.token("ed", n=number), place=PLACE, now=NOW)
        if number % 1000 == 0:
            tokens.verify(kept, place=PLACE, now=NOW)
    assert tokens.verify(kept, place=PLACE, now=NOW) is first_kept
    assert tokens.verify(dropped, place=PLACE, now=NOW) is not first_dropped


def test_a_token_that_failed_is_not_remembered_as_good(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    token = issuer.token()
    with pytest.raises(InvalidCredential):
        tokens.verify(token[:-4] + "AAAA", place=PLACE, now=NOW)
    assert known(tokens, token).user.sub == "u1"
    with pytest.raises(InvalidCredential):
        tokens.verify(token[:-4] + "AAAA", place=PLACE, now=NOW)


def test_rotated_keys_are_those_of_the_new_verifier(issuer: Issuer) -> None:
    old = json.dumps({"keys": [public_jwk(issuer.keys["ec"], kid="ec")]})
    both = json.dumps({"keys": [public_jwk(issuer.keys[kid], kid=kid) for kid in ("ec", "stranger")]})
    new = json.dumps({"keys": [public_jwk(issuer.keys["stranger"], kid="stranger")]})
    accepted = {"ec": [True, True, False], "stranger": [False, True, True]}
    for kid, expected in accepted.items():
        outcomes = []
        for jwks in (old, both, new):
            try:
                verifier(issuer, jwks).verify(issuer.token(kid), place=PLACE, now=NOW)
            except InvalidCredential:
                outcomes.append(False)
            else:
                outcomes.append(True)
        assert outcomes == expected


def test_the_same_kid_at_two_issuers_is_two_keys(issuer: Issuer) -> None:
    other_jwks = json.dumps({"keys": [public_jwk(issuer.keys["stranger"], kid="ec")]})
    settings = IdentitySettings.model_validate(
        {
            "users": [
                {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a"},
                {"name": "partner", "issuer": "https://partner.example", "audiences": ["p"], "jwks": "b"},
            ]
        }
    )
    tokens = Verifier(settings.users, {"idp": issuer.jwks, "partner": other_jwks})
    partner: dict[str, Any] = {"iss": "https://partner.example", "aud": "p"}
    good = issuer.token("stranger", header={"kid": "ec"}, **partner)
    assert known(tokens, good).user.verified_by == "partner"
    for crossed in (
        issuer.token("ec", **partner),  # the partner's name under our issuer's key
        issuer.token("stranger", header={"kid": "ec"}),  # and the other way round
        issuer.token("stranger", header={"kid": "ec"}, iss="https://partner.example", aud=AUDIENCE),
    ):
        with pytest.raises(InvalidCredential):
            tokens.verify(crossed, place=PLACE, now=NOW)


def test_a_source_without_keys_does_not_start(issuer: Issuer) -> None:
    settings = IdentitySettings.model_validate(
        {"users": [{"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a"}]}
    )
    with pytest.raises(ConfigurationError, match="no keys were given for `idp`"):
        Verifier(settings.users, {"other": issuer.jwks})


def test_keys_that_cannot_be_used_are_told_with_their_file_and_the_setting_that_names_it(issuer: Issuer) -> None:
    settings = IdentitySettings.model_validate(
        {
            "users": [
                {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a"},
                {"name": "partner", "issuer": "https://partner.example", "audiences": ["p"], "jwks": "keys/b.json"},
            ]
        }
    )
    with pytest.raises(ConfigurationError) as told:
        Verifier(settings.users, {"idp": issuer.jwks, "partner": "[]"})
    assert str(told.value).startswith("identity.users[1].jwks: `keys/b.json`: ")
