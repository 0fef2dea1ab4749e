"""No value of a credential is in a record, whichever source of identity refused it: certificates, proofs of possession,
tokens of workloads, opaque tokens and what their issuers say of them, claims from Envoy."""

import asyncio
import os
import string
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.authority import copied, handed, root
from identity.issuer import ISSUER, NOW, Issuer
from identity.possession import new_client
from identity.workload_tokens import ADMIN, BUNDLE_NAME, CLUSTER, DOMAIN, WEB, account_token, bundle, svid
from kept_records import Records

from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import Answer, Introspect, Introspected, Lookup, Reviewed, ReviewToken
from extauthz.identity.resolver import Resolver
from extauthz.lookup.inquiries import Inquiries
from extauthz.policy.load import load_text
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.values.decisions import Deny
from extauthz.wire.compose import check_request

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: all}
spec: {rules: [{name: everything, paths: ["/**"], effect: allow}]}
"""
IDENTITY = {
    "workload": {
        "sources": ["source_principal", "peer_certificate", "client_cert", "xfcc", "jwt_svid", "kubernetes"],
        "jwt_svid": {"audiences": ["extauthz"], "bundles": {DOMAIN: "-"}, "from": ["header:x-svid", "authorization"]},
        "kubernetes": {
            "trust_domain": DOMAIN,
            "issuer": CLUSTER,
            "audiences": ["extauthz"],
            "token_review": "https://127.0.0.1:1",
            "token": "-",
            "from": ["header:x-account"],
        },
    },
    "users": [
        {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "-"},
        {
            "name": "asked",
            "issuer": ISSUER,
            "from": ["cookie:opaque"],
            "introspection": {"url": "https://127.0.0.1:1", "client_id": "c", "client_secret_file": "-"},
        },
        {"name": "edge", "issuer": ISSUER, "from": ["metadata:jwt/payload"]},
    ],
}
ISSUING = Issuer(keys={"k": ec.generate_private_key(ec.SECP256R1())}, algorithms={"k": "ES256"})
STRANGER = Issuer(keys={"k": ec.generate_private_key(ec.SECP256R1())}, algorithms={"k": "ES256"})
AUTHORITY = root()
CLIENT = new_client()
BOUND = ISSUING.token("k", cnf={"jkt": CLIENT.thumbprint})
UNKNOWN = Reviewed(authenticated=False, username="", audiences=())


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What comes with a request, and what those say who are asked about it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    principal: str = ""
    certificate: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    introspected: Mapping[str, Any] = field(default_factory=lambda: {"active": True, "token_type": "Bearer"})
    reviewed: Reviewed = UNKNOWN


Odd = Callable[[str], Sent]


def client_cert(value: str) -> Sent:
    return Sent(headers={"client-cert": value})


def chain(value: str) -> Sent:
    return Sent(headers={"client-cert": handed(LEAF), "client-cert-chain": value})


def certificate(*uris: str) -> Sent:
    return Sent(certificate=copied(AUTHORITY.leaf(*uris)))


def proven(proof: str) -> Sent:
    return Sent(headers={"authorization": f"DPoP {BOUND}", "dpop": proof})


def asked(**response: object) -> Sent:
    said = {"active": True, "token_type": "Bearer", "sub": "u1", **response}
    return Sent(headers={"cookie": "opaque=token"}, introspected=said)


def claimed(payload: object) -> Sent:
    return Sent(metadata={"jwt": {"payload": payload}})


def account(reviewed: Reviewed = UNKNOWN, **claims: Any) -> Sent:
    return Sent(headers={"x-account": account_token(ISSUING, "k", **claims)}, reviewed=reviewed)


def proof_with(name: str) -> Odd:
    def odd(secret: str) -> Sent:
        changes: dict[str, Any] = {name: secret}
        return proven(CLIENT.proof(BOUND, now=NOW, **changes))

    return odd


def answer_with(name: str) -> Odd:
    return lambda secret: asked(**{name: {"odd": secret}})


def two_accounts(secret: str) -> Sent:
    claims: dict[str, Any] = {"kubernetes.io": {"namespace": secret, "serviceaccount": {"name": secret}}}
    return account(UNKNOWN, **claims)


def workload(token: str, **sent: Any) -> Sent:
    return Sent(headers={"x-svid": token}, **sent)


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


LEAF = AUTHORITY.leaf(WEB)
ODD: dict[str, Odd] = {
    "Client-Cert: no bytes": lambda secret: client_cert(secret),
    "Client-Cert: no certificate": lambda secret: client_cert(f":{base64(secret)}:"),
    "Client-Cert: parameters": lambda secret: client_cert(f"{handed(LEAF)};p={secret}"),
    "Client-Cert: another name": lambda secret: Sent(
        headers={"client-cert": handed(AUTHORITY.leaf(f"spiffe://{DOMAIN}/{secret}"))}, principal=WEB
    ),
    "Client-Cert-Chain: no bytes": lambda secret: chain(secret),
    "Client-Cert-Chain: alone": lambda secret: Sent(headers={"client-cert-chain": f":{base64(secret)}:"}),
    "certificate: none": lambda secret: Sent(certificate=secret),
    "certificate: two names": lambda secret: certificate(f"spiffe://{DOMAIN}/{secret}", WEB),
    "certificate: another name": lambda secret: Sent(
        certificate=copied(AUTHORITY.leaf(f"spiffe://{DOMAIN}/{secret}")), principal=WEB
    ),
    "proof: none": lambda secret: Sent(headers={"authorization": f"DPoP {BOUND}", "x-other": secret}),
    "proof: no token": lambda secret: Sent(headers={"authorization": f"DPoP {secret}"}),
    "proof: no JWT": proven,
    "proof: three parts": lambda secret: proven(f"{secret}.{secret}.{secret}"),
    **{f"proof: {name}": proof_with(name) for name in ("htm", "htu", "ath", "iat", "exp", "nbf")},
    "proof: jti": lambda secret: proven(CLIENT.proof(BOUND, now=NOW, jti={"odd": secret})),
    "proof: type": lambda secret: proven(CLIENT.proof(BOUND, now=NOW, header={"typ": secret})),
    "proof: algorithm": lambda secret: proven(CLIENT.proof(BOUND, now=NOW, header={"alg": secret})),
    "proof: key": lambda secret: proven(CLIENT.proof(BOUND, now=NOW, header={"jwk": {"kty": secret, "d": secret}})),
    "proof: broken key": lambda secret: proven(
        CLIENT.proof(BOUND, now=NOW, header={"jwk": {**CLIENT.jwk, "x": secret}})
    ),
    "proof: of another key": lambda secret: proven(new_client().proof(BOUND, now=NOW, jti=secret)),
    "SVID: none": lambda secret: workload(secret),
    "SVID: subject": lambda secret: workload(svid(ISSUING, "k", sub=f"spiffe://{DOMAIN}//{secret}")),
    "SVID: trust domain": lambda secret: workload(svid(ISSUING, "k", sub=f"spiffe://{secret}/a")),
    "SVID: audience": lambda secret: workload(svid(ISSUING, "k", aud=[secret])),
    "SVID: time": lambda secret: workload(svid(ISSUING, "k", exp=secret)),
    "SVID: header": lambda secret: workload(svid(ISSUING, "k", header={secret: secret})),
    "SVID: type": lambda secret: workload(svid(ISSUING, "k", header={"typ": secret})),
    "SVID: key": lambda secret: workload(svid(ISSUING, "k", header={"kid": secret})),
    "SVID: signature": lambda secret: workload(svid(STRANGER, "k", sub=f"spiffe://{DOMAIN}/{secret}")),
    "SVID: another name": lambda secret: workload(
        svid(ISSUING, "k", sub=f"spiffe://{DOMAIN}/{secret}"), principal=ADMIN
    ),
    "SVID: two of them": lambda secret: Sent(
        headers={
            "x-svid": svid(ISSUING, "k", sub=f"spiffe://{DOMAIN}/{secret}"),
            "authorization": f"Bearer {svid(ISSUING, 'k')}",
        }
    ),
    "account: subject": lambda secret: account(sub=f"system:serviceaccount:{secret}"),
    "account: two names": two_accounts,
    "account: audience": lambda secret: account(aud=[secret]),
    "account: not known": lambda secret: account(jti=secret),
    "account: of somebody else": lambda secret: account(
        Reviewed(authenticated=True, username=secret, audiences=("extauthz",)), jti=secret
    ),
    "account: for somebody else": lambda secret: account(
        Reviewed(authenticated=True, username="system:serviceaccount:shop:web", audiences=(secret,)), jti=secret
    ),
    "opaque: no token": lambda secret: Sent(headers={"cookie": f"opaque={secret}\\"}),
    "opaque: of a stranger": lambda secret: Sent(headers={"cookie": f"opaque={STRANGER.token('k', iss=secret)}"}),
    "opaque: not active": lambda secret: asked(active=False, sub=secret),
    **{
        f"opaque: {name}": answer_with(name)
        for name in ("token_type", "iss", "aud", "sub", "exp", "iat", "groups", "cnf", "act")
    },
    "claims: of a stranger": lambda secret: claimed({"iss": secret, "sub": secret, "exp": NOW + 60}),
    "claims: none": claimed,
    "claims: subject": lambda secret: claimed({"iss": ISSUER, "sub": {"odd": secret}, "exp": NOW + 60}),
    "claims: over": lambda secret: claimed({"iss": ISSUER, "sub": secret, "exp": NOW}),
    "claims: bound": lambda secret: claimed({"iss": ISSUER, "sub": "a", "exp": NOW + 60, "cnf": {"jkt": secret}}),
}
"""Requests that are refused for what is odd about a credential."""

secrets = st.text(string.ascii_lowercase + string.digits, min_size=11, max_size=40).map(lambda text: "k7" + text)


def record_of(sent: Sent) -> DecisionRecord:
    """The record of a request that was answered."""

    async def introspect(_: Lookup) -> Answer:
        return Introspected(response=sent.introspected, asked_at=NOW)

    async def review(_: Lookup) -> Answer:
        return sent.reviewed

    records = Records()
    checker = Checker(
        Ruling(
            policies=load_text(POLICY, "all.yaml"),
            resolver=Resolver(
                IdentitySettings.model_validate(IDENTITY),
                ClientSettings(),
                {BUNDLE_NAME: bundle(ISSUING), "idp": ISSUING.jwks},
            ),
        ),
        Surroundings(
            clock=lambda: int(NOW * 1e9),
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=MemoryStore(),
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(NOW))),
            recorder=records,
            inquiries=Inquiries({Introspect: introspect, ReviewToken: review}),
        ),
    )
    started = checker.start(
        check_request(
            host="shop.example.com",
            path="/",
            headers=dict(sent.headers),
            principal=sent.principal,
            certificate=sent.certificate,
            metadata=dict(sent.metadata),
        )
    )
    if not isinstance(started, bytes):
        asyncio.run(checker.finish(started, deadline=None))
    (record,) = records.kept
    return record


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@settings(max_examples=3, deadline=None)
@given(secret=secrets)
def test_no_value_of_a_refused_credential_is_ever_in_its_record(odd: Odd, secret: str) -> None:
    record = record_of(odd(secret))
    assert isinstance(record.decision, Deny)
    assert record.decision.reason in {"invalid-token", "malformed-request", "identity-conflict"}
    text = msgspec.json.encode(line_of(record, Keep())).decode()
    assert '"detail":"' in text
    assert secret[:10] not in text
    assert base64(secret)[:12] not in text


def test_a_request_with_none_of_them_is_allowed() -> None:
    # What is refused above is refused for what is odd.
    assert not isinstance(record_of(Sent()).decision, Deny)
    for good in (
        Sent(principal=WEB, certificate=copied(LEAF), headers={"client-cert": handed(LEAF)}),
        proven(CLIENT.proof(BOUND, now=NOW)),
        workload(svid(ISSUING, "k"), principal=WEB),
        account(Reviewed(authenticated=True, username="system:serviceaccount:shop:web", audiences=("extauthz",))),
        asked(),
        claimed({"iss": ISSUER, "sub": "u1", "exp": NOW + 60}),
    ):
        assert not isinstance(record_of(good).decision, Deny)
