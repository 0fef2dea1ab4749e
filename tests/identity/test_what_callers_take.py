"""What is remembered of callers: thousands of them are, so what they have in common is held once, and each is small."""

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, Issuer

from extauthz.app.compiled import is_compiled
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

MANY = 500
TIMES = 3
OF_A_WORKLOAD = 1_600
OF_A_USER = 3_600
"""Bytes that one may take at most, with all that is remembered by the way to it."""

USERS = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json"}
CONFIG: dict[str, Any] = {
    "users": [{**USERS, "proofs": {"amr": {"otp": "totp"}, "acr": {"high": "gold"}}}],
    "workload": {"sources": ["xfcc"], "xfcc": {"without_principal": True}},
}


@pytest.fixture
def resolver(issuer: Issuer) -> Resolver:
    return Resolver(IdentitySettings.model_validate(CONFIG), ClientSettings(), {"idp": issuer.jwks})


def of_workload(number: int) -> RequestView:
    name = f"spiffe://prod.example.org/ns/shop/sa/web-{number}"
    return build_request({"x-forwarded-client-cert": f"Hash={number:064x};URI={name}"})


def of_user(issuer: Issuer, number: int) -> RequestView:
    name = f"user-{number}"
    token = issuer.token(sub=name, sid=name, email=f"{name}@example.com", tenant="t1", amr=["pwd", "otp"], acr="high")
    return build_request({"authorization": f"Bearer {token}"})


def each_takes(resolver: Resolver, of: Callable[[int], RequestView]) -> float:
    """Bytes that are there afterwards of one of them: the least of some times, for a table that all share, as that of
    the interpreter's names, may double in one of them."""
    identified(resolver, of(0))
    return min(taken_by(resolver, [of(MANY * time + number) for number in range(1, MANY)]) for time in range(TIMES))


def taken_by(resolver: Resolver, requests: list[RequestView]) -> float:
    number = len(requests)
    gc.collect()
    tracemalloc.start()
    try:
        while requests:
            identified(resolver, requests.pop())
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / number
    finally:
        tracemalloc.stop()


def two(resolver: Resolver, *requests: RequestView) -> tuple[Identity, Identity]:
    one, other = (identified(resolver, request) for request in requests)
    assert one != other
    return one, other


def test_workloads_share_their_trust_domain_and_namespace(resolver: Resolver) -> None:
    one, other = (identity.workload for identity in two(resolver, of_workload(1), of_workload(2)))
    assert one is not None
    assert other is not None
    assert one.trust_domain is other.trust_domain
    assert one.namespace is other.namespace


def test_users_share_the_names_of_their_claims_and_what_these_mean(resolver: Resolver, issuer: Issuer) -> None:
    one, other = (identity.user for identity in two(resolver, of_user(issuer, 1), of_user(issuer, 2)))
    assert one is not None
    assert other is not None
    assert {id(name) for name in one.claims} == {id(name) for name in other.claims}
    assert one.proven_factors == {"totp"}
    assert one.proven_factors is other.proven_factors
    assert one.proven_acr == {"gold"}
    assert one.proven_acr is other.proven_acr


@pytest.mark.skipif(not is_compiled(), reason="what is interpreted takes more")
def test_none_takes_much(resolver: Resolver, issuer: Issuer) -> None:
    assert each_takes(resolver, of_workload) < OF_A_WORKLOAD
    assert each_takes(resolver, partial(of_user, issuer)) < OF_A_USER
