"""What runs: extauthz with two workers, Redis or SQLite, a receiver of spans, and Envoy with the shipped filter.

The rule: everything is as an operator would set it up. Envoy's listener is that of envoy/gateway.yaml but for TLS and
the timeout of a Check, and answers itself where a service would.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import jwt
import yaml
from grpc_health.v1 import health_pb2

from bench.harness.collector import Collector
from bench.harness.servers import Yard, free_address, listens
from extauthz.app.key_file import make_keys
from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.cli.quickstart.envoy import envoy_command, find_envoy
from extauthz.cli.quickstart.local_http import answers
from extauthz.cli.quickstart.processes import Child
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.stepup.totp import SECRET_BYTES
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment
from extauthz.values.identity import Subject

WORKERS: Final = 2
USERS: Final = 400
CHECK_SECONDS: Final = 3.0
"""As shipped it is 0.25; a loaded machine may stall for longer than that by itself."""
STALE: Final = 5
"""Seconds after which nobody who could be blocked is let through when the store is silent."""
HOLD: Final = 4
POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: soak}
spec:
  variables: {amount: "double(request.json.amount)"}
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: generation, paths: ["/gen/{n}"], when: request.params.n == "GENERATION", effect: allow}
    - name: people
      paths: ["/people", "/frozen", "/once/*", "/held/**"]
      when: has(user.sub)
      effect: allow
      allow: {headers: {x-authz-subject: user.sub}}
    - {name: frozen, paths: ["/frozen"], effect: deny, deny: {reason: account-frozen}}
    - name: once
      paths: ["/once/*"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: {scope: [request.path]}}
    - name: four-eyes
      paths: ["/held/pay/*"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: HOLDs, expires_in: 20s, cooldown: 1s, bind: request}
    - {name: small, methods: [POST], paths: ["/json"], when: variables.amount <= 1000.0, effect: allow}
    - {name: mesh, paths: ["/mesh"], workloads: ["spiffe://prod.example.org/ns/shop/sa/*"], effect: allow}
    - {name: connections, tcp: true, workloads: ["spiffe://prod.example.org/ns/shop/sa/*"], effect: allow}
"""
INSIDE: Final = Path(__file__).parent / "inside"
_SHIPPED: Final = Path(__file__).parents[2] / "envoy" / "gateway.yaml"
_Tree = dict[str, Any]


@dataclass(kw_only=True)
class Site:
    """What runs, and hands to break it. `generation` is what the policies in force allow."""

    folder: Path
    yard: Yard
    issuer: TokenIssuer
    approvers: TokenIssuer
    secrets: Mapping[str, bytes]
    transport: str
    redis_port: int | None
    collector_at: Collector
    front: str = ""
    generation: int = 1
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """That of the server."""
        return self.folder / "extauthz.yaml"

    def socket(self, name: str, worker: int) -> Path:
        """That on which this worker answers."""
        return self.folder / f"{name}.{worker}.sock"

    def write_policy(self, text: str | None = None) -> None:
        """Those of this generation, or another text."""
        policy = POLICY.replace("GENERATION", str(self.generation)).replace("HOLDs", f"{HOLD}s")
        _replace(self.folder / "policies" / "soak.yaml", policy if text is None else text)

    def write_jwks(self, *issuers: TokenIssuer) -> None:
        """The keys of the identity provider, one for each of these."""
        keys = [{**json.loads(one.jwks())["keys"][0], "kid": kid_of(one)} for one in issuers]
        _replace(self.folder / "jwks.json", json.dumps({"keys": keys}))

    def start_redis(self, *, wait: bool = True) -> None:
        """It keeps what it is told on disk, as it must where approvals and grants are to outlive it."""
        assert self.redis_port is not None
        command = [
            *(_redis(), "--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder / "redis")),
            *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
        ]
        place = f"127.0.0.1:{self.redis_port}"
        self.children["redis"] = self.yard.start("redis", command, lambda: not wait or listens(place))

    def start_collector(self, *, wait: bool = True) -> None:
        """At the same addresses each time."""
        at = self.collector_at
        command = [sys.executable, "-m", "bench.harness.collector", at.grpc, at.http]
        self.children["collector"] = self.yard.start("collector", command, lambda: not wait or listens(at.http))

    def start_server(self) -> None:
        """With its workers."""
        inside = self.folder / "inside"
        inside.mkdir(exist_ok=True)
        self.set_clock(0)
        python = os.pathsep.join([str(INSIDE), *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = {"PYTHONPATH": python, "SOAK_INSIDE": str(inside), **self.collector_at.over_grpc()}
        program: list[str | Path] = [Path(sys.executable).parent / "extauthz", "serve", "--config", self.config]
        command = [*program, "--transport", self.transport, "--workers", str(WORKERS)]
        self.children["extauthz"] = self.yard.start("extauthz", command, self.serves, variables=variables)

    def start_envoy(self) -> None:
        """The gateway."""
        admin = self.folder / "admin.sock"
        bootstrap = self.folder / "envoy.json"
        self.front = free_address()
        bootstrap.write_text(json.dumps(_gateway(self, admin)))
        command = envoy_command(find_envoy(), bootstrap)
        ready: Callable[[], bool] = lambda: admin.exists() and answers(admin, "/ready")  # noqa: E731 - typed
        self.children["envoy"] = self.yard.start("envoy", command, ready)

    def serves(self) -> bool:
        """Whether every worker does."""
        return all(
            self.socket("grpc", one).exists() and _health(f"unix:{self.socket('grpc', one)}") for one in range(WORKERS)
        )

    def set_clock(self, wrong_by: float) -> None:
        """Let the wall clock of the server be wrong by so many seconds."""
        _replace(self.folder / "inside" / "clock", str(wrong_by))

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`extauthz` with these words, to its end."""
        command = [str(Path(sys.executable).parent / "extauthz"), *words, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def token(self, sub: str, *, lifetime: float = 600, issuer: TokenIssuer | None = None, **claims: object) -> str:
        """A token of this person."""
        by = issuer or self.issuer
        return signed(by, sub, {"sid": f"session-of-{sub}", **claims}, lifetime=lifetime)

    def kill(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End this child, and know that it has ended."""
        child = self.children.pop(name)
        child.signal(how)
        child.process.wait()
        self.yard.processes.children.remove(child)


def kid_of(issuer: TokenIssuer) -> str:
    """The id of its key."""
    return f"k{issuer.key.public_key().public_numbers().x:x}"[:12]


def signed(issuer: TokenIssuer, sub: str, claims: Mapping[str, object], *, lifetime: float) -> str:
    """A token by the key of this issuer."""
    now = int(time.time())
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + int(lifetime)}
    return jwt.encode({**base, **claims}, issuer.key, algorithm="ES256", headers={"kid": kid_of(issuer)})


def make_site(yard: Yard, *, transport: str, store: str) -> Site:
    """The files of a site, and everything of it that runs.

    Raises:
        ConfigurationError: something is not installed.
        ProcessFailed: something does not start.
    """
    folder = yard.folder
    redis_port = int(free_address().rpartition(":")[2]) if store == "redis" else None
    site = Site(
        folder=folder,
        yard=yard,
        issuer=TokenIssuer.create(),
        approvers=TokenIssuer.create(),
        secrets={f"user-{number}": os.urandom(SECRET_BYTES) for number in range(USERS)},
        transport=transport,
        redis_port=redis_port,
        collector_at=Collector(grpc=free_address(), http=free_address()),
    )
    for name in ("policies", "redis"):
        (folder / name).mkdir()
    site.write_policy()
    site.write_jwks(site.issuer)
    approvers = [{**json.loads(site.approvers.jwks())["keys"][0], "kid": kid_of(site.approvers)}]
    (folder / "approvers.json").write_text(json.dumps({"keys": approvers}))
    make_keys(folder / "keys.json", replace=False)
    site.config.write_text(yaml.safe_dump(_configuration(site)))
    if redis_port is not None:
        site.start_redis()
    asyncio.run(_enrol(site))
    site.start_collector()
    site.start_server()
    site.start_envoy()
    return site


def _configuration(site: Site) -> _Tree:
    store = "sqlite:///soak.db" if site.redis_port is None else f"redis://127.0.0.1:{site.redis_port}"
    idp = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json", "algorithms": ["ES256"]}
    tokens = {"issuer": ISSUER, "audiences": ["approvals"], "algorithms": ["ES256"], "jwks": "approvers.json"}
    return {
        "listen": {name: f"unix:{site.folder}/{name}.sock" for name in ("grpc", "web", "admin", "approvals")},
        "policies": ["policies/"],
        "store": store,
        "revocations": {"max_staleness": f"{STALE}s"},
        "identity": {
            "workload": {
                "trust_domains": ["prod.example.org"],
                "sources": ["source_principal", "xfcc"],
                "xfcc": {"accept": "last", "without_principal": True},
            },
            "users": [{**idp, "from": ["authorization"]}],
        },
        "approvals": {"url": "https://approvals.example.com", "tokens": tokens, "keep": "1h"},
        "audit": {"path": "audit.jsonl", "rotate": {"size": "20MB"}},
    }


async def _enrol(site: Site) -> None:
    settings = load_settings(site.config)
    keys, store = load_keys(settings), open_configured_store(settings, patience=10.0)
    try:
        for sub, secret in site.secrets.items():
            subject, now = Subject(ISSUER, sub), time.time()
            factor = seal_factor(secret, subject=subject, confirmed=True, keys=keys, now=now, entropy=os.urandom)
            await store.enroll(Enrolment(subject=subject, factors=(factor,)), now=now)
    finally:
        await store.close()


def _gateway(site: Site, admin: Path) -> _Tree:
    resources = yaml.safe_load(_SHIPPED.read_text())["static_resources"]
    listener = resources["listeners"][0]
    host, _, port = site.front.rpartition(":")
    listener["address"] = {"socket_address": {"address": host, "port_value": int(port)}}
    chain = listener["filter_chains"][0]
    chain.pop("transport_socket", None)  # TLS is tested elsewhere, and would take most of the time of the callers
    manager = chain["filters"][0]["typed_config"]
    for unwanted in ("access_log", "tracing"):
        manager.pop(unwanted, None)
    (ext_authz,) = (one for one in manager["http_filters"] if one["name"].endswith(".ext_authz"))
    ext_authz["typed_config"]["grpc_service"]["timeout"] = f"{CHECK_SECONDS:g}s"
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        if not route["route"]["cluster"].startswith("extauthz"):
            route.pop("route")
            route["direct_response"] = {"status": 200}
    kept = [one for one in resources["clusters"] if one["name"].startswith("extauthz")]
    for cluster in kept:
        socket = "web" if cluster["name"].endswith("_web") else "grpc"
        endpoints = [
            {"endpoint": {"address": {"pipe": {"path": str(site.socket(socket, one))}}}} for one in range(WORKERS)
        ]
        cluster.update(type="STATIC")
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    return {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {"listeners": [listener], "clusters": kept},
    }


def _health(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            said = health_pb2.HealthCheckResponse.FromString(call(b"", timeout=5))
        except grpc.RpcError:
            return False
    return said.status == health_pb2.HealthCheckResponse.SERVING


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _redis() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise ConfigurationError("no `redis-server` here; install it, or say `--store sqlite`")
    return found
