"""Who calls on a connection whose requests differ in few values: never anybody else than whom a first look finds."""

from collections.abc import Mapping
from typing import Any

import pytest
from changing import replace
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer

from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.keys import read_keys
from extauthz.identity.resolver import Resolver
from extauthz.values.common import Common
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import HOLDER_COOKIE, Identity
from extauthz.values.request import EMPTY, Peer, RequestView
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

USER = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a", "algorithms": ["ES256"]}
EDGE = {"name": "edge", "issuer": ISSUER, "from": ["metadata:envoy.filters.http.jwt_authn/payload"]}
WORKLOAD = {
    "trust_domains": ["prod.example.org"],
    "sources": ["source_principal", "xfcc"],
    "xfcc": {"accept": "last", "without_principal": True},
}
WEB, JOB = "spiffe://prod.example.org/web", "spiffe://prod.example.org/job"
KEYS = Issuer(keys={"ec": ec.generate_private_key(ec.SECP256R1())}, algorithms={"ec": "ES256"})
TOKENS = (
    KEYS.token(sub="a", iat=int(NOW) - 60, exp=int(NOW) + 60),
    KEYS.token(sub="b", iat=int(NOW) - 60, exp=int(NOW) + 600, nbf=int(NOW) + 100),
    KEYS.token(sub="a", exp=int(NOW) - 1),
)
SETTINGS = {
    "users and workloads behind a proxy": ({"users": [USER], "workload": WORKLOAD}, {"trusted_hops": 1}),
    "users and workloads": ({"users": [USER], "workload": WORKLOAD}, {}),
    "workloads": ({"workload": WORKLOAD}, {}),
    "users with a cookie": ({"users": [USER | {"from": ["authorization", "cookie:session"]}]}, {}),
    "users by the word of Envoy": ({"users": [EDGE], "workload": WORKLOAD}, {}),
}
VALUES: Mapping[str, tuple[str, ...]] = {
    "authorization": (*(f"Bearer {token}" for token in TOKENS), "Basic eDp5"),
    "x-forwarded-client-cert": (f"URI={WEB}", f"URI={JOB}", "URI="),
    "x-forwarded-for": ("198.51.100.7", "198.51.100.8"),
    "cookie": ("theme=dark", "a=b", f"{HOLDER_COOKIE}=one", f"a=b; {HOLDER_COOKIE}=two", f"session={TOKENS[0]}"),
    "x-request-id": ("1", "2"),
}
PEERS = (Peer(ip="192.0.2.1"), Peer(ip="192.0.2.1", principal=WEB), Peer(ip="192.0.2.2"))
CLAIMS = {"iss": ISSUER, "sub": "a", "aud": AUDIENCE, "exp": NOW + 65, "iat": NOW - 1}
METADATA = {"envoy.filters.http.jwt_authn": {"payload": CLAIMS}}

Sent = tuple[RequestView, float]


def resolver(kind: str) -> Resolver:
    identity, client = SETTINGS[kind]
    settings = IdentitySettings.model_validate(identity), ClientSettings.model_validate(client)
    return Resolver(*settings, {"idp": KEYS.jwks})


def found(resolver: Resolver, request: RequestView, now: float) -> Any:
    """As `check.checker` asks: first for who comes again."""
    try:
        return resolver.returning.again(request, now) or resolver.identify(request, now)
    except Refused as refused:
        return type(refused), str(refused)


def request_of(values: Mapping[str, str], common: Common | None, source: Peer, metadata: Mapping[str, Any]) -> Any:
    places = {name: place for place, name in enumerate(values)}
    request = build_request()
    assert request.http is not None
    http = replace(request.http, headers=OneLineEach(places, tuple(values.values()), (), common))
    return replace(request, http=http, source=source, metadata=metadata)


@st.composite
def connections(draw: st.DrawFn) -> list[Sent]:
    """Requests of which some values vary, all of one connection in most cases."""
    names = draw(st.lists(st.sampled_from(list(VALUES)), unique=True))
    varying = [name for name in names if draw(st.booleans())]
    common = Common(frozenset(map(names.index, varying)))
    values = {name: draw(st.sampled_from(VALUES[name])) for name in names}
    source = draw(st.sampled_from(PEERS))
    asked = []
    for _ in range(draw(st.integers(2, 8))):
        changed = draw(st.sampled_from(varying)) if varying else None
        if changed is not None:
            values = values | {changed: draw(st.sampled_from(VALUES[changed]))}
        other = draw(st.integers(0, 15))
        if other == 0:
            source = draw(st.sampled_from(PEERS))
        metadata = METADATA if other == 1 else EMPTY
        request = request_of(values, None if other == 2 else common, source, metadata)
        asked.append((request, draw(st.sampled_from([NOW, NOW, NOW, NOW + 59.9995, NOW + 60, NOW + 100, NOW + 700]))))
    return asked


def bearer(token: str, common: Common, source: Peer = PEERS[0]) -> RequestView:
    request: RequestView = request_of({"authorization": f"Bearer {token}"}, common, source, EMPTY)
    return request


def with_cookie(value: str, common: Common) -> RequestView:
    request: RequestView = request_of({"cookie": value}, common, PEERS[1], EMPTY)
    return request


TWICE = f"{HOLDER_COOKIE}=one; {HOLDER_COOKIE}=two"
SAME, VARYING, COOKIES = Common(frozenset()), Common(frozenset({0})), Common(frozenset({0}))


@pytest.mark.parametrize("kind", SETTINGS)
@example([(bearer(TOKENS[0], VARYING), NOW)] * 3 + [(bearer(TOKENS[1], VARYING), NOW + 100)])
@example([(bearer(TOKENS[0], SAME), NOW)] * 3 + [(bearer(TOKENS[0], SAME), NOW + 60)])
@example([(bearer(TOKENS[0], SAME), NOW)] * 3 + [(bearer(TOKENS[0], SAME, PEERS[1]), NOW)])
@example([(with_cookie("a=b", COOKIES), NOW)] * 3 + [(with_cookie(TWICE, COOKIES), NOW)])
@example([(bearer("", SAME), NOW)] * 3 + [(replace(bearer("", SAME), metadata=METADATA), NOW)])
@given(connections())
def test_whoever_comes_again_on_a_connection_is_whom_a_first_look_finds(kind: str, asked: list[Sent]) -> None:
    here = resolver(kind)
    for request, now in asked:
        assert found(here, request, now) == found(resolver(kind), request, now)


def test_what_tells_nobody_may_vary_and_one_line_of_what_tells() -> None:
    """Else it would not be known that the short way is taken at all."""
    for header, value, varying in (
        ("x-request-id", "1", "x-request-id"),
        ("authorization", f"Bearer {TOKENS[0]}", "authorization"),
        ("x-forwarded-for", "198.51.100.7", "x-forwarded-for"),
        ("cookie", "theme=dark", "cookie"),
    ):
        here = resolver("users and workloads behind a proxy")
        values = {"x-forwarded-client-cert": f"URI={WEB}", header: value}
        common = Common(frozenset({[*values].index(varying)}))
        requests = [request_of(values, common, PEERS[0], EMPTY) for _ in range(3)]
        first, second, third = [found(here, request, NOW) for request in requests]
        assert isinstance(first, Identity)
        assert first is second is third
        assert here.returning.again(requests[0], NOW) is first


def test_two_lines_that_tell_and_vary_are_looked_at_as_before() -> None:
    here = resolver("users and workloads")
    values = {"x-forwarded-client-cert": f"URI={WEB}", "authorization": f"Bearer {TOKENS[0]}"}
    common = Common(frozenset({0, 1}))
    for _ in range(3):
        assert isinstance(found(here, request_of(values, common, PEERS[0], EMPTY), NOW), Identity)
    assert common.caller is None


def test_nothing_of_a_token_is_noted_but_its_digest() -> None:
    here, common = resolver("users and workloads"), Common(frozenset({0, 1}))
    for _ in range(3):
        found(here, request_of({"authorization": f"Bearer {TOKENS[0]}", "cookie": "a=b"}, common, PEERS[0], EMPTY), NOW)
    told: Any = common.caller
    assert isinstance(told.text, bytes)
    assert len(told.text) == 32


def test_resolvers_that_take_turns_on_a_connection_each_know_by_their_own_keys() -> None:
    first, common = resolver("users and workloads"), Common(frozenset({0}))
    rotated = Issuer(keys={"n": ec.generate_private_key(ec.SECP256R1())}, algorithms={"n": "ES256"})
    second = first.with_keys("idp", read_keys(rotated.jwks, place="idp", algorithms=["ES256"]))
    request = bearer(TOKENS[0], common)
    for _ in range(3):
        assert found(first, request, NOW).user.sub == "a"
        assert "fit no key of the issuer" in str(found(second, request, NOW))
        assert found(second, bearer(rotated.token("n", sub="a"), common), NOW).user.sub == "a"
        assert "fit no key of the issuer" in str(found(first, bearer(rotated.token("n", sub="a"), common), NOW))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(VALUES["authorization"]),
            st.sampled_from(VALUES["x-forwarded-client-cert"]),
            st.sampled_from(VALUES["x-forwarded-for"]),
            st.sampled_from(VALUES["cookie"]),
            st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        ),
        min_size=4,
        max_size=10,
    )
)
def test_requests_as_they_come_are_those_of_whom_a_first_look_finds(asked: list[tuple[str, ...]]) -> None:
    kind = "users and workloads behind a proxy"
    here = resolver(kind)
    names = ("authorization", "x-forwarded-client-cert", "x-forwarded-for", "cookie")
    for number, (*values, ip) in enumerate(asked):
        payload = check_request(
            id=str(number),
            method="GET",
            host="shop.example.com",
            path=f"/{number}",
            headers=dict(zip(names, values, strict=True)) | {"x-request-id": str(number)},
            source_ip=ip,
            source_port=1,
            context={},
            raw_headers=True,
            time=(1, number),
        )
        request = decode(payload)
        assert found(here, request, NOW) == found(resolver(kind), request, NOW)
