"""Tokens that are bound to a key or a certificate, as they come through a real Envoy."""

import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from e2e.stage import HOST, SHOP, Stage
from identity.possession import Client, new_client

MINE, THIEF = new_client(), new_client()
CI = "spiffe://prod.example.org/ns/ci/sa/runner"


def ask(gateway: Stage, token: str, client: Client = MINE, **claims: Any) -> httpx.Response:
    """Read what belongs to the token's subject, with a proof for that."""
    said = {"htu": f"https://{HOST}/v1/me", "jti": uuid4().hex, **claims}
    proof = client.proof(token, now=time.time(), **said)
    headers = {"authorization": f"DPoP {token}", "dpop": proof}
    return gateway.client().get("/v1/me?all=1", headers=headers)


def test_a_proof_of_possession_comes_through_envoy_and_is_good_once(gateway: Stage) -> None:
    token = gateway.token("alice", cnf={"jkt": MINE.thumbprint})
    assert ask(gateway, token).status_code == 200
    assert gateway.service.received[-1].all("x-authz-subject") == ["alice"]
    first, again = ask(gateway, token, jti="one"), ask(gateway, token, jti="one")
    assert (first.status_code, again.status_code) == (200, 401)
    assert gateway.decided(again)["reason"] == "invalid-token"


def test_a_bound_token_is_nothing_without_its_key(gateway: Stage) -> None:
    token = gateway.token("alice", cnf={"jkt": MINE.thumbprint})
    bearer = gateway.client().get("/v1/me", headers={"authorization": f"Bearer {token}"})
    answers = [
        bearer,
        ask(gateway, token, THIEF),
        ask(gateway, token, htm="POST"),
        ask(gateway, token, htu=f"https://{HOST}/v1/accounts/acc-1"),
        ask(gateway, token, htu=f"http://{HOST}/v1/me"),
        ask(gateway, token, htu="https://evil.example.com/v1/me"),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert gateway.decided(answer)["reason"] == "invalid-token"


def test_a_proof_that_is_sent_twice_in_one_request_is_refused(gateway: Stage) -> None:
    token = gateway.token("alice", cnf={"jkt": MINE.thumbprint})
    proof = MINE.proof(token, now=time.time(), htu=f"https://{HOST}/v1/me", jti=uuid4().hex)
    lines = [("authorization", f"DPoP {token}"), ("dpop", proof), ("dpop", proof)]
    assert gateway.client().get("/v1/me", headers=lines).status_code == 400


def test_a_token_that_is_bound_to_a_certificate_counts_on_its_connections_only(gateway: Stage) -> None:
    # RFC 8705 section 3
    pair = gateway.workload(SHOP)
    der = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).public_bytes(Encoding.DER)
    thumbprint = urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
    headers = gateway.bearer("alice", cnf={"x5t#S256": thumbprint})
    assert gateway.client(SHOP).get("/v1/me", headers=headers).status_code == 200
    for stolen in (gateway.client(CI), gateway.client()):
        answer = stolen.get("/v1/me", headers=headers)
        assert answer.status_code == 401
        assert gateway.decided(answer)["reason"] == "invalid-token"
