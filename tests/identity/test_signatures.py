"""The bytes of a signature: one form, one length, and never what a token is known by."""

from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer, encode
from identity.workload_tokens import ACCOUNTS, BUNDLE_NAME, SVIDS, account_token, bundle, svid
from identity.workload_tokens import resolver as resolver_of_workloads
from jwt.utils import base64url_decode

from extauthz.errors import InvalidCredential
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.compact import digest_of
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import Introspect, Introspected
from extauthz.identity.resolver import Resolver
from extauthz.identity.tokens import Verifier
from extauthz.identity.workload_token_config import KUBERNETES
from extauthz.values.identity import Identity

ORDER = {
    # SEC 2 version 2, sections 2.4.2 and 2.5.1: `n` of the curves.
    "ec": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ec384": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
}
SOURCE = {
    "name": "idp",
    "issuer": ISSUER,
    "audiences": [AUDIENCE],
    "jwks": "jwks.json",
    "algorithms": ["ES256", "ES384", "RS256", "EdDSA"],
}


@pytest.fixture
def settings() -> IdentitySettings:
    return IdentitySettings.model_validate({"users": [SOURCE]})


@pytest.fixture
def tokens(issuer: Issuer, settings: IdentitySettings) -> Verifier:
    return Verifier(settings.users, {"idp": issuer.jwks})


def signed_anew(token: str, change: Callable[[bytes], bytes]) -> str:
    """The token with another signature."""
    signing_input, _, signature = token.rpartition(".")
    return f"{signing_input}.{encode(change(base64url_decode(signature)))}"


def twin(token: str, kid: str) -> str:
    """The other signature that a token of ECDSA always has: (r, n - s) for (r, s)."""

    def mirrored(signature: bytes) -> bytes:
        size = len(signature) // 2
        return signature[:size] + (ORDER[kid] - int.from_bytes(signature[size:])).to_bytes(size)

    return signed_anew(token, mirrored)


def der(signature: bytes) -> bytes:
    size = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


# RFC 7518 section 3.4: 32 bytes of R, then 32 of S.
ODD: dict[str, Callable[[bytes], bytes]] = {
    "a byte less": lambda signature: signature[:-1],
    "a zero before": lambda signature: b"\0" + signature,
    "a zero between": lambda signature: signature[:32] + b"\0" + signature[32:],
    "two zeros before each": lambda signature: b"\0" + signature[:32] + b"\0" + signature[32:],
    "a zero after": lambda signature: signature + b"\0",
    "half of it": lambda signature: signature[:32],
    "twice": lambda signature: signature * 2,
    "as in certificates": der,
    "nothing but zeros": lambda _: bytes(64),
    "no R": lambda signature: bytes(32) + signature[32:],
    "no S": lambda signature: signature[:32] + bytes(32),
    "R is the order": lambda signature: ORDER["ec"].to_bytes(32) + signature[32:],
    "S is the order": lambda signature: signature[:32] + ORDER["ec"].to_bytes(32),
    "S beyond the order": lambda signature: signature[:32] + b"\xff" * 32,
    "the halves changed about": lambda signature: signature[32:] + signature[:32],
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_a_signature_of_ecdsa_is_two_numbers_of_the_curves_size(
    issuer: Issuer, tokens: Verifier, change: Callable[[bytes], bytes]
) -> None:
    token = issuer.token("ec")
    assert isinstance(tokens.verify(token, place="authorization", now=NOW), VerifiedToken)
    with pytest.raises(InvalidCredential):
        tokens.verify(signed_anew(token, change), place="authorization", now=NOW)


@pytest.mark.parametrize("kid", ["rsa", "ed"])
@pytest.mark.parametrize("change", [lambda signature: b"\0" + signature, lambda signature: signature[:-1]])
def test_a_signature_of_another_length_is_wrong(
    issuer: Issuer, tokens: Verifier, kid: str, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(InvalidCredential, match="the signature is wrong"):
        tokens.verify(signed_anew(issuer.token(kid), change), place="authorization", now=NOW)


def test_a_number_plus_the_modulus_is_no_signature(issuer: Issuer, tokens: Verifier) -> None:
    key = issuer.keys["rsa"]
    assert isinstance(key, RSAPrivateKey)
    modulus = key.public_key().public_numbers().n

    def beyond(signature: bytes) -> bytes:
        # RFC 8017 section 5.2.2: a representative that is not below the modulus is out of range.
        number = int.from_bytes(signature) + modulus
        return number.to_bytes((number.bit_length() + 7) // 8)

    with pytest.raises(InvalidCredential, match="the signature is wrong"):
        tokens.verify(signed_anew(issuer.token("rsa"), beyond), place="authorization", now=NOW)


@pytest.fixture
def resolver(issuer: Issuer, settings: IdentitySettings) -> Resolver:
    return Resolver(settings, ClientSettings(), {"idp": issuer.jwks})


def of(resolver: Resolver, token: str) -> Identity:
    return identified(resolver, build_request({"authorization": f"Bearer {token}"}))


@pytest.mark.parametrize("kid", ["ec", "ec384"])
def test_a_second_signature_makes_no_second_token(issuer: Issuer, resolver: Resolver, kid: str) -> None:
    token = issuer.token(kid)
    first, second = of(resolver, token), of(resolver, twin(token, kid))
    # Nothing in the standards forbids the second one; so it must be the same session, and be revoked with the first.
    assert token != twin(token, kid)
    assert first == second
    assert [credential.digest for credential in first.credentials] == [digest_of(token)]


@pytest.mark.parametrize("make", [svid, account_token], ids=["svid", "account"])
def test_nor_does_one_of_a_workload(issuer: Issuer, make: Callable[..., str]) -> None:
    here = resolver_of_workloads(
        {**SVIDS, **ACCOUNTS, "sources": ["jwt_svid", "kubernetes"]},
        {BUNDLE_NAME: bundle(issuer), KUBERNETES: issuer.jwks},
    )
    token = make(issuer, "ec")
    first, second = of(here, token), of(here, twin(token, "ec"))
    assert first.workload is not None
    assert first == second
    assert [credential.digest for credential in first.credentials] == [digest_of(token)]


def test_tokens_that_say_anything_else_are_other_tokens(issuer: Issuer, resolver: Resolver) -> None:
    def others() -> Iterator[str]:
        yield issuer.token("ec")
        yield issuer.token("ec", sub="u2")
        yield issuer.token("ec", exp=NOW + 601)
        yield issuer.token("ed")
        yield issuer.token("ec", header={"typ": "at+jwt"})

    sessions = [of(resolver, token).session for token in others()]
    assert len(set(sessions)) == len(sessions)
    assert len({digest_of(token) for token in others()}) == len(sessions)


@pytest.mark.parametrize("token", ["opaque", "v4.public.one", "v4.public.two", "a.b.c", "a.b.d", "e30.e30", "\udc80"])
def test_what_is_no_signed_token_is_known_by_all_of_it(token: str) -> None:
    assert digest_of(token) == sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def test_a_signed_token_is_known_by_the_same_whoever_verifies_it(issuer: Issuer) -> None:
    introspection = {"url": f"{ISSUER}/introspect", "client_id": "c", "client_secret_file": "secret"}
    asked = IdentitySettings.model_validate(
        {"users": [{"name": "asked", "issuer": ISSUER, "introspection": introspection}]}
    )
    token = issuer.token("ec")
    answer = Introspected(response={"active": True, "token_type": "Bearer", "sub": "u1"}, asked_at=NOW)
    known = Resolver(asked, ClientSettings(), {}).identify(
        build_request({"authorization": f"Bearer {token}"}),
        now=NOW,
        answers={Introspect(source="asked", token=token): answer},
    )
    assert isinstance(known, Identity)
    assert [credential.digest for credential in known.credentials] == [digest_of(token)]
