"""What calls cost that are held for an approval: memory of each, and how soon an answer wakes one on another replica.

python bench/holding.py [--json FILE] [--check] [--calls N]

The servers run on the pyvoy transport; each call waits for an approval of its own. What
is counted is resident memory of all processes of a server whose approvals lie in SQLite. A wake is timed between two
replicas on a Redis that this starts, from when the vote is sent to one until the call on the other is answered.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import grpc
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bench.harness.proc import family, memory
from bench.harness.servers import TRANSPORTS, Yard, free_address, serve_command, serves
from bench.noop import CHECK
from bench.state import redis_server
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.key_file import load_or_make_keys
from extauthz.cli.quickstart.processes import Child, Processes
from extauthz.wire.compose import check_request

CALLS = 10_000
WAKES = 60
WORKLOADS, WARM_UP = 1_000, 300
"""Who calls, and calls that are held before memory is looked at: what is remembered of callers is no part of a call."""
MOST_KB = 25.0
MOST_P95_MS = 100.0
HOLD = 110
"""Seconds that a call is held, and so what all of them have to begin in."""
CHANNELS = 16
AT_ONCE, LOOK = 8, 0.03
"""Calls that are being asked at a time, and the seconds after which one that is not answered is taken to be held."""
BUSY = {"overloaded", "state-unavailable"}
"""What a call is answered on a machine that is too busy just then, for itself or for its Redis."""
PEOPLE = "https://people.example.com"
POLICY = f"""
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: payments}}
spec:
  hosts: [payments.example.com]
  rules:
    - {{name: shop, workloads: ["spiffe://prod.example.org/**"], effect: allow}}
    - name: four-eyes
      paths: ["/held/{{number}}"]
      effect: approve
      approve:
        {{approvers: {{groups: [treasury]}}, hold: {HOLD}s, expires_in: 15m, bind: {{scope: [request.params.number]}}}}
"""
CONFIG = """
listen: {{grpc: "{grpc}", web: "127.0.0.1:0", admin: "127.0.0.1:0", approvals: "{approvals}"}}
policies: [policies/]
reload: {{watch: false}}
store: "{store}"
identity:
  workload: {{trust_domains: [prod.example.org], sources: [xfcc], xfcc: {{accept: last, without_principal: true}}}}
approvals:
  holding: {{at_once: 11000}}
  tokens: {{issuer: "{people}", audiences: [approvals], algorithms: [ES256], jwks: people.json}}
"""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One server, and where it answers calls and approvers."""

    address: str
    approvals: str
    child: Child

    def megabytes(self) -> float:
        """The resident memory of its processes."""
        return sum(memory(pid).resident for pid in family(self.child.process.pid))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`held` calls at `kb` each above idle; `wakes` in milliseconds, in order."""

    held: int
    kb: float
    wakes: Sequence[float]

    @property
    def p95(self) -> float:
        return quantiles(self.wakes, n=20)[-1] if len(self.wakes) > 1 else float("inf")


class People:
    """Who approves, by tokens of a key of their own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> str:
        """The public key."""
        jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**jwk, "kid": "p1", "alg": "ES256", "use": "sig"}]})

    def headers(self) -> dict[str, str]:
        """Those of somebody of the treasury."""
        now = int(time.time())
        claims = {
            "iss": PEOPLE,
            "aud": "approvals",
            "sub": "anna",
            "groups": ["treasury"],
            "iat": now,
            "exp": now + 900,
        }
        return {"authorization": "Bearer " + jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": "p1"})}


def start(yard: Yard, name: str, store: str, people: People) -> Replica:
    """A server on pyvoy, with this store."""
    address, approvals = free_address(), free_address()
    site = yard.folder / name
    (site / "policies").mkdir(parents=True)
    (site / "policies" / "policy.yaml").write_text(POLICY)
    (site / "people.json").write_text(people.jwks())
    # The replicas must seal and bind by the same keys.
    (site / "keys.json").symlink_to(yard.folder / "keys.json")
    config = site / "extauthz.yaml"
    config.write_text(CONFIG.format(grpc=address, approvals=approvals, store=store, people=PEOPLE))
    (pyvoy,) = (one for one in TRANSPORTS if one.name == "pyvoy")
    child = yard.start(name, serve_command(pyvoy, config), lambda: serves(address))
    return Replica(address=address, approvals=approvals, child=child)


def payload(number: int) -> bytes:
    """The Check with this number, of one of so many workloads: some 1,100 bytes, as a gateway sends them."""
    workload = f"spiffe://prod.example.org/ns/shop/sa/web-{number % WORKLOADS}"
    return check_request(
        id=str(abs(number)),
        method="POST",
        host="payments.example.com",
        path=f"/held/{number}" if number >= 0 else "/",
        headers={
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0",
            "accept": "application/json",
            "accept-language": "en-GB,en;q=0.9,de;q=0.7",
            "accept-encoding": "gzip, deflate, br",
            "x-forwarded-proto": "https",
            "x-forwarded-for": "203.0.113.9",
            "x-forwarded-client-cert": f"Hash={'4' * 64};URI={workload}",
            "x-request-id": f"{abs(number):032x}",
            "traceparent": f"00-{abs(number):032x}-b7ad6b7169203331-01",
            "sec-fetch-mode": "cors",
            "cookie": "theme=dark; consent=all",
        },
        source_ip="10.1.2.3",
        source_port=1024 + abs(number) % 60_000,
        time=(1_790_000_000 + abs(number), 123_456_789),
    )


class Callers:
    """Calls to one replica, over several connections."""

    def __init__(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CHANNELS)]
        self._calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(CHECK) for channel in self._channels
        ]

    async def call(self, number: int) -> str:
        """Why the call with this number was answered as it was."""
        answer = await self._calls[number % CHANNELS](payload(number), timeout=HOLD + 10)
        told = CheckResponse.FromString(answer).dynamic_metadata.fields["extauthz"].struct_value.fields
        return told["reason"].string_value

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close(None)


async def open_approvals(client: httpx.AsyncClient, *, most: int) -> list[dict[str, object]]:
    """What waits, the newest first."""
    answered = await client.get("/v1/approvals", params={"status": "pending", "limit": most})
    found: list[dict[str, object]] = answered.raise_for_status().json()["approvals"]
    return found


async def wakes(one: Replica, other: Replica, people: People) -> list[float]:
    """Milliseconds from each vote on one replica until the call on the other is answered."""
    callers, found = Callers(other.address), []
    async with httpx.AsyncClient(base_url=f"http://{one.approvals}", headers=people.headers(), timeout=10) as client:
        for number in range(WAKES):
            call = asyncio.create_task(callers.call(1_000_000 + number))
            waiting: list[dict[str, object]] = []
            while not waiting:
                await asyncio.sleep(0.02)
                waiting = await open_approvals(client, most=1)
            await asyncio.sleep(0.02)  # until it is held for certain
            (approval,) = waiting
            voted = False
            while not voted:  # a busy machine can be too slow for its Redis: then nothing was voted
                began = time.perf_counter()
                answered = await client.post(f"/v1/approvals/{approval['id']}/approve", json={})
                voted = answered.status_code == 200
                if not voted and answered.status_code != 503:
                    answered.raise_for_status()
            reason = await call
            found.append((time.perf_counter() - began) * 1e3)
            assert reason == "allowed", reason
    await callers.close()
    return sorted(found)


async def held(server: Replica, calls: int) -> tuple[int, float]:
    """How many calls are held of so many, and the kB of each above idle."""
    callers, refused = Callers(server.address), Counter[str]()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        """Ask until it is held; what is refused at once, because others are being decided, is asked again."""
        while True:
            async with places:
                call = asyncio.create_task(callers.call(number))
                await asyncio.wait((call,), timeout=LOOK)
            reason = await call
            if reason not in BUSY:
                refused[reason] += 1
                return
            await asyncio.sleep(LOOK)

    for number in range(-WORKLOADS, 0):
        await callers.call(number)
    warm = [asyncio.create_task(one(2_000_000 + number)) for number in range(WARM_UP)]
    await asyncio.sleep(3)
    idle = server.megabytes()
    tasks = [asyncio.create_task(one(number)) for number in range(calls)]
    began, before = time.monotonic(), 0.0
    while time.monotonic() - began < HOLD - 20:
        await asyncio.sleep(1)
        now = server.megabytes()
        if now - before < 0.2 and time.monotonic() - began > calls * LOOK / AT_ONCE + 2:
            break
        before = now
    waiting = sum(not task.done() for task in tasks)
    kb = (server.megabytes() - idle) * 1e3 / max(waiting, 1)
    if refused:
        print("not held:", dict(refused))
    for task in (*warm, *tasks):
        task.cancel()
    await asyncio.gather(*warm, *tasks, return_exceptions=True)
    await callers.close()
    return waiting, kb


def measure(calls: int) -> Measured:
    """All of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        redis = stack.enter_context(redis_server(folder))
        if redis is None:
            sys.exit("holding: no `redis-server` here; install it to measure")
        yard = Yard(processes=stack.enter_context(Processes()), folder=folder, core=None)
        load_or_make_keys(folder / "keys.json", shared=False)
        people = People()
        one, other = (start(yard, name, redis, people) for name in ("one", "other"))
        times = asyncio.run(wakes(one, other, people))
        alone = start(yard, "alone", "sqlite:///held.db", people)
        count, kb = asyncio.run(held(alone, calls))
    return Measured(held=count, kb=kb, wakes=times)


def main() -> None:
    """Measure, and say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed, and name it")
    parser.add_argument("--calls", type=int, default=CALLS)
    options = parser.parse_args()
    found = measure(options.calls)
    rows = {
        "calls held at once": (float(found.held), None),
        "kB of each above idle": (found.kb, MOST_KB),
        "wake on another replica, p50, ms": (found.wakes[len(found.wakes) // 2], None),
        "wake on another replica, p95, ms": (found.p95, MOST_P95_MS),
    }
    for name, (value, most) in rows.items():
        print(f"{name:36} {value:10.1f}" + ("" if most is None else f"   (target at most {most:g})"))
    if options.json is not None:
        options.json.write_text(json.dumps({name: value for name, (value, _) in rows.items()}, indent=1) + "\n")
    missed = [name for name, (value, most) in rows.items() if most is not None and value > most]
    if found.held < options.calls:
        missed.append(f"only {found.held} of {options.calls} calls were held")
    if options.check and missed:
        sys.exit("holding: missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
