"""What a whole Check costs in one process, from bytes to bytes, beside the bare parse of the same bytes.

python bench/check.py [--json FILE] [--check]

Two tables. The first is of one small policy, by what is decided, without records. The second is of the allow that a
mesh asks for again and again, among few and many rules, with the record of each decision left in a queue for whoever
writes spans and audit: what these do with it is a matter of its own.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
import time
import timeit
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from statistics import median

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.check.activity import Activities
from extauthz.check.checker import Checker
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.identity.revocations import KINDS, Revocation
from extauthz.policy.load import load_text
from extauthz.record.brief import Decided
from extauthz.record.keeping import Record, Recorder
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.store.open import open_store
from extauthz.values.identity import Subject
from extauthz.wire.compose import check_request

ROUNDS = 25
CALLS = 1_000
MAX_RATIO = {"workload allowed": 30.0, "user allowed": 50.0}
"""Times the bare parse; see docs/performance.md."""
REVOKED = "user allowed, others revoked"
REVOCATIONS = 100_000
MAX_OF_REVOCATIONS = 1.1
"""Times the same with nothing revoked."""
MAX_US = {"workload by XFCC": 15.0, "user by a cached JWT": 20.0}
"""Of the second table, among the few rules."""
MAX_OF_MANY = 1.4
"""Times what the same among the few rules may take. Times what it does take would be missed by each thing that spares
time and no access to memory, which is what many rules cost."""
FEW, MANY = 2, 400
"""Hosts, each with 25 rules on 10 routes."""
AMONG_MANY = ", among 10,000 rules"
QUEUE = 256
"""Records that wait, as long as a writer takes to come round."""
ISSUER = "https://idp.example.com"
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: [payments.example.com]
  variables: {amount: double(request.query.amount)}
  rules:
    - {name: reports, paths: ["/v1/reports"], workloads: ["spiffe://prod.example.org/ns/shop/sa/*"], effect: allow}
    - name: transfer
      methods: [POST]
      paths: ["/v1/accounts/{account}/transfers"]
      when: has(user.sub) && request.params.account.startsWith("a")
      effect: allow
      allow: {headers: {x-authz-subject: user.sub}}
    - name: frozen
      paths: ["/v1/accounts/{account}/**"]
      when: request.params.account in ["acc-13", "acc-14"]
      effect: deny
    - name: confirm
      paths: ["/v1/confirmed/transfers"]
      when: variables.amount > 1000.0
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - {name: confirmed, paths: ["/v1/confirmed/transfers"], effect: allow}
    - {name: watched, paths: ["/v1/watched"], when: session.idle < duration("15m"), effect: allow}
"""


FOR_WORKLOADS = """workloads: ["spiffe://prod.example.org/ns/*/sa/web"]
      when: request.params.account.startsWith("a")"""
FOR_USERS = """allow: {headers: {x-authz-subject: user.sub}}
      when: user.claims.tenant == "t1\""""
ROUTES = "".join(
    f"""
    - name: route-{number}
      methods: [POST]
      paths: ["/v1/r{number}/accounts/{{account}}/transfers"]
      effect: allow
      {FOR_WORKLOADS if number < 5 else FOR_USERS}
    - name: frozen-{number}
      paths: ["/v1/r{number}/accounts/{{account}}/**"]
      when: request.params.account in ["acc-13", "acc-{number}"]
      effect: deny"""
    for number in range(10)
)
"""Ten routes, five for workloads and five for users."""
HOST = """
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: p{0}}}
spec:
  hosts: [svc{0}.example.com]
  rules:{1}
    - {{name: no-debug, when: '"x-debug" in request.headers', effect: deny}}
    - {{name: namespaces, paths: ["/v1/**"], when: workload.namespace == "test", effect: deny}}
    - {{name: operators, workloads: ["spiffe://prod.example.org/ns/ops/sa/*"], effect: allow}}
    - {{name: deletes, methods: [DELETE], effect: challenge, challenge: {{factors: [totp], max_age: 5m}}}}
    - {{name: later, mode: shadow, paths: ["/v1/**"], when: request.method == "PUT", effect: deny}}
"""
"""25 rules, of which five are candidates of each request, each with a condition."""
CERTIFICATE = (
    "By=spiffe://prod.example.org/ns/pay/sa/api;"
    "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;"
    "URI=spiffe://prod.example.org/ns/shop/sa/web"
)


class Left(Recorder):
    """Where records wait for those who write them."""

    def __init__(self) -> None:
        self._queue: deque[Record] = deque(maxlen=QUEUE)

    @property
    def blocked(self) -> bool:
        """Never."""
        return False

    def record(self, record: Record) -> None:
        """Take one record."""
        self._queue.append(record)

    def commit(self, record: Decided) -> Future[None]:
        """No rule here asks for it."""
        raise NotImplementedError


def signer() -> tuple[str, str]:
    """A JWK Set, and a token of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "shop", "sub": "alice", "iat": now, "exp": now + 3600, "sid": "s1", "tenant": "t1"}
    return json.dumps({"keys": [jwk]}), jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})


def payload(
    path: str,
    token: str | None,
    *,
    host: str = "payments.example.com",
    certificate: str | None = None,
    number: int = 0,
) -> bytes:
    """A Check of about 1 KB from a workload, with a user's token and its certificate's header where there are any; each
    `number` is another request.
    """
    headers = {
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "accept": "application/json",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "203.0.113.9",
        "x-request-id": f"{number:08x}-6f2b-4a55-9c3e-2f6f5d7f6c11",
        "traceparent": f"00-0af7651916cd43dd8448eb21{number:08x}-b7ad6b7169203331-01",
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if certificate is not None:
        headers["x-forwarded-client-cert"] = certificate
    return check_request(
        id=str(9_713_526_382_617_712_390 + number),
        method="POST",
        host=host,
        path=path,
        headers=headers,
        source_ip="10.1.2.3",
        principal="spiffe://prod.example.org/ns/shop/sa/web",
        time=(1_790_000_000, 123_456_789),
        raw_headers=True,  # as the shipped configurations have them sent
    )


def many_revoked() -> RevocationFeed:
    """A feed that knows a lot about others."""
    store = MemoryStore()
    feed = RevocationFeed(store, max_staleness=float("inf"))

    async def fill() -> None:
        for number in range(REVOCATIONS):
            kind = KINDS[number % len(KINDS)]
            id_ = f"id-{number}" if kind in ("session", "token") else ""
            revocation = Revocation(kind=kind, subject=Subject(ISSUER, f"user-{number}"), id=id_, at=time.time())
            await store.put_revocation(revocation, now=time.time())
        await feed.load()

    asyncio.run(fill())
    return feed


def none_revoked() -> RevocationFeed:
    """A feed that has nothing to say."""
    feed = RevocationFeed(MemoryStore(), max_staleness=float("inf"))
    asyncio.run(feed.load())
    return feed


def cases(checker: Checker, wary: Checker, token: str) -> dict[str, Callable[[], object]]:
    """What is measured; the look-ups go to a real SQLite file. `wary` knows of many who are revoked."""
    loop = asyncio.new_event_loop()

    def whole(request: bytes, checker: Checker = checker) -> Callable[[], bytes]:
        def run() -> bytes:
            started = checker.start(request)
            if isinstance(started, bytes):
                return started
            answered = loop.run_until_complete(checker.finish(started, deadline=None))
            assert isinstance(answered, bytes)
            return answered

        return run

    reports, transfer = payload("/v1/reports", None), payload("/v1/accounts/a1/transfers?amount=5", token)
    return {
        "bare parse": lambda: CheckRequest.FromString(transfer),
        "workload allowed": whole(reports),
        "user allowed": whole(transfer),
        REVOKED: whole(transfer, wary),
        "user denied by a guard": whole(payload("/v1/accounts/acc-13/transfers", token)),
        "ambiguous path refused": whole(payload("/v1//reports", token)),
        "user allowed, grants looked up": whole(payload("/v1/confirmed/transfers?amount=5", token)),
        "user allowed, session looked up": whole(payload("/v1/watched", token)),
        "challenged, with a look-up": whole(payload("/v1/confirmed/transfers?amount=5000", token)),
    }


def traffic(hosts: int, token: str | None) -> Iterator[bytes]:
    """Checks for all hosts and routes, each of another account and trace: of users where there is a token, else of
    workloads.
    """
    chance = random.Random(7)  # noqa: S311 - the same traffic in each run, no secrets
    routes = range(5) if token is None else range(5, 10)
    for number in range(CALLS):
        host, route, account = chance.randrange(hosts), chance.choice(routes), chance.randrange(10**6)
        path = f"/v1/r{route}/accounts/a{account}/transfers?amount=5000"
        yield payload(path, token, host=f"svc{host}.example.com", certificate=CERTIFICATE, number=number)


def runs(few: Checker, many: Checker, token: str) -> dict[str, Callable[[], object]]:
    """The second table: each decides CALLS Checks, all of which are allowed."""

    def all_of(checker: Checker, checks: Sequence[bytes]) -> Callable[[], object]:
        for check in checks:
            answer = checker.start(check)
            assert isinstance(answer, bytes)
            assert CheckResponse.FromString(answer).status.code == 0
        return lambda: [checker.start(check) for check in checks]

    made: dict[str, Callable[[], object]] = {}
    for (name, _), sent in zip(MAX_US.items(), (None, token), strict=True):
        made[name] = all_of(few, [*traffic(FEW, sent)])
        made[f"{name}{AMONG_MANY}"] = all_of(many, [*traffic(MANY, sent)])
    return made


def measure_runs(made: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median microseconds of the processor for one Check; the runs take turns."""
    gc.collect()
    gc.freeze()  # as a server does with its policies
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(ROUNDS):
        for name, run in made.items():
            times[name].append(timeit.timeit(run, timer=time.process_time, number=1) / CALLS * 1e6)
    return {name: median(taken) for name, taken in times.items()}


def measure(steps: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median microseconds of each step, rounds interleaved so that a drift of the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(timeit.timeit(step, number=CALLS // 10) / CALLS * 1e7)
    return {name: median(taken) for name, taken in times.items()}


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    jwks, token = signer()
    source = {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "-"}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store("sqlite:///bench.db", base=Path(folder))
        ruling = Ruling(
            policies=load_text(POLICY),
            resolver=Resolver(IdentitySettings.model_validate({"users": [source]}), ClientSettings(), {"idp": jwks}),
        )
        surroundings = Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=store,
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
            revocations=none_revoked(),
            activities=Activities(store, touch_every=60.0, keep=86_400.0),
        )
        wary = Checker(ruling, replace(surroundings, revocations=many_revoked()))
        steps = cases(Checker(ruling, surroundings), wary, token)
        expected = {
            "workload allowed": 0,
            "user allowed": 0,
            REVOKED: 0,
            "user denied by a guard": 7,
            "user allowed, grants looked up": 0,
            "user allowed, session looked up": 0,
        }
        for name, code in expected.items():
            answer = steps[name]()
            assert isinstance(answer, bytes)
            assert CheckResponse.FromString(answer).status.code == code, name
        figures = measure(steps)
        leaving = replace(surroundings, recorder=Left())
        few, many = (
            Checker(
                replace(ruling, policies=load_text("---".join(HOST.format(host, ROUTES) for host in range(hosts)))),
                leaving,
            )
            for hosts in (FEW, MANY)
        )
        figures |= measure_runs(runs(few, many, token))
        asyncio.run(store.close())
    return report(figures, options)


def report(figures: Mapping[str, float], options: argparse.Namespace) -> int:
    """Print, write and judge."""
    base = figures["bare parse"]
    print(f"{'step':48} {'µs':>8} {'/ parse':>8} {'target µs':>10}")
    for name, taken in figures.items():
        print(f"{name:48} {taken:8.1f} {taken / base:8.1f} {MAX_US.get(name, ''):>10}")
    if options.json:
        options.json.write_text(json.dumps({name: {"us": us, "ratio": us / base} for name, us in figures.items()}))
    missed = [*misses(figures)]
    for one in missed:
        print(f"missed: {one}", file=sys.stderr)
    return 1 if options.check and missed else 0


def misses(figures: Mapping[str, float]) -> Iterator[str]:
    """Every target that was missed."""
    base = figures["bare parse"]
    for name, most in MAX_RATIO.items():
        if figures[name] / base > most:
            yield f"{name}: {figures[name] / base:.1f} times the bare parse, not {most:.0f}"
    if figures[REVOKED] / figures["user allowed"] > MAX_OF_REVOCATIONS:
        yield f"{REVOKED}: more than {MAX_OF_REVOCATIONS} times the same with nothing revoked"
    for name, most in MAX_US.items():
        if figures[name] > most:
            yield f"{name}: {figures[name]:.1f} µs, not {most:.0f}"
        taken, ratio = figures[name + AMONG_MANY], figures[name + AMONG_MANY] / figures[name]
        if taken > most * MAX_OF_MANY:
            limit = f"{most * MAX_OF_MANY:.0f}"
            yield f"{name}{AMONG_MANY}: {taken:.1f} µs, not {limit}; {ratio:.2f} times the same among 50"


if __name__ == "__main__":
    sys.exit(main())
