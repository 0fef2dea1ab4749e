"""What is fuzzed: a whole checker in this process, with keys, users of three kinds, workloads and policies that read
every view of a request. Its clock stands still and its store is empty, so that an answer depends on its bytes alone."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from finishing import finished
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from identity.issuer import Issuer
from identity.possession import Client
from kept_records import Records

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.identity.workload import NO_FILES, WorkloadFiles
from extauthz.policy.load import load_text
from extauthz.record.decision import DecisionRecord
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.open import open_store
from extauthz.wire.reading import STRICT, Reading

NOW = 1_790_000_000.0
ISSUER = "https://idp.example.com"
AUDIENCE = "shop"
HOST = "app.example"
COOKIE = "session"
NAMESPACE, KEY = "envoy.filters.http.jwt_authn", "payload"
DOMAIN = "prod.example.org"
WEB = f"spiffe://{DOMAIN}/ns/shop/sa/web"

Option = TypeVar("Option")
_LONG = os.environ.get("FUZZ_EXAMPLES")


def bounded(examples: int) -> settings:
    """As many examples, always the same ones; or what FUZZ_EXAMPLES says, and new ones each time (`make fuzz`)."""
    return settings(
        max_examples=int(_LONG) if _LONG else examples,
        derandomize=not _LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


def evenly(options: Sequence[Option]) -> st.SearchStrategy[Option]:
    """One of many that are all as likely; `sampled_from` likes the first ones."""
    return st.integers(0, 2**64 - 1).map(
        lambda seed: options[int.from_bytes(sha256(seed.to_bytes(8, "big")).digest()[:8], "big") % len(options)]
    )


def _private(text: str) -> ec.EllipticCurvePrivateKey:
    """A key that is the same in every run."""
    return ec.derive_private_key(int.from_bytes(sha256(text.encode()).digest(), "big") >> 1, ec.SECP256R1())


ISSUER_KEYS = Issuer(keys={"k1": _private("k1"), "k2": _private("k2")}, algorithms={"k1": "ES256", "k2": "ES256"})
STRANGER = _private("stranger")
CLIENT = Client(_private("client"))

IDENTITY: Mapping[str, Any] = {
    "workload": {"trust_domains": [DOMAIN], "sources": ["source_principal", "xfcc"]},
    "users": [
        {
            "name": "idp",
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "jwks": "-",
            "algorithms": ["ES256"],
            "from": ["authorization", f"cookie:{COOKIE}"],
        },
        {"name": "edge", "issuer": ISSUER, "from": [f"metadata:{NAMESPACE}/{KEY}"]},
    ],
}


def _rule(name: str, effect: str = "allow", **fields: Any) -> dict[str, Any]:
    return {"name": name, "effect": effect, **fields}


DOCUMENTS: tuple[Mapping[str, Any], ...] = (
    {
        "apiVersion": "extauthz/v1",
        "kind": "Policy",
        "metadata": {"name": "app"},
        "spec": {
            "hosts": [HOST, f"*.{HOST}"],
            "rules": [
                _rule("open", paths=["/open/**"]),
                _rule("closed", "deny", paths=["/open/closed/**", "/*/closed"]),
                _rule("self", paths=["/users/{name}"], when="user.sub == request.params.name"),
                _rule("staff", paths=["/staff/*"], methods=["GET", "POST"], when="'staff' in user.groups"),
                _rule("frozen", "deny", paths=["/**"], when="has(user.sub) && user.sub == 'mallory'"),
                _rule("mesh", paths=["/mesh/**"], workloads=[f"spiffe://{DOMAIN}/ns/shop/sa/*"]),
                _rule("gold", paths=["/gold"], when="request.headers['x-tier'] == 'gold'"),
                _rule("query", paths=["/query"], when="int(request.query.amount) <= 10"),
                _rule("json", paths=["/json"], when="request.json.amount <= 10"),
                _rule("form", paths=["/form"], when="int(request.form.amount) <= 10"),
                _rule("parts", paths=["/parts"], when="int(request.multipart.amount) <= 10"),
                _rule("call", paths=["/bank.Ledger/Book"], when="request.grpc.amount <= 10"),
                _rule("tenant", paths=["/tenant"], when="context.tenant == user.claims.tenant"),
                _rule("noted", paths=["/noted"], when="metadata.app.level == 'high'"),
                _rule("digits", paths=["/digits"], when="string(request.body).matches('^[0-9]{1,9}$')"),
                _rule("listed", paths=["/listed"], when="request.json.all(i, i < 10)"),
                _rule("pay", paths=["/pay"], when="has(user.sub)"),
                _rule("prove", "challenge", paths=["/pay"], challenge={"factors": ["totp"], "bind": "request"}),
            ],
        },
    },
    {
        "apiVersion": "extauthz/v1",
        "kind": "Policy",
        "metadata": {"name": "wire"},
        "spec": {"rules": [_rule("tcp", tcp=True, when="!has(request.method) && source.ip == '10.0.0.1'")]},
    },
)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What was said; `rule` decided it, `record` is what was kept of it."""

    response: CheckResponse
    reason: str
    rule: str | None
    record: DecisionRecord

    @property
    def allows(self) -> bool:
        return bool(self.response.status.code == 0)


class Target:
    """Answers Checks; everything that every answer must keep is asserted here."""

    def __init__(
        self,
        *,
        identity: Mapping[str, Any] = IDENTITY,
        jwks: Mapping[str, str] | None = None,
        files: WorkloadFiles = NO_FILES,
        reading: Reading = STRICT,
        now: float = NOW,
    ) -> None:
        keys = parse_keys(generate_key(bytes(range(SECRET_BYTES)), created=int(NOW)))
        self._records = Records()
        self._loop = asyncio.new_event_loop()
        self.checker = Checker(
            Ruling(
                policies=load_text(yaml.safe_dump_all(DOCUMENTS), "fuzz.yaml"),
                resolver=Resolver(
                    IdentitySettings.model_validate(identity),
                    ClientSettings(),
                    jwks or {"idp": ISSUER_KEYS.jwks},
                    files,
                ),
                reading=reading,
            ),
            Surroundings(
                clock=lambda: int(now * 1e9),
                monotonic=lambda: 0.0,
                entropy=lambda count: bytes(count),
                store=open_store("memory:", base=Path()),
                keys=keys,
                recorder=self._records,
            ),
        )
        self.binding_key = keys.binding_keys[-1]

    def close(self) -> None:
        self._loop.close()

    def said(self, payload: bytes) -> tuple[bytes, DecisionRecord]:
        """The bytes of the answer to any bytes, and the record of it."""
        started = self.checker.start(payload)
        answer = (
            started
            if isinstance(started, bytes)
            else self._loop.run_until_complete(finished(self.checker, started, deadline=None))
        )
        return answer, self._records.kept.pop()

    def answer(self, payload: bytes) -> Answered:
        """The answer to any bytes: explicit, consistent, and no fault of ours."""
        answer, record = self.said(payload)
        response = CheckResponse.FromString(answer)
        said = response.dynamic_metadata.fields["extauthz"].struct_value.fields
        decision, reason = said["decision"].string_value, said["reason"].string_value
        allows = response.status.code == 0
        assert response.WhichOneof("http_response") == ("ok_response" if allows else "denied_response")
        assert (decision == "allow") == allows
        assert reason not in ("", "internal-error", "response-invalid"), json.dumps([reason, record.detail])
        if not allows:
            status = response.denied_response.status.code
            # A refusal that gRPC-Web reads is in its own status.
            own = [option for option in response.denied_response.headers if option.header.key == "grpc-status"]
            assert 300 <= status <= 599 or (status == 200 and own)
        for options in (response.ok_response.headers, response.denied_response.headers):
            for option in options:
                assert not set("\r\n\0") & set(option.header.value)
        return Answered(response=response, reason=reason, rule=record.decision.rule, record=record)
