"""Claims that Envoy has verified: as strict as a token that is verified here, and from nowhere else."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer, good_claims

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.errors import IdentityConflict, InvalidCredential, Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity, User
from extauthz.wire.decode import decode

JWT_AUTHN = "envoy.filters.http.jwt_authn"
EDGE: dict[str, Any] = {"name": "edge", "issuer": ISSUER, "from": [f"metadata:{JWT_AUTHN}/payload"]}
IDP: dict[str, Any] = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json"}
HASH = "ab" * 32
THUMBPRINT = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"


def resolver(*sources: Mapping[str, Any], jwks: str = "", **workload: Any) -> Resolver:
    settings = IdentitySettings.model_validate({"users": sources or (EDGE,), "workload": workload})
    return Resolver(settings, ClientSettings(), {"idp": jwks})


def through_envoy(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata as it is read from a Check: every number a double."""
    check = CheckRequest()
    check.attributes.request.http.method, check.attributes.request.http.path = "GET", "/"
    check.attributes.request.http.host = "shop.example.com"
    for namespace, content in metadata.items():
        ParseDict(content, check.attributes.metadata_context.filter_metadata[namespace])
    return decode(check.SerializeToString()).metadata


def identify(metadata: Mapping[str, Any], users: Resolver | None = None, **headers: str) -> Identity:
    request = build_request(headers, metadata=through_envoy(metadata))
    return identified(users or resolver(), request)


def user(users: Resolver | None = None, **claims: object) -> User:
    found = identify({JWT_AUTHN: {"payload": good_claims(**claims)}}, users).user
    assert found is not None
    return found


def test_claims_that_envoy_verified_are_a_user() -> None:
    found = user(groups=["dev"], tenant="t1", acr="mfa", auth_time=NOW - 60)
    assert (found.sub, found.iss, found.groups, found.acr) == ("u1", ISSUER, ("dev",), "mfa")
    assert (found.verified_by, found.cookie, found.auth_time) == ("edge", False, int(NOW - 60))
    assert found.claims["tenant"] == "t1"


def test_a_user_is_the_same_whoever_verified_the_token(issuer: Issuer) -> None:
    said: dict[str, Any] = {
        "n": 7,
        "ratio": 0.5,
        "on": True,
        "none": [None],
        "list": [1, "1", {"deep": -3}],
        "aud": [AUDIENCE, "b"],
    }
    by_envoy = user(**said, act={"sub": "agent"}, amr=["otp"])
    token = issuer.token(**said, act={"sub": "agent"}, amr=["otp"], exp=int(NOW) + 600, iat=int(NOW) - 10)
    here = identified(resolver(IDP, jwks=issuer.jwks), build_request({"authorization": f"Bearer {token}"}))
    assert here.user is not None
    for name in ("sub", "iss", "aud", "amr", "auth_time", "issued_at", "actor", "claims"):
        assert getattr(by_envoy, name) == getattr(here.user, name), name
    # CEL tells integers from floats, so equality is not enough.
    assert json.dumps(dict(by_envoy.claims), sort_keys=True) == json.dumps(dict(here.user.claims), sort_keys=True)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {JWT_AUTHN: {}},
        {JWT_AUTHN: {"other": good_claims()}},
        {"envoy.filters.http.lua": {"payload": good_claims()}},
        {"envoy.filters.http": {"jwt_authn": {"payload": good_claims()}}},
        {JWT_AUTHN.upper(): {"payload": good_claims()}},
        {JWT_AUTHN: good_claims()},
        {"": {"payload": good_claims()}},
    ],
)
def test_no_other_place_in_the_metadata_is_looked_at(metadata: Mapping[str, Any]) -> None:
    assert identify(metadata).user is None


@pytest.mark.parametrize("value", [None, "text", 1, True, [], [good_claims()], {}, json.dumps(good_claims())])
def test_what_is_there_and_is_no_claims_is_refused(value: object) -> None:
    with pytest.raises(InvalidCredential):
        identify({JWT_AUTHN: {"payload": value}})


BAD: list[dict[str, Any]] = [
    {"iss": None},
    {"iss": "https://evil.example"},
    {"iss": ISSUER + "/"},
    {"iss": [ISSUER]},
    {"exp": None},
    {"exp": NOW},
    {"exp": str(int(NOW + 600))},
    {"nbf": NOW + 31},
    {"iat": NOW + 31},
    {"sub": None},
    {"sub": 1},
    {"groups": "admins"},
    {"act": "agent"},
    {"cnf": {"jkt": THUMBPRINT}},
    {"cnf": {"x5t#S256": THUMBPRINT}},
    {"big": 2.0**53 + 2},
    {"big": -1e300},
    {"deep": json.loads("[" * 16 + "]" * 16)},
]


@pytest.mark.parametrize("claims", BAD, ids=lambda claims: json.dumps(claims)[:40])
def test_what_a_token_may_not_say_these_may_not(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        user(**claims)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_are_refused(number: float) -> None:
    request = build_request(metadata={JWT_AUTHN: {"payload": good_claims(big=number)}})
    with pytest.raises(InvalidCredential):
        resolver().identify(request, now=NOW)


def test_audiences_are_checked_where_they_are_configured() -> None:
    strict = resolver({**EDGE, "audiences": [AUDIENCE]})
    assert user(strict, aud=["a", AUDIENCE]).aud == ("a", AUDIENCE)
    assert user(aud=["a"]).aud == ("a",)
    assert user(aud=None).aud == ()
    audiences: tuple[Any, ...] = ("other", [], None)
    for audience in audiences:
        with pytest.raises(InvalidCredential, match="aud"):
            user(strict, aud=audience)


def test_the_session_is_that_of_the_claims() -> None:
    sessions = [
        identify({JWT_AUTHN: {"payload": good_claims(**claims)}}).session
        for claims in ({}, {"jti": "1"}, {"jti": "2"}, {"sid": "s", "jti": "1"}, {"sid": "s", "jti": "2"})
    ]
    assert len(set(sessions)) == 4
    assert sessions[3] == sessions[4]
    reordered = dict(reversed(list(good_claims().items())))
    assert identify({JWT_AUTHN: {"payload": reordered}}).session == sessions[0]


def test_claims_bound_to_a_certificate_count_only_beside_it() -> None:
    users = resolver(EDGE, xfcc={"without_principal": True})
    bound = {JWT_AUTHN: {"payload": good_claims(cnf={"x5t#S256": THUMBPRINT})}}
    mine = f"Hash={HASH};URI=spiffe://prod.example.org/web"
    assert identify(bound, users, **{"x-forwarded-client-cert": mine}).user is not None
    others: tuple[dict[str, str], ...] = ({}, {"x-forwarded-client-cert": mine.replace("ab", "cd")})
    for headers in others:
        with pytest.raises(InvalidCredential):
            identify(bound, users, **headers)


def test_the_token_and_the_claims_must_name_one_subject(issuer: Issuer) -> None:
    both = resolver(EDGE, IDP, jwks=issuer.jwks)
    metadata = {JWT_AUTHN: {"payload": good_claims()}}
    known = identify(metadata, both, authorization=f"Bearer {issuer.token()}").user
    assert known is not None
    assert known.verified_by == "idp"
    with pytest.raises(IdentityConflict):
        identify(metadata, both, authorization=f"Bearer {issuer.token(sub='u2')}")


def test_issuers_may_share_a_place() -> None:
    partner = {**EDGE, "name": "partner", "issuer": "https://partner.example"}
    both = resolver(EDGE, partner)
    assert user(both).verified_by == "edge"
    assert user(both, iss="https://partner.example").verified_by == "partner"
    with pytest.raises(InvalidCredential):
        user(both, iss="https://third.example")


_CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "groups", "act", "cnf", "sid", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from([ISSUER, "u1", NOW + 5]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["sub", "act", "a"]), inner),
        max_leaves=5,
    ),
)


@given(changes=_CLAIMS)
def test_any_claims_are_a_user_of_the_issuer_or_refused(changes: dict[str, Any]) -> None:
    request = build_request(metadata={JWT_AUTHN: {"payload": good_claims() | changes}})
    try:
        known = identified(resolver(), request)
    except Refused:
        return
    assert known.user is not None
    assert (known.user.iss, known.user.claims["iss"]) == (ISSUER, ISSUER)
    assert known.user.claims["exp"] > NOW
