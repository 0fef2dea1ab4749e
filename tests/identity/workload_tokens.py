"""Tokens of workloads, signed with real keys: JWT-SVIDs and projected service account tokens."""

import json
from collections.abc import Mapping
from typing import Any

from identity.checks import build_request
from identity.issuer import NOW, Issuer, public_jwk

from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import NO_ANSWERS, Answers, Awaiting, Lookup
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity

DOMAIN = "prod.example.org"
WEB = f"spiffe://{DOMAIN}/ns/shop/sa/web"
ADMIN = f"spiffe://{DOMAIN}/ns/shop/sa/admin"
AUDIENCE = "extauthz"
BUNDLE_NAME = f"spiffe://{DOMAIN}"
CLUSTER = "https://kubernetes.default.svc.cluster.local"
HEADER = "x-workload-token"

SVIDS: dict[str, Any] = {
    "sources": ["source_principal", "jwt_svid"],
    "jwt_svid": {
        "audiences": [AUDIENCE, "other"],
        "bundles": {DOMAIN: "bundle.json"},
        "from": ["authorization", f"header:{HEADER}"],
    },
}
ACCOUNTS: dict[str, Any] = {
    "sources": ["source_principal", "kubernetes"],
    "kubernetes": {
        "trust_domain": DOMAIN,
        "issuer": CLUSTER,
        "audiences": [AUDIENCE, "other"],
        "jwks": "cluster.json",
        "from": ["authorization", f"header:{HEADER}"],
    },
}


def bundle(issuer: Issuer, *, use: str = "jwt-svid") -> str:
    """The SPIFFE bundle of a trust domain that signs with the keys of `issuer`."""
    listed = {kid: key for kid, key in issuer.keys.items() if kid not in issuer.unlisted}
    return json.dumps({"keys": [public_jwk(key, kid=kid, use=use) for kid, key in listed.items()]})


def svid(issuer: Issuer, kid: str = "ec", *, header: Mapping[str, object] | None = None, **claims: object) -> str:
    """A JWT-SVID as SPIRE makes it, changed; `None` takes a member away."""
    good = {"sub": WEB, "aud": [AUDIENCE], "exp": int(NOW) + 300, "iat": int(NOW)}
    return _sign(issuer, kid, header, good | claims)


def account_token(
    issuer: Issuer, kid: str = "rsa", *, header: Mapping[str, object] | None = None, **claims: object
) -> str:
    """A projected service account token as a cluster makes it, changed; `None` takes a member away."""
    good = {
        "iss": CLUSTER,
        "sub": "system:serviceaccount:shop:web",
        "aud": [AUDIENCE],
        "exp": int(NOW) + 3607,
        "iat": int(NOW),
        "nbf": int(NOW),
        "jti": "6b1f0f6e-2d2a-4c4e-9d55-0f6d2f4f3f1a",
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "node-1", "uid": "9c7a"},
            "pod": {"name": "web-7d9f", "uid": "1f0e"},
            "serviceaccount": {"name": "web", "uid": "d2b3"},
        },
    }
    return _sign(issuer, kid, {"typ": None, **(header or {})}, good | claims)


def _sign(issuer: Issuer, kid: str, header: Mapping[str, object] | None, claims: Mapping[str, object]) -> str:
    members = {"alg": issuer.algorithms[kid], "kid": kid, "typ": "JWT", **(header or {})}
    return issuer.sign(kid, _without_none(members), _without_none(claims))


def _without_none(members: Mapping[str, object]) -> str:
    return json.dumps({name: value for name, value in members.items() if value is not None})


def resolver(workload: Mapping[str, Any], jwks: Mapping[str, str], *users: Mapping[str, Any]) -> Resolver:
    settings = IdentitySettings.model_validate({"workload": workload, "users": users})
    return Resolver(settings, ClientSettings(), jwks)


def known(
    resolver: Resolver,
    headers: Mapping[str, str | list[str]],
    *,
    principal: str = "",
    now: float = NOW,
    answers: Answers = NO_ANSWERS,
) -> Identity | tuple[Lookup, ...] | type[Refused]:
    """Who it is, what is awaited, or the class of the refusal."""
    request = build_request(headers, principal=principal)
    try:
        outcome = resolver.identify(request, now=now, answers=answers)
    except Refused as refused:
        return type(refused)
    return outcome.lookups if isinstance(outcome, Awaiting) else outcome


def workload_of(outcome: object) -> tuple[str, str] | None:
    """The workload and its source; for anything but an identity a failure that shows it."""
    assert isinstance(outcome, Identity), outcome
    return None if outcome.workload is None else (outcome.workload.id, outcome.workload.verified_by)


def user_of(outcome: object) -> str | None:
    """The user's `sub`."""
    assert isinstance(outcome, Identity), outcome
    return None if outcome.user is None else outcome.user.sub


def bearer(token: str) -> dict[str, str | list[str]]:
    return {"authorization": f"Bearer {token}"}
