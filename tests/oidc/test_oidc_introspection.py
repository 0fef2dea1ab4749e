"""Opaque and bound tokens of a certified OpenID provider: what it says of them, revokes, and ties to a key."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from checking import told
from identity.possession import Client, new_client
from oidc.provider import AUDIENCE, CLIENT, CLIENT_SECRET, OPAQUE_RESOURCE, RESOURCE, Provider, new_keys, providing
from patience import GENEROUS, comes
from serving import CONFIG, Serve, Served

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: agents, paths: ["/pay"], when: user.sub == "agent" && user.claims.scope == "pay", effect: allow}
"""
URL = "https://example.com/pay"


def configure(folder: Path, provider: Provider, *, cache: str, **fields: Any) -> None:
    (folder / "secret").write_text(CLIENT_SECRET)
    question = {
        "url": provider.metadata()["introspection_endpoint"],
        "client_id": CLIENT,
        "client_secret_file": "secret",
        "accept_clients": True,
        "cache": cache,
    }
    users = [{"name": "asked", "issuer": provider.issuer, "audiences": [AUDIENCE], "introspection": question, **fields}]
    write(folder, users)


def write(folder: Path, users: list[dict[str, Any]]) -> None:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "extauthz.yaml").write_text(f"{CONFIG}\nidentity: {json.dumps({'users': users})}\n")


def reason(served: Served, token: str, *, scheme: str = "Bearer", **headers: str) -> str:
    return told(served.answer("/pay", {"authorization": f"{scheme} {token}", **headers}))["reason"]


def settled(served: Served, token: str, *, scheme: str = "Bearer") -> str:
    """The reason once the issuer has said something: on a busy machine it may be too late at first."""
    told_last = ""

    def answered() -> bool:
        nonlocal told_last
        told_last = reason(served, token, scheme=scheme)
        return told_last != "issuer-unavailable"

    assert comes(answered)
    return told_last


def revoke(provider: Provider, token: str) -> None:
    endpoint = provider.metadata()["revocation_endpoint"]
    said = httpx.post(endpoint, auth=(CLIENT, CLIENT_SECRET), data={"token": token}, timeout=GENEROUS)
    assert said.status_code == 200


def bound_token(provider: Provider, client: Client, resource: str) -> str:
    """A token for the key of `client` (RFC 9449 section 5)."""
    endpoint = provider.metadata()["token_endpoint"]
    answer = httpx.post(
        endpoint,
        auth=(CLIENT, CLIENT_SECRET),
        headers={"dpop": client.proof("", now=time.time(), htm="POST", htu=endpoint, ath=..., jti=uuid4().hex)},
        data={"grant_type": "client_credentials", "resource": resource, "scope": "pay"},
        timeout=GENEROUS,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "DPoP"
    token: str = answer.json()["access_token"]
    return token


def test_its_opaque_tokens_count_until_it_revokes_them(serve: Serve, folder: Path) -> None:
    with providing(*new_keys("k1")) as provider:
        configure(folder, provider, cache="0s")
        served = serve()
        token, other = provider.token(OPAQUE_RESOURCE), provider.token(OPAQUE_RESOURCE)
        assert [settled(served, token) for _ in range(2)] == ["allowed"] * 2
        assert settled(served, provider.token(OPAQUE_RESOURCE, scope="")) == "no-rule-allows"
        assert settled(served, "made-up") == "invalid-token"
        revoke(provider, token)
        assert settled(served, token) == "invalid-token"
        assert settled(served, other) == "allowed"
        provider.stop()
        assert reason(served, other) == "issuer-unavailable"


def test_what_it_said_is_remembered_as_long_as_configured(serve: Serve, folder: Path) -> None:
    with providing(*new_keys("k1")) as provider:
        configure(folder, provider, cache="1h")
        served = serve()
        token = provider.token(OPAQUE_RESOURCE)
        assert settled(served, token) == "allowed"
        provider.stop()
        assert reason(served, token) == "allowed"


def test_tokens_that_it_binds_to_a_key_need_its_proof(serve: Serve, folder: Path) -> None:
    mine, thief = new_client(), new_client()
    with providing(*new_keys("k1")) as provider:
        for resource in (OPAQUE_RESOURCE, RESOURCE):
            if resource is OPAQUE_RESOURCE:
                configure(folder, provider, cache="30s")
            else:
                write(
                    folder,
                    [{"name": "idp", "issuer": provider.issuer, "audiences": [AUDIENCE], "discovery": "openid"}],
                )
            served = serve()
            token = bound_token(provider, mine, resource)
            proof = mine.proof(token, now=time.time(), htu=URL, jti=uuid4().hex)
            stolen = thief.proof(token, now=time.time(), htu=URL, jti=uuid4().hex)
            assert settled(served, token) == "invalid-token"
            assert settled(served, token, scheme="DPoP") == "invalid-token"
            assert reason(served, token, scheme="DPoP", dpop=stolen) == "invalid-token"
            assert reason(served, token, scheme="DPoP", dpop=proof) == "allowed"
            assert reason(served, token, scheme="DPoP", dpop=proof) == "invalid-token", "it is used up"
