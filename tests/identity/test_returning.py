"""Who comes again: known without another look, and never as anybody else than whom a first look finds."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer

from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.values.request import RequestView

USER = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a", "algorithms": ["ES256", "EdDSA"]}
XFCC = {"accept": "last", "without_principal": True}
WORKLOAD = {"trust_domains": ["prod.example.org"], "sources": ["source_principal", "xfcc"], "xfcc": XFCC}
SETTINGS = IdentitySettings.model_validate({"users": [USER], "workload": WORKLOAD})
CLIENT = ClientSettings.model_validate({"trusted_hops": 1})
WEB, JOB = "spiffe://prod.example.org/web", "spiffe://prod.example.org/job"
KEYS = Issuer(keys={"ec": ec.generate_private_key(ec.SECP256R1())}, algorithms={"ec": "ES256"})
TOKENS = (
    KEYS.token(sub="a", iat=int(NOW) - 60, exp=int(NOW) + 60),
    KEYS.token(sub="b", iat=int(NOW) - 60, exp=int(NOW) + 600, nbf=int(NOW) + 100),
    KEYS.token(sub="a", exp=int(NOW) - 1),
)

requests = st.builds(
    lambda headers, principal, ip: build_request(
        {name: value for name, value in headers.items() if value}, principal=principal, ip=ip
    ),
    headers=st.fixed_dictionaries(
        {
            "authorization": st.sampled_from(["", "Basic eDp5", *(f"Bearer {token}" for token in TOKENS)]),
            "x-forwarded-client-cert": st.sampled_from(["", f"URI={WEB}", f"URI={JOB}", "URI="]),
            "x-forwarded-for": st.sampled_from(["", "198.51.100.7", "198.51.100.8"]),
            "cookie": st.sampled_from(["", "", "a=b"]),
        }
    ),
    principal=st.sampled_from(["", WEB]),
    ip=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
)
moments = st.sampled_from([NOW, NOW + 59.9995, NOW + 60, NOW + 70, NOW + 100, NOW + 700])


def found(resolver: Resolver, request: RequestView, now: float) -> Any:
    try:
        return resolver.identify(request, now=now)
    except Refused as refused:
        return type(refused), str(refused)


def resolver() -> Resolver:
    return Resolver(SETTINGS, CLIENT, {"idp": KEYS.jwks})


@given(st.lists(st.tuples(requests, moments), max_size=12))
def test_whoever_comes_again_is_whom_a_first_look_finds(asked: list[tuple[RequestView, float]]) -> None:
    here = resolver()
    for request, now in asked:
        assert found(here, request, now) == found(resolver(), request, now)


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {TOKENS[0]}"}])
def test_whoever_comes_again_is_the_very_same(headers: dict[str, str]) -> None:
    here, request = resolver(), build_request(headers, principal=WEB)
    assert found(here, request, NOW + 1) is found(here, request, NOW)


def test_nobody_is_known_again_by_what_other_keys_have_verified() -> None:
    here, request = resolver(), build_request({"authorization": f"Bearer {TOKENS[0]}"})
    assert found(here, request, NOW).user.sub == "a"
    rotated = Issuer(keys={"n": ec.generate_private_key(ec.SECP256R1())}, algorithms={"n": "ES256"})
    after = here.with_keys("idp", SETTINGS.keys[0].read(rotated.jwks))
    assert "fit no key of the issuer" in str(found(after, request, NOW))
