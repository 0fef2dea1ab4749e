"""What state costs: a look-up, and whole decisions that rest on grants, on each store.

python bench/state.py [--json FILE] [--check]

The Redis is one that this starts, on loopback TCP; without `redis-server` it is left out. Beside it stands what a bare
round trip to it costs from Python: PING on one connection.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from redis.asyncio.connection import Connection

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.holders import holders, session_of_sid
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load_text
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.open import open_store
from extauthz.store.protocol import MOST_GRANTS, Redeemed, Redemption, SpentTicket, Store
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.wire.compose import check_request

CALLS = 1_500
PATIENCE = 5.0
"""Seconds that a call to the Redis may take: a machine that is busy shall be measured, too."""
ROUNDS = 5
MAX_P50_US = {"redis: decision on a grant": 500.0}
"""One round trip; see docs/performance.md."""
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: [payments.example.com]
  rules:
    - {name: user, paths: ["/v1/**"], when: has(user.sub), effect: allow}
    - {name: confirm, paths: ["/v1/confirmed"], effect: challenge, challenge: {factors: [totp], max_age: 5m}}
    - {name: other, paths: ["/v1/unconfirmed"], effect: challenge, challenge: {factors: [totp], max_age: 5m}}
    - {name: spend, paths: ["/v1/counted"], effect: challenge, challenge: {factors: [totp], max_age: 5m}}
"""
ISSUER = "https://idp.example.com"
ALICE = Subject(ISSUER, "alice")
FLOODER = Subject(ISSUER, "mallory")
SESSION = session_of_sid(ISSUER, "s1")
WORKLOAD = "spiffe://prod.example.org/ns/shop/sa/web"
_HOLDER = "peer:"

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Microseconds."""

    p50: float
    p99: float


def signer() -> tuple[str, str]:
    """A JWK Set, and a token of Alice by its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "shop", "sub": ALICE.id, "iat": now, "exp": now + 3600, "sid": "s1"}
    return json.dumps({"keys": [jwk]}), jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})


def payload(path: str, token: str, number: int = 0) -> bytes:
    """A Check of Alice's workload with her token; those of one number are one Check sent again."""
    return check_request(
        id=f"request-{number}",
        time=(1_790_000_000, number + 1),
        method="POST",
        host="payments.example.com",
        path=path,
        headers={"authorization": f"Bearer {token}"},
        source_ip="10.1.2.3",
        principal=WORKLOAD,
    )


@contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """The address of a Redis that is there for this, `None` if there is no `redis-server`."""
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([command, *options], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def checker_over(store: Store, jwks: str) -> tuple[Checker, RevocationFeed]:
    """A whole checker; nothing is recorded."""
    source = {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "-"}
    feed = RevocationFeed(store, max_staleness=inf)
    return Checker(
        Ruling(
            policies=load_text(POLICY),
            resolver=Resolver(IdentitySettings.model_validate({"users": [source]}), ClientSettings(), {"idp": jwks}),
        ),
        Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=store,
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
            revocations=feed,
        ),
    ), feed


def proven(rule: str, uses: int | None) -> Redemption:
    """A grant of Alice for this rule, held by her workload at her address."""
    now = time.time()
    (holder,) = (
        one
        for one in holders(workload=WORKLOAD, certificate="", key="", address="10.1.2.3", secret=None)
        if one.startswith(_HOLDER)
    )
    grant = Grant(
        id=rule,
        subject=ALICE,
        session=SESSION,
        holder=holder,
        binding=f"action:payments/{rule}",
        rule=f"payments/{rule}",
        factor="otp",
        issued_at=now,
        expires_at=now + 300,
        uses=uses,
    )
    ticket = SpentTicket(id=rule, expires_at=now + 300)
    return Redemption(subject=ALICE, burn=None, grants=(grant,), ticket=ticket)


async def flood(store: Store) -> None:
    """Let one user prove so much that older grants go."""
    (grant,) = proven("confirm", None).grants
    for number in range(MOST_GRANTS + 10):
        one = replace(grant, id=f"flood {number}", subject=FLOODER, issued_at=grant.issued_at + number)
        ticket = SpentTicket(id=one.id, expires_at=one.expires_at)
        left = Redemption(subject=FLOODER, burn=None, grants=(one,), ticket=ticket)
        assert await store.redeem(left, now=time.time()) is Redeemed.DONE


async def cases(store: Store, jwks: str, token: str) -> dict[str, Call]:
    """What is measured on one store, each once tried."""
    checker, feed = checker_over(store, jwks)
    await feed.load()
    for redemption in (proven("confirm", None), proven("spend", 1_000_000)):
        assert await store.redeem(redemption, now=time.time()) is Redeemed.DONE

    await flood(store)

    async def decide(request: bytes) -> bytes:
        started = checker.start(request)
        assert not isinstance(started, bytes), CheckResponse.FromString(started)
        answered = await checker.finish(started, deadline=None)
        assert isinstance(answered, bytes)
        return answered

    for path, code in (("/v1/confirmed", 0), ("/v1/counted", 0), ("/v1/unconfirmed", 16)):
        answer = CheckResponse.FromString(await decide(payload(path, token)))
        assert answer.status.code == code, (path, answer)
    confirmed, unconfirmed = payload("/v1/confirmed", token), payload("/v1/unconfirmed", token)
    counted = iter([payload("/v1/counted", token, number) for number in range(1, CALLS + 1)])
    return {
        "look-up": lambda: store.look_up(ALICE, SESSION, fingerprint="f", now=time.time()),
        "decision on a grant": lambda: decide(confirmed),
        "decision that uses a grant up": lambda: decide(next(counted)),
        "challenge opened": lambda: decide(unconfirmed),
        f"look-up of {MOST_GRANTS} grants, the most": lambda: store.look_up(
            FLOODER, SESSION, fingerprint="f", now=time.time()
        ),
    }


async def measure(calls: Mapping[str, Call]) -> dict[str, Figures]:
    """One call after the other, rounds interleaved so that a drift of the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(CALLS // ROUNDS):
                began = time.perf_counter()
                await call()
                times[name].append((time.perf_counter() - began) * 1e6)
    return {
        name: Figures(p50=sorted(taken)[len(taken) // 2], p99=sorted(taken)[len(taken) * 99 // 100])
        for name, taken in times.items()
    }


async def run(stores: Mapping[str, str], folder: Path) -> dict[str, Figures]:
    """The figures of each case on each store."""
    jwks, token = signer()
    calls: dict[str, Call] = {}
    opened = {name: open_store(url, base=folder, patience=PATIENCE) for name, url in stores.items()}
    for name, store in opened.items():
        calls |= {f"{name}: {case}": call for case, call in (await cases(store, jwks, token)).items()}
    bare = Connection(port=int(stores["redis"].rpartition(":")[2]), protocol=2) if "redis" in stores else None
    if bare is not None:
        await bare.connect()  # type: ignore[no-untyped-call]  # redis-py declares no return

        async def ping() -> None:
            await bare.send_command("PING")
            await bare.read_response()

        calls["redis: bare PING"] = ping
    figures = await measure(calls)
    if bare is not None:
        await bare.disconnect()
    for store in opened.values():
        await store.close()
    return figures


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        stores = {"memory": "memory:", "sqlite": "sqlite:///bench.db"}
        if redis is not None:
            stores["redis"] = redis
        figures = asyncio.run(run(stores, Path(folder)))
    print(f"{'':42} {'p50 µs':>8} {'p99 µs':>8}")
    for name, one in figures.items():
        print(f"{name:42} {one.p50:8.0f} {one.p99:8.0f}")
    if options.json:
        options.json.write_text(json.dumps({name: {"p50": one.p50, "p99": one.p99} for name, one in figures.items()}))
    missed = [name for name, most in MAX_P50_US.items() if name in figures and figures[name].p50 > most]
    for name in missed:
        print(f"missed: {name}: {figures[name].p50:.0f} µs at p50, not {MAX_P50_US[name]:.0f}")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
