import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from identity.issuer import Issuer, public_jwk
from jwt.algorithms import ECAlgorithm

from extauthz.errors import ConfigurationError
from extauthz.identity.keys import Algorithm, KeySet, read_keys

DEFAULT: tuple[Algorithm, ...] = ("RS256", "ES256")


def read(*keys: object, algorithms: tuple[Algorithm, ...] = DEFAULT) -> KeySet:
    return read_keys(json.dumps({"keys": keys}), place="jwks of `idp`", algorithms=algorithms)


def jwk(issuer: Issuer, name: str, /, **members: object) -> dict[str, Any]:
    return public_jwk(issuer.keys[name], **{"kid": name, **members})


def test_a_key_is_good_for_the_algorithms_of_its_type_that_are_configured(issuer: Issuer) -> None:
    everything: tuple[Algorithm, ...] = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
    keys = read(*(jwk(issuer, kid) for kid in ("rsa", "ec", "ec384", "ed")), algorithms=everything)
    found = {kid: [name for name in everything if keys.find(kid, name)] for kid in ("rsa", "ec", "ec384", "ed")}
    assert found == {
        "rsa": ["RS256", "RS384", "RS512", "PS256"],
        "ec": ["ES256"],
        "ec384": ["ES384"],
        "ed": ["EdDSA"],
    }
    assert read(jwk(issuer, "rsa")).find("rsa", "PS256") is None


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": 1},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"kty": "XYZ"},
    ],
)
def test_keys_for_other_purposes_are_passed_over(issuer: Issuer, members: dict[str, object]) -> None:
    keys = read(jwk(issuer, "rsa", **members), jwk(issuer, "ec"))
    assert keys.find("rsa", "RS256") is None
    assert keys.find("ec", "ES256") is not None
    with pytest.raises(ConfigurationError, match="no public key for RS256, ES256"):
        read(jwk(issuer, "rsa", **members))


def test_a_key_that_says_what_it_is_for_is_taken(issuer: Issuer) -> None:
    keys = read(jwk(issuer, "rsa", alg="RS256", use="sig", key_ops=["verify"]))
    assert keys.find("rsa", "RS256") is not None


def test_no_kid_needs_a_set_of_one_key(issuer: Issuer) -> None:
    assert read(jwk(issuer, "ec")).find(None, "ES256") is not None
    assert read(jwk(issuer, "ec")).find(None, "RS256") is None
    assert read(jwk(issuer, "ec"), jwk(issuer, "rsa")).find(None, "ES256") is None
    nameless = public_jwk(issuer.keys["ec"])
    assert read(nameless).find(None, "ES256") is not None
    assert read(nameless).find("ec", "ES256") is None


def test_what_cannot_be_a_set_of_public_keys_is_refused(issuer: Issuer) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  to see it refused
    private = json.loads(ECAlgorithm.to_jwk(issuer.keys["ec"]))  # type: ignore[arg-type]  # an EC key by its name
    nameless = public_jwk(issuer.keys["ec"])
    cases: list[tuple[list[Any], str]] = [
        ([], "no public key for RS256, ES256"),
        ([public_jwk(short, kid="short")], "key 1: too short for RS256"),
        ([jwk(issuer, "rsa"), {**private, "kid": "p"}], "key 2: holds a secret"),
        ([{"kty": "oct", "k": "AAAA", "kid": "o"}], "key 1: holds a secret"),
        ([jwk(issuer, "ec"), jwk(issuer, "rsa", kid="ec")], "key 2: nothing tells it from another key"),
        ([nameless, jwk(issuer, "rsa")], "key 2: nothing tells it from another key"),
        ([jwk(issuer, "rsa"), nameless], "key 2: nothing tells it from another key"),
        ([jwk(issuer, "ec", kid=7)], "key 1: `kid` must be a string"),
        ([jwk(issuer, "ec", x="AAAA")], "key 1: no usable public key"),
        ([jwk(issuer, "ec", x=jwk(issuer, "stranger")["x"])], "key 1: no usable public key"),
        ([jwk(issuer, "ec", x=7)], "key 1: no usable public key"),
        ([{"kty": "RSA", "kid": "r", "e": "AQAB"}], "key 1: no usable public key"),
        ([{"kty": "RSA", "kid": "r", "e": "AQAB", "n": "!!"}], "key 1: no usable public key"),
        (["x"], "expected a JWK Set"),
    ]
    for keys, message in cases:
        with pytest.raises(ConfigurationError) as caught:
            read(*keys)
        assert str(caught.value).startswith("jwks of `idp`: ")
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"keys": {}}', '{"keys": 1}', '{"keys": [], "keys": []}', "[" * 100_000, "nul"]
)
def test_text_that_is_no_key_set_is_refused(document: str) -> None:
    with pytest.raises(ConfigurationError, match=r"jwks of `idp`: .*expected a JWK Set"):
        read_keys(document, place="jwks of `idp`", algorithms=DEFAULT)


def bundle(*keys: object, **members: object) -> KeySet:
    document = json.dumps({"keys": keys, "spiffe_sequence": 1} | members)
    return read_keys(
        document, place="jwks of `spiffe://prod.example.org`", algorithms=("ES256", "RS256"), use="jwt-svid"
    )


def test_of_a_trust_bundle_the_keys_of_jwt_svids_are_taken(issuer: Issuer) -> None:
    authority = jwk(issuer, "rsa", use="x509-svid", x5c=["MIIB"], kid="x")
    keys = bundle(
        authority,
        {name: value for name, value in authority.items() if name != "kid"},
        jwk(issuer, "ec", use="jwt-svid"),
        jwk(issuer, "stranger", use="sig"),
        {name: value for name, value in jwk(issuer, "pss").items() if name != "use"},
        spiffe_refresh_hint=600,
    )
    assert keys.ids == {"ec"}
    assert keys.find("ec", "ES256") is not None
    assert keys.refresh_hint == 600
    with pytest.raises(ConfigurationError, match="no public key for"):
        read(jwk(issuer, "ec", use="jwt-svid"))


def test_a_trust_bundle_may_vouch_for_nobody(issuer: Issuer) -> None:
    for keys in (bundle(), bundle(jwk(issuer, "rsa", use="x509-svid"))):
        assert keys.ids == frozenset()
        assert keys.find(None, "ES256") is None


def test_a_broken_trust_bundle_is_refused(issuer: Issuer) -> None:
    nameless = {name: value for name, value in jwk(issuer, "ec", use="jwt-svid").items() if name != "kid"}
    with pytest.raises(ConfigurationError, match="key 1: `kid` is missing"):
        bundle(nameless)
    for hint in ("600", -1, True, 1.5):
        with pytest.raises(ConfigurationError, match="`spiffe_refresh_hint` is no number of seconds"):
            bundle(spiffe_refresh_hint=hint)


def test_sets_are_equal_if_they_verify_the_same(issuer: Issuer) -> None:
    first = read(jwk(issuer, "ec"), jwk(issuer, "rsa"))
    assert first == read(jwk(issuer, "rsa", x5t="other"), jwk(issuer, "ec"))
    assert first != read(jwk(issuer, "ec"))
    assert first != read(jwk(issuer, "ec"), jwk(issuer, "pss", kid="rsa"))
    assert first != read(jwk(issuer, "stranger", kid="ec"), jwk(issuer, "rsa"))
