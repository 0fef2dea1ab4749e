"""Who comes again: known without another look, and never as anybody else than whom a first look finds."""

import gc
from collections.abc import Callable
from itertools import permutations
from sys import getsizeof
from typing import Any
from weakref import ref

import pytest
from changing import replace
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from identity.authority import copied, fingerprint, handed, root
from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer
from identity.possession import base64url, new_client

from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.keys import read_keys
from extauthz.identity.resolver import Resolver
from extauthz.identity.workload import MAX_CACHED
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import HOLDER_COOKIE, Identity
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

HOLDERS = (f"{HOLDER_COOKIE}=one", f"theme=dark; {HOLDER_COOKIE}=two", f"{HOLDER_COOKIE}=one; {HOLDER_COOKIE}=two")


def one_line_each(request: RequestView) -> RequestView:
    """The request as most are handed over, if none of its headers came in several lines."""
    http = request.http
    assert http is not None
    if any(len(lines) != 1 for lines in http.headers.values()):
        return request
    places = {name: place for place, name in enumerate(http.headers)}
    headers = OneLineEach(places, tuple([line for (line,) in http.headers.values()]), ())
    return replace(request, http=replace(http, headers=headers))


requests = st.builds(
    lambda headers, principal, ip, form: form(
        build_request({name: value for name, value in headers.items() if value}, principal=principal, ip=ip)
    ),
    headers=st.fixed_dictionaries(
        {
            "authorization": st.sampled_from(["", "Basic eDp5", *(f"Bearer {token}" for token in TOKENS)]),
            "x-forwarded-client-cert": st.sampled_from(["", f"URI={WEB}", f"URI={JOB}", "URI="]),
            "x-forwarded-for": st.sampled_from(["", "198.51.100.7", "198.51.100.8", ("198.51.100.7", "198.51.100.8")]),
            "cookie": st.sampled_from(["", "", "a=b", *HOLDERS, ("a=b", HOLDERS[0])]),
        }
    ),
    principal=st.sampled_from(["", WEB]),
    ip=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
    form=st.sampled_from([one_line_each, lambda request: request]),
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


CA, HOLDER = root(), new_client()
LEAVES = CA.leaf(WEB), CA.leaf(WEB, ends=NOW + 65), CA.leaf(JOB)
BOUND = (
    KEYS.token(sub="a", cnf={"x5t#S256": base64url(bytes.fromhex(fingerprint(LEAVES[0])))}),
    KEYS.token(sub="a", cnf={"jkt": HOLDER.thumbprint}),
    KEYS.token(sub="b", sid="s"),
)
USERS = [
    USER | {"from": ["authorization", "cookie:session"]},
    {"name": "edge", "issuer": ISSUER, "from": ["metadata:envoy.filters.http.jwt_authn/payload"]},
]
HANDED = {"sources": ["source_principal", "xfcc", "client_cert"], "client_cert": {"without_principal": True}}
WITHOUT_CERTIFICATES = IdentitySettings.model_validate({"users": USERS, "workload": HANDED})
EVERYTHING = IdentitySettings.model_validate(
    {"users": USERS, "workload": HANDED | {"sources": [*HANDED["sources"], "peer_certificate"]}}
)
WITH_ONE_HEADER = IdentitySettings.model_validate({"users": USERS, "workload": WORKLOAD})
CLAIMS = {"iss": ISSUER, "sub": "a", "aud": AUDIENCE, "exp": NOW + 65, "iat": NOW - 1}
PARTS: dict[str, list[Any]] = {
    "authorization": [
        "",
        *(f"{scheme} {token}" for token in BOUND for scheme in ("Bearer", "DPoP")),
        f"Bearer {TOKENS[0]}",
    ],
    "dpop": ["", *(HOLDER.proof(BOUND[1], now=NOW, jti=name) for name in ("one", "two"))],
    "cookie": ["", "theme=dark", f"session={BOUND[0]}", f"session={BOUND[2]}", *HOLDERS],
    "client-cert": ["", *map(handed, LEAVES)],
    "x-forwarded-client-cert": ["", f"Hash={fingerprint(LEAVES[0])};URI={WEB}"],
    "principal": ["", WEB],
    "certificate": ["", *map(copied, LEAVES)],
    "metadata": [{}, {"envoy.filters.http.jwt_authn": {"payload": CLAIMS}}],
}
AT_HAND = ("principal", "certificate", "metadata")


BASES: list[dict[str, Any]] = [
    {},
    {"principal": WEB},
    {"authorization": f"Bearer {TOKENS[0]}"},
    {"authorization": f"Bearer {BOUND[0]}", "certificate": copied(LEAVES[0])},
    {"authorization": f"DPoP {BOUND[1]}", "dpop": PARTS["dpop"][1]},
    {"authorization": f"Bearer {BOUND[2]}", "client-cert": handed(LEAVES[1])},
]


@pytest.mark.parametrize("settings", [EVERYTHING, WITHOUT_CERTIFICATES, WITH_ONE_HEADER])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("form", [one_line_each, lambda request: request])
def test_nothing_that_tells_who_calls_changes_unnoticed(
    form: Callable[[RequestView], RequestView], base: dict[str, Any], settings: IdentitySettings
) -> None:
    def new() -> Resolver:
        return Resolver(settings, ClientSettings(), {"idp": KEYS.jwks})

    def request(parts: dict[str, Any]) -> RequestView:
        headers = {name: value for name, value in parts.items() if value and name not in AT_HAND}
        return form(build_request(headers, **{name: value for name, value in parts.items() if name in AT_HAND}))

    for name, values in PARTS.items():
        both = [request(base), *(request(base | {name: value}) for value in values)]
        alone = {(at, now): found(new(), one, now) for at, one in enumerate(both) for now in (NOW, NOW + 70)}
        for (first, began), (second, now) in permutations(alone, 2):
            if first != second and (began, now) != (NOW, NOW):
                continue
            here = new()
            assert found(here, both[first], began) == alone[first, began]
            assert found(here, both[second], now) == alone[second, now]


@pytest.mark.parametrize("long", ["a" * MAX_CACHED, "\N{GRINNING FACE}" + "a" * (MAX_CACHED // 4)])
def test_what_is_remembered_of_callers_is_bounded_in_bytes(long: str) -> None:
    here = resolver()
    for header in ("x-forwarded-for", "x-forwarded-client-cert"):
        value = f"{long}, 198.51.100.7" if header == "x-forwarded-for" else f'Subject="{long}";URI={WEB}'
        assert found(here, build_request({header: value}), NOW) == found(
            resolver(), build_request({header: value}), NOW
        )
    short = build_request({"x-forwarded-for": "192.0.2.1", "x-forwarded-client-cert": f"URI={WEB}"})
    assert found(here, short, NOW).workload.id == WEB
    (texts,) = here.returning._known._values
    assert sum(getsizeof(text) for text in texts if text is not None) < MAX_CACHED


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("x-forwarded-for", "198.51.100.7", "198.51.100.8"),
        ("authorization", f"Bearer {TOKENS[0]}", "Basic eDp5"),
        ("x-forwarded-client-cert", f"URI={WEB}", f"URI={JOB}"),
    ],
)
def test_nobody_is_known_again_by_one_line_of_two(name: str, first: str, second: str) -> None:
    one, two = (build_request({name: lines}, principal=WEB) for lines in (first, (first, second)))
    assert found(resolver(), one, NOW) != found(resolver(), two, NOW)
    for before, after in permutations([one, two]):
        here = resolver()
        found(here, before, NOW)
        assert found(here, after, NOW) == found(resolver(), after, NOW)


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {TOKENS[0]}"}, {"cookie": "theme=dark"}])
def test_whoever_comes_again_is_the_very_same(headers: dict[str, str]) -> None:
    here, request = resolver(), build_request(headers, principal=WEB)
    assert found(here, request, NOW + 1) is found(here, request, NOW)
    assert here.returning.known(one_line_each(request), NOW) is found(here, request, NOW)


def test_nobody_is_known_again_by_what_other_keys_have_verified() -> None:
    here, request = resolver(), build_request({"authorization": f"Bearer {TOKENS[0]}"})
    assert found(here, request, NOW).user.sub == "a"
    rotated = Issuer(keys={"n": ec.generate_private_key(ec.SECP256R1())}, algorithms={"n": "ES256"})
    after = here.with_keys("idp", SETTINGS.keys[0].read(rotated.jwks))
    assert "fit no key of the issuer" in str(found(after, request, NOW))


def test_a_resolver_that_is_replaced_goes_without_the_garbage_collector() -> None:
    """It finds nothing in what was frozen (`extauthz.app.pace`): a circle would stay, with all that it knows."""
    gc.collect()
    gc.disable()
    try:
        replaced = resolver()
        request = build_request({"authorization": f"Bearer {TOKENS[0]}", "x-forwarded-client-cert": f"URI={WEB}"})
        assert isinstance(found(replaced, request, NOW), Identity)
        renewed = replaced.with_keys("idp", read_keys(KEYS.jwks, place="idp", algorithms=["ES256"]))
        found(renewed, request, NOW)
        gone: list[ref[Any]] = [
            ref(replaced),
            ref(renewed),
            ref(replaced._workloads),
            ref(renewed._workloads),
            ref(renewed._users),
        ]
        del replaced, renewed
        assert [one() for one in gone] == [None] * len(gone)
    finally:
        gc.enable()
