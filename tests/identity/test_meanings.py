"""What an issuer's `amr` and `acr` were configured to mean, from the configuration to the user."""

from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.identity.claims import verified
from extauthz.identity.user_config import JwtSource, Meanings
from extauthz.values.identity import User

ISSUER = "https://idp.example.com"
PROOFS: dict[str, Any] = {"amr": {"otp": "totp", "mfa": ["oidc", "webauthn"]}, "acr": {"loa3": ["gold", "silver"]}}


def read(proofs: dict[str, Any] | None, **claims: object) -> User:
    fields = {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "jwks.json"}
    source = JwtSource.model_validate({**fields, **({} if proofs is None else {"proofs": proofs})})
    whole = {"iss": ISSUER, "aud": "shop", "sub": "u1", "exp": 2_000_000_000, **claims}
    return verified(whole, source, token_hash="00").user


def test_words_mean_what_the_configuration_says() -> None:
    user = read(PROOFS, amr=["pwd", "otp", "mfa"], acr="loa3")
    assert user.proven_factors == {"totp", "oidc", "webauthn"}
    assert user.proven_acr == {"gold", "silver"}
    assert (user.amr, user.acr) == (("pwd", "otp", "mfa"), "loa3")


@pytest.mark.parametrize(
    ("proofs", "claims"),
    [
        (None, {"amr": ["totp", "otp"], "acr": "gold"}),
        (PROOFS, {}),
        (PROOFS, {"amr": ["totp", "OTP", "otp "], "acr": "gold"}),
        (PROOFS, {"amr": [], "acr": "LOA3"}),
    ],
)
def test_a_word_without_a_meaning_proves_nothing(proofs: dict[str, Any] | None, claims: dict[str, Any]) -> None:
    user = read(proofs, **claims)
    assert (user.proven_factors, user.proven_acr) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "proofs",
    [
        {},
        {"amr": {}},
        {"amr": {"otp": "sms"}},
        {"amr": {"otp": []}},
        {"amr": {"": "totp"}},
        {"amr": {"otp": ["totp", "totp"]}},
        {"acr": {"loa3": ""}},
        {"acr": {"loa3": None}},
        {"arc": {"loa3": "gold"}},
    ],
)
def test_what_says_nothing_or_something_odd_is_refused(proofs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Meanings.model_validate(proofs)
