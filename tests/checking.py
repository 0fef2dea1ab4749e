"""A whole checker without a socket: real policies, tokens, keys and store; only clocks and records are the test's."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NoReturn, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from finishing import finished
from jwt.algorithms import ECAlgorithm
from kept_records import Records

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.activity import Activities
from extauthz.check.checker import Checker
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.identity.revocations import Kind, Revocation
from extauthz.policy.load import load_text
from extauthz.stepup.keys import SECRET_BYTES as KEY_BYTES
from extauthz.stepup.keys import generate_key, parse_keys
from extauthz.stepup.totp import SECRET_BYTES, code_at, step_at
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment, Store
from extauthz.values.identity import Subject
from extauthz.wire.compose import check_request

Run = Callable[[Coroutine[Any, Any, Any]], Any]

ISSUER = "https://idp.example.com"
SECRET = os.urandom(SECRET_BYTES)
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: ["payments.example.com"]
  variables: {amount: double(request.query.amount)}
  rules:
    - name: health
      paths: ["/health"]
      effect: allow
    - name: users-may-pay
      methods: [POST]
      paths: ["/pay"]
      when: has(user.sub)
      effect: allow
      allow: {headers: {x-authz-subject: user.sub}}
    - name: large
      paths: ["/pay"]
      when: variables.amount > 1000.0
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - name: once
      paths: ["/pay"]
      when: has(request.query.once)
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: request}
    - name: crash
      paths: ["/crash"]
      when: "1 / int(request.query.by) > 0"
      effect: deny
"""


class _Faulty:
    """An index of rules with a bug."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def position(self, _: object) -> NoReturn:
        raise self._error


@dataclass(kw_only=True)
class Bench:
    """The checker under test, and hands to drive it. `elapsed` is what the feed of revocations and the activities take
    for their clock, `run` what runs the checker to its end."""

    checker: Checker
    surroundings: Surroundings
    store: Store
    feed: RevocationFeed
    activities: Activities
    elapsed: list[float]
    records: Records
    run: Run
    sign: Callable[[Mapping[str, Any]], str]
    now: list[float] = field(default_factory=lambda: [time.time()])
    sequence: list[int] = field(default_factory=lambda: [0])

    def token(self, sub: str = "alice", **claims: object) -> str:
        now = int(self.now[0])
        return self.sign(
            {"iss": ISSUER, "aud": "shop", "sub": sub, "iat": now, "exp": now + 600, "sid": "s1", **claims}
        )

    def request(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        source_ip: str = "203.0.113.9",
        request_id: str | None = None,
        time: tuple[int, int] = (0, 0),
        body: bytes | None = None,
        method: str = "POST",
    ) -> bytes:
        """A POST to the payments host as Envoy would send it; each has an id of its own unless one is given."""
        self.sequence[0] += 1
        return check_request(
            method=method,
            host="payments.example.com",
            path=path,
            headers=dict(headers or {}),
            body=body,
            source_ip=source_ip,
            time=time,
            id=request_id or f"r-{self.sequence[0]}",
        )

    def as_user(self, path: str, *, code: str | None = None, **headers: str) -> bytes:
        sent = {"authorization": f"Bearer {self.token()}", **headers}
        if code is not None:
            sent["x-extauthz-otp"] = code
        return self.request(path, headers=sent)

    def decide_by(self, policy: str) -> None:
        """Let another policy decide from now on."""
        self.checker.swap(replace(self.checker.ruling, policies=load_text(policy)))

    def decide_wrongly(self, error: Exception) -> None:
        """Let the policies have a bug from now on."""
        ruling, faulty = self.checker.ruling, cast("Any", _Faulty(error))
        self.checker.swap(replace(ruling, policies=replace(ruling.policies, index=faulty)))

    def have_no_words(self) -> None:
        """Let the policies set a header from now on whose name is no text, so that no answer can be encoded."""
        ruling = self.checker.ruling
        nameless: frozenset[Any] = frozenset({None})
        self.checker.swap(replace(ruling, policies=replace(ruling.policies, settable_headers=nameless)))

    def replica(self, store: Store) -> "Bench":
        """Another server with the same configuration; `store` is what it calls the state that they share."""
        activities = Activities(store, touch_every=60, keep=30 * 86400, clock=lambda: self.elapsed[0])
        surroundings = replace(self.surroundings, store=store, activities=activities)
        checker = Checker(self.checker.ruling, surroundings)
        return replace(self, checker=checker, surroundings=surroundings, store=store, activities=activities)

    def revoke(self, kind: Kind, subject: Subject, id_: str = "", *, until: float = inf) -> None:
        """Revoke in the store, and let the checker learn of it."""
        revocation = Revocation(kind=kind, subject=subject, id=id_, at=self.now[0], until=until)
        asyncio.run(self.store.put_revocation(revocation, now=self.now[0]))
        asyncio.run(self.feed.load())

    def code(self) -> str:
        return code_at(SECRET, step_at(self.now[0]))

    def answer(self, payload: bytes, *, deadline: float | None = None) -> CheckResponse:
        started = self.checker.start(payload)
        answered = (
            started if isinstance(started, bytes) else self.run(finished(self.checker, started, deadline=deadline))
        )
        return CheckResponse.FromString(answered)

    def decision(self, payload: bytes, *, deadline: float | None = None) -> tuple[str, str, int]:
        """(decision, reason, gRPC status) of the answer, after a look at its form."""
        response = self.answer(payload, deadline=deadline)
        assert response.WhichOneof("http_response") == (
            "ok_response" if response.status.code == 0 else "denied_response"
        )
        said = told(response)
        return said["decision"], said["reason"], response.status.code


def beginning_with(start: Callable[..., object], checker: Checker) -> Checker:
    """The checker with another `start`: nothing can be put in the place of what is compiled."""

    class Beginning:
        def __init__(self) -> None:
            self.start = start

        def __getattr__(self, name: str) -> object:
            return getattr(checker, name)

    return cast("Checker", Beginning())


def told(response: CheckResponse) -> dict[str, str]:
    """What the answer tells Envoy's access log."""
    fields = response.dynamic_metadata.fields["extauthz"].struct_value.fields
    return {name: value.string_value for name, value in fields.items()}


def make_bench(store: Store, run: Run = asyncio.run) -> Bench:
    """A checker over `store` with one enrolled user, `alice`."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
    source = {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "-", "from": ["authorization"]}
    settings = IdentitySettings.model_validate({"users": [source]})
    keys = parse_keys(generate_key(os.urandom(KEY_BYTES), created=int(time.time())))
    records = Records()
    now, elapsed = [time.time()], [0.0]
    feed = RevocationFeed(store, max_staleness=60, now=lambda: now[0], clock=lambda: elapsed[0])
    run(feed.load())
    activities = Activities(store, touch_every=60, keep=30 * 86400, clock=lambda: elapsed[0])
    surroundings = Surroundings(
        clock=lambda: int(now[0] * 1e9),
        monotonic=time.monotonic,
        entropy=os.urandom,
        store=store,
        keys=keys,
        recorder=records,
        revocations=feed,
        activities=activities,
    )
    ruling = Ruling(
        policies=load_text(POLICY, "payments.yaml"),
        resolver=Resolver(settings, ClientSettings(), {"idp": json.dumps({"keys": [jwk]})}),
    )
    alice = Subject(ISSUER, "alice")
    factor = seal_factor(SECRET, subject=alice, confirmed=True, keys=keys, now=now[0], entropy=os.urandom)
    run(store.enroll(Enrolment(subject=alice, factors=(factor,)), now=now[0]))
    return Bench(
        checker=Checker(ruling, surroundings),
        surroundings=surroundings,
        store=store,
        feed=feed,
        activities=activities,
        elapsed=elapsed,
        records=records,
        run=run,
        sign=lambda claims: jwt.encode(dict(claims), key, algorithm="ES256", headers={"kid": "k1"}),
        now=now,
    )
