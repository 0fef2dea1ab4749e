"""Proofs of possession (RFC 9449): each step of section 4.3."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity.bound_tokens import CLIENT, THIEF, outcome, resolver, sent
from identity.checks import build_request
from identity.issuer import NOW, Issuer
from identity.possession import URL, Client, base64url
from jwt.algorithms import ECAlgorithm

from extauthz.errors import InvalidCredential, Refused
from extauthz.identity.dpop import LEEWAY, PROOF_SECONDS, read_proof
from extauthz.values.request import HttpRequest

JWK = CLIENT.jwk
OWN = ec.generate_private_key(ec.SECP256R1())
BAD_HEADERS: dict[str, dict[str, Any]] = {
    "no type": {"typ": ...},
    "the type of a token": {"typ": "at+jwt"},
    "JWT": {"typ": "JWT"},
    "no algorithm": {"alg": ...},
    "none": {"alg": "none"},
    "symmetric": {"alg": "HS256"},
    "another than the key's": {"alg": "ES384"},
    "of another kind of key": {"alg": "RS256"},
    "critical": {"crit": ["exp"]},
    "unencoded": {"b64": False},
    "no key": {"jwk": ...},
    "no object": {"jwk": json.dumps(JWK)},
    "empty": {"jwk": {}},
    "a private key": {"jwk": ECAlgorithm.to_jwk(OWN, as_dict=True)},
    "a private member": {"jwk": {**JWK, "d": ""}},
    "a symmetric member": {"jwk": {**JWK, "k": "AA"}},
    "a symmetric key": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "unknown": {"jwk": {**JWK, "kty": "XY"}},
    "odd": {"jwk": {**JWK, "kty": ["EC"]}},
    "half": {"jwk": {name: JWK[name] for name in ("kty", "crv", "x")}},
    "not on the curve": {"jwk": {**JWK, "y": JWK["x"]}},
    "no text": {"jwk": {**JWK, "x": 1}},
    "not ASCII": {"jwk": {**JWK, "x": "é"}},
    "another curve": {"jwk": {**JWK, "crv": "P-384"}},
    "another's key": {"jwk": THIEF.jwk},
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_headers_of_proofs_that_are_refused(issuer: Issuer, token: str, header: dict[str, Any]) -> None:
    # steps 4 to 7
    proof = CLIENT.proof(token, now=NOW, header=header)
    assert outcome(resolver(issuer), sent(token, proof)) is InvalidCredential


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no id": {"jti": ...},
    "empty id": {"jti": ""},
    "odd id": {"jti": 1},
    "no method": {"htm": ...},
    "another method": {"htm": "POST"},
    "a method in lower case": {"htm": "get"},
    "no address": {"htu": ...},
    "odd address": {"htu": [URL]},
    "no time": {"iat": ...},
    "text for time": {"iat": str(int(NOW))},
    "true for time": {"iat": True},
    "too old": {"iat": NOW - PROOF_SECONDS - LEEWAY},
    "of the future": {"iat": NOW + LEEWAY + 1},
    "in milliseconds": {"iat": NOW * 1000},
    "expired": {"exp": NOW},
    "odd end": {"exp": "tomorrow"},
    "not yet": {"nbf": NOW + LEEWAY + 1},
    "no token": {"ath": ...},
    "another token": {"ath": base64url(b"x" * 32)},
    "odd token": {"ath": None},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_claims_of_proofs_that_are_refused(issuer: Issuer, token: str, claims: dict[str, Any]) -> None:
    # steps 3 and 8 to 12
    proof = CLIENT.proof(token, now=NOW, **claims)
    assert outcome(resolver(issuer), sent(token, proof)) is InvalidCredential


@pytest.mark.parametrize("issued_at", [NOW - PROOF_SECONDS, NOW - 1, NOW, NOW + LEEWAY])
def test_a_fresh_proof_is_accepted(issuer: Issuer, token: str, issued_at: float) -> None:
    assert outcome(resolver(issuer), sent(token, CLIENT.proof(token, now=issued_at))) == "u1"


@pytest.mark.parametrize("proof", ["", "x", "a.b.c", "a.b", "é", "x" * 20_000])
def test_what_is_no_jwt_is_no_proof(issuer: Issuer, token: str, proof: str) -> None:
    assert outcome(resolver(issuer), sent(token, proof)) is InvalidCredential


def test_a_proof_by_another_key_than_the_tokens_is_refused(issuer: Issuer, token: str) -> None:
    assert outcome(resolver(issuer), sent(token, THIEF.proof(token, now=NOW))) is InvalidCredential
    # signed by the thief in the client's name
    proof = THIEF.proof(token, now=NOW, header={"jwk": CLIENT.jwk})
    assert outcome(resolver(issuer), sent(token, proof)) is InvalidCredential


def test_a_proof_for_one_token_serves_no_other(issuer: Issuer, token: str) -> None:
    other = issuer.token(cnf={"jkt": CLIENT.thumbprint}, sub="u2")
    assert outcome(resolver(issuer), sent(other, CLIENT.proof(token, now=NOW))) is InvalidCredential


KEYS: dict[str, Client] = {
    "ES384": Client(ec.generate_private_key(ec.SECP384R1()), "ES384"),
    "ES512": Client(ec.generate_private_key(ec.SECP521R1()), "ES512"),
    "EdDSA": Client(Ed25519PrivateKey.generate(), "EdDSA"),
    "RS256": Client(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256"),
    "PS256": Client(rsa.generate_private_key(public_exponent=65537, key_size=2048), "PS256"),
}


@pytest.mark.parametrize("client", KEYS.values(), ids=KEYS)
def test_keys_of_every_kind_prove(issuer: Issuer, client: Client) -> None:
    bound = issuer.token(cnf={"jkt": client.thumbprint})
    assert outcome(resolver(issuer), sent(bound, client.proof(bound, now=NOW))) == "u1"
    extra = client.proof(bound, now=NOW, header={"jwk": {**client.jwk, "kid": "k", "use": "sig"}, "kid": "other"})
    assert outcome(resolver(issuer), sent(bound, extra)) == "u1", "what is not of the key is not in its thumbprint"


def test_a_key_of_the_client_costs_no_seconds(issuer: Issuer, token: str) -> None:
    jwk = KEYS["RS256"].jwk
    for long in ({"n": jwk["n"] * 3}, {"e": jwk["n"]}):
        proof = KEYS["RS256"].proof(token, now=NOW, header={"jwk": jwk | long})
        with pytest.raises(InvalidCredential, match="too long"):
            read_proof(_http(dpop=proof), token, now=NOW)
    # too short, to be refused
    weak = Client(rsa.generate_private_key(public_exponent=65537, key_size=1024), "RS256")  # noqa: S505 - that is the point
    bound = issuer.token(cnf={"jkt": weak.thumbprint})
    assert outcome(resolver(issuer), sent(bound, weak.proof(bound, now=NOW))) is InvalidCredential


def _http(**headers: str) -> HttpRequest:
    http = build_request(headers).http
    assert http is not None
    return http


@pytest.mark.parametrize(
    ("htu", "parts"),
    [
        ("https://shop.example.com/", {}),
        ("https://shop.example.com", {}),
        ("HTTPS://SHOP.example.COM/", {}),
        ("https://shop.example.com:443/", {}),
        ("https://shop.example.com./", {}),
        ("https://shop.example.com/?a=b#c", {}),
        ("https://shop.example.com/#c?d", {}),
        ("https://shop.example.com/", {"raw_query": "a=b", "has_query": True}),
        ("https://shop.example.com/", {"authority": "shop.example.com:443"}),
        ("https://shop.example.com:8443/", {"authority": "shop.example.com:8443"}),
        ("http://shop.example.com/", {"scheme": "http"}),
        ("http://shop.example.com:80/", {"scheme": "http"}),
        ("https://shop.example.com/a/b", {"raw_path": "/a/b"}),
        ("https://shop.example.com/%61/%7eb", {"raw_path": "/a/~b"}),
        ("https://shop.example.com/a%c3%a4", {"raw_path": "/a%C3%A4"}),
        ("https://[::1]:8443/", {"host": "[::1]", "authority": "[::1]:8443"}),
        ("https://[0:0::1]/", {"host": "[::1]", "authority": "[::1]"}),
    ],
)
def test_addresses_are_compared_as_clients_write_them(
    issuer: Issuer, token: str, htu: str, parts: dict[str, Any]
) -> None:
    # RFC 9449 section 4.3: syntax-based and scheme-based normalisation of RFC 3986 sections 6.2.2 and 6.2.3
    assert outcome(resolver(issuer), sent(token, CLIENT.proof(token, now=NOW, htu=htu)), **parts) == "u1"


@pytest.mark.parametrize(
    ("htu", "parts"),
    [
        ("", {}),
        ("/", {}),
        ("//shop.example.com/", {}),
        ("shop.example.com/", {}),
        ("https:///", {}),
        ("https://u@shop.example.com/", {}),
        ("https://shop.example.com@evil.example/", {}),
        ("https://evil.example/", {}),
        ("https://shop.example.com.evil.example/", {}),
        ("https://shop.example.com:8443/", {}),
        ("https://shop.example.com:/", {}),
        ("https://shop.example.com/", {"authority": "shop.example.com:8443"}),
        ("http://shop.example.com/", {}),
        ("https://shop.example.com:80/", {"scheme": "http"}),
        ("ftp://shop.example.com/", {}),
        ("https://shop.example.com/a", {}),
        ("https://shop.example.com/a/", {"raw_path": "/a"}),
        ("https://shop.example.com/a%2Fb", {"raw_path": "/a/b"}),
        ("https://shop.example.com/A", {"raw_path": "/a"}),
        ("https://shop.example.com/%2561", {"raw_path": "/a"}),
        ("https://shop.example.com/a b", {"raw_path": "/a b"}),
        (" https://shop.example.com/", {}),
        ("https://shop.example.com/\n", {}),
        ("https://shöp.example.com/", {}),
        ("https://[::x]/", {"host": "[::1]", "authority": "[::1]"}),
    ],
)
def test_a_proof_for_one_address_serves_no_other(issuer: Issuer, token: str, htu: str, parts: dict[str, Any]) -> None:
    proof = CLIENT.proof(token, now=NOW, htu=htu)
    assert outcome(resolver(issuer), sent(token, proof), **parts) is InvalidCredential


def test_the_example_of_the_rfc_is_a_proof() -> None:
    # RFC 9449 section 7.1, figure 12, and the thumbprint of its key in section 6.1
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0"
        "RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAt"
        "MjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZ"
        "y9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0N"
        "BcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    )
    request = build_request(
        {"dpop": proof}, host="resource.example.org", authority="resource.example.org", raw_path="/protectedresource"
    )
    assert request.http is not None
    read = read_proof(request.http, "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", now=1_562_262_618.0)
    assert read.key == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_messages_about_proofs_hold_neither_proof_nor_token(issuer: Issuer, token: str) -> None:
    users = resolver(issuer)
    for claims in BAD_CLAIMS.values():
        proof = CLIENT.proof(token, now=NOW, **claims)
        with pytest.raises(Refused) as caught:
            users.identify(build_request(sent(token, proof)), now=NOW)
        assert not any(part in str(caught.value) for part in (*token.split("."), *proof.split(".")))
