"""A checker that asks: real policies, tokens, sites and questions, wired as the server wires them."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from checking import told
from cryptography.hazmat.primitives.asymmetric import ec
from finishing import finished
from jwt.algorithms import ECAlgorithm

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.informants import Informants
from extauthz.app.wiring import make_resolver
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.lookup.key_sets import Pace
from extauthz.policy.load import load_text
from extauthz.settings import Settings, load_settings
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.wire.compose import check_request

ISSUER = "https://idp.example.com"
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: users, paths: ["/**"], when: has(user.sub), effect: allow}
"""
QUICK = Pace(shortest=0.05, usual=0.05, longest=0.05, first_retry=0.02, longest_retry=0.05, between_provoked=0.05)
"""Asks again at once."""
SLOW = Pace(shortest=3600.0, usual=3600.0, first_retry=3600.0, longest_retry=3600.0)
"""Asks by itself only once, at the start."""


@dataclass(frozen=True)
class SigningKey:
    """A key of an issuer."""

    kid: str
    private: ec.EllipticCurvePrivateKey

    @property
    def jwk(self) -> dict[str, Any]:
        public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def token(self, **claims: object) -> str:
        now = int(time.time())
        good = {"iss": ISSUER, "aud": "shop", "sub": "u1", "iat": now, "exp": now + 600}
        return jwt.encode({**good, **claims}, self.private, algorithm="ES256", headers={"kid": self.kid})


def new_key(kid: str) -> SigningKey:
    return SigningKey(kid, ec.generate_private_key(ec.SECP256R1()))


def key_set(*keys: SigningKey) -> str:
    return json.dumps({"keys": [key.jwk for key in keys]})


def settings_of(folder: Path, users: Sequence[Mapping[str, object]]) -> Settings:
    """The settings of a configuration in `folder` with these sources of users."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "site.yaml").write_text(POLICY)
    config = {"policies": ["policies/"], "store": "memory:", "identity": {"users": users}}
    (folder / "extauthz.yaml").write_text(json.dumps(config))
    return load_settings(folder / "extauthz.yaml")


def source(name: str = "idp", **fields: object) -> dict[str, object]:
    return {"name": name, "issuer": ISSUER, "audiences": ["shop"], "algorithms": ["ES256"], **fields}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in other threads; bounded by the test's timeout."""
    while not condition():  # noqa: ASYNC110 - no thread can set an event of asyncio
        await asyncio.sleep(0.01)


@dataclass
class Asking:
    """A checker and whom it asks, in an event loop that runs."""

    settings: Settings
    checker: Checker
    informants: Informants

    async def reason(self, token: str) -> str:
        """Why a request with this token is answered as it is: `allowed`, `invalid-token`, …"""
        request = check_request(
            host="shop.example.com", path="/x", headers={"authorization": f"Bearer {token}"}, source_ip="192.0.2.1"
        )
        opened = self.checker.start(request)
        answer = opened if isinstance(opened, bytes) else await finished(self.checker, opened, deadline=None)
        return told(CheckResponse.FromString(answer))["reason"]

    def answers_at_once(self, token: str) -> bool:
        """Whether a request with this token asks nobody."""
        request = check_request(
            host="shop.example.com", path="/x", headers={"authorization": f"Bearer {token}"}, source_ip="192.0.2.1"
        )
        return isinstance(self.checker.start(request), bytes)

    async def until(self, token: str, reason: str) -> None:
        """Ask until the answer is this; bounded by the test's timeout."""
        while await self.reason(token) != reason:  # noqa: ASYNC110 - what it waits for are other people's answers
            await asyncio.sleep(0.01)

    def result(self, name: str = "idp") -> dict[str, int]:
        """How the fetches ended, without what never happened."""
        return {str(result): count for result, count in self.informants.keys.standings[name].fetches.items() if count}


@asynccontextmanager
async def asking(
    settings: Settings, *, pace: Pace = SLOW, follow: bool = True, policy: str = POLICY
) -> AsyncIterator[Asking]:
    """As the server does it; `follow` keeps what is learnt new."""
    informants = Informants(settings.identity, base=settings.base, pace=pace)
    checker = Checker(
        Ruling(policies=load_text(policy, "site.yaml"), resolver=make_resolver(settings)),
        Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=MemoryStore(),
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
            inquiries=informants.inquiries,
        ),
    )
    informants.serve(checker)
    following = asyncio.create_task(informants.follow()) if follow else None
    try:
        yield Asking(settings, checker, informants)
    finally:
        if following is not None:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        await informants.close()
