"""Any text where a workload's token is expected: an explicit answer, and nobody whom a plain reader does not find."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import pytest
from fuzz.credentials import TWISTS, header_changes, twisted
from fuzz.mutation import damaged
from fuzz.target import DOMAIN, ISSUER_KEYS, NOW, STRANGER, WEB, Target, bounded
from hypothesis import given
from hypothesis import strategies as st
from identity.issuer import Issuer
from identity.workload_tokens import ACCOUNTS, AUDIENCE, BUNDLE_NAME, CLUSTER, HEADER, SVIDS, bundle

from extauthz.identity.workload_token_config import KUBERNETES
from extauthz.wire.compose import check_request

OTHERS = Issuer(keys={"k1": STRANGER}, algorithms={"k1": "ES256"})
ADMIN = f"spiffe://{DOMAIN}/ns/shop/sa/admin"
ACCOUNT = "system:serviceaccount:shop:web"

Member = st.SearchStrategy[Any]
times: Member = st.sampled_from((int(NOW), NOW - 1, NOW + 0.5, 10**12, 10**30, "1", True, None, 1e308))
audiences: Member = st.sampled_from(
    ("other", "elsewhere", "", [AUDIENCE, "x"], [[AUDIENCE]], [], None, 5, {AUDIENCE: 1})
)
late: Member = st.sampled_from((int(NOW) + 3600, "x", None, -1, 2**70))
subjects: Member = st.sampled_from(
    (
        *(ADMIN, WEB + "/", WEB + "%2f", WEB.upper(), WEB + "?x", WEB + "#x", "spiffe://evil.example/ns/shop/sa/web"),
        *(
            f"spiffe://{DOMAIN}",
            f"spiffe://{DOMAIN}:1/ns/shop/sa/web",
            "",
            None,
            5,
            [WEB],
            "alice",
            WEB + "\n",
            "\ud800",
        ),
        *(ACCOUNT, ACCOUNT + ":x", "system:serviceaccount:shop", "system:serviceaccount:shop:../web", "system:node:n1"),
    )
)
names: Member = st.sampled_from(("shop", "web", "", None, "../web", "a/b", 5, ["web"]))
places = st.fixed_dictionaries(
    {"namespace": names}, optional={"serviceaccount": st.fixed_dictionaries({"name": names}) | st.just("web")}
)
times_and_audience: dict[str, Member] = {"exp": times, "nbf": late, "iat": late, "aud": audiences}
changes = st.fixed_dictionaries(
    {},
    optional={
        **times_and_audience,
        "sub": subjects,
        "iss": st.sampled_from((CLUSTER + "/", "https://evil.example", None, [CLUSTER])),
        "kubernetes.io": places | st.sampled_from((None, [], "shop")),
    },
)


def plain(sub: str, **more: object) -> dict[str, Any]:
    return {"sub": sub, "aud": [AUDIENCE], "exp": int(NOW) + 300, "iat": int(NOW), **more}


SVID = plain(WEB)
PROJECTED = plain(
    ACCOUNT, iss=CLUSTER, **{"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "d2b3"}}}
)


def signed(claims: Mapping[str, Any], changed: Mapping[str, Any], header: Mapping[str, Any], stranger: bool) -> str:
    issuer = OTHERS if stranger else ISSUER_KEYS
    members = {"alg": "ES256", "kid": "k1", **header}
    return issuer.sign("k1", json.dumps(members), json.dumps({**claims, **changed}))


def tokens(claims: Mapping[str, Any]) -> st.SearchStrategy[str]:
    """Good ones, those with other members, those that are spelt otherwise, and rubbish."""
    good, changed = signed(claims, {}, {}, False), signed(claims, {"sub": ADMIN}, {}, False)
    return st.one_of(
        st.just(good),
        st.builds(signed, st.just(claims), changes, st.just({}), st.just(False)),
        st.builds(signed, st.just(claims), changes, header_changes, st.booleans()),
        st.builds(twisted, st.sampled_from((good, changed)), st.sampled_from(TWISTS)),
        damaged(good.encode(), changed.encode()).map(lambda text: text.decode("latin-1")),
        st.text(max_size=40),
    )


def reader(token: str, claims: Mapping[str, Any]) -> str | None:
    """Whom a plain reader finds in the token: the `sub` that the key of the issuer has signed for us, and for now."""
    try:
        key = jwt.PyJWK(json.loads(ISSUER_KEYS.jwks)["keys"][0] | {"alg": "ES256"})
        read = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience=[AUDIENCE, "other"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "sub", "aud"]},
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    if read.get("iss", claims.get("iss")) != claims.get("iss", read.get("iss")) or read["exp"] <= NOW:
        return None
    return str(read["sub"])


def asked(target: Target, token: str, place: str) -> tuple[bool, str | None]:
    """Whether it was allowed, and who was found to call."""
    value = f"Bearer {token}" if place == "authorization" else token
    try:
        payload = check_request(host="app.example", path="/mesh/x", headers={place: value})
    except (UnicodeEncodeError, ValueError):  # what no Check can carry
        return False, None
    answered = target.answer(payload)
    identity = answered.record.identity
    workload = None if identity is None else identity.workload
    return answered.allows, None if workload is None else workload.id


@pytest.fixture(scope="module")
def svids() -> Iterator[Target]:
    built = Target(identity={"workload": SVIDS}, jwks={BUNDLE_NAME: bundle(ISSUER_KEYS)})
    yield built
    built.close()


@pytest.fixture(scope="module")
def accounts() -> Iterator[Target]:
    built = Target(identity={"workload": ACCOUNTS}, jwks={KUBERNETES: ISSUER_KEYS.jwks})
    yield built
    built.close()


@pytest.mark.parametrize("place", ["authorization", HEADER])
def test_no_jwt_svid_names_a_workload_that_a_plain_reader_does_not_find_in_it(svids: Target, place: str) -> None:
    assert asked(svids, signed(SVID, {}, {}, False), place) == (True, WEB)

    @given(tokens(SVID))
    @bounded(150)
    def look(token: str) -> None:
        allowed, workload = asked(svids, token, place)
        if workload is not None:
            assert reader(token, SVID) == workload
        assert not allowed or workload in (WEB, ADMIN)

    look()


@pytest.mark.parametrize("place", ["authorization", HEADER])
def test_no_service_account_token_names_one_that_a_plain_reader_does_not_find_in_it(
    accounts: Target, place: str
) -> None:
    assert asked(accounts, signed(PROJECTED, {}, {}, False), place) == (True, WEB)

    @given(tokens(PROJECTED))
    @bounded(150)
    def look(token: str) -> None:
        allowed, workload = asked(accounts, token, place)
        if workload is not None:
            assert reader(token, PROJECTED) == ACCOUNT
            assert workload == WEB
        assert not allowed or workload == WEB

    look()
