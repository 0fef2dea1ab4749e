"""Two replicas that share a Redis, behind one Envoy, each on a host of its own; and who calls and approves.

    envoy ──mesh── a, b ──store── redis

Rule kept here: Envoy runs as `envoy config gateway` writes it for two servers. Beside its listener there are three
more that differ in one thing: `a` and `b` each ask this replica alone, and for `unlooked` nobody looks at the health of
those that it asks. Cluster `extauthz-idle` is as `extauthz`, but is never called.
"""

import copy
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from e2e import bootstrap
from e2e.owners import Owner, is_challenge, ticket_of
from e2e.services import http_service
from e2e.stage import HOST, START_SECONDS, Stage, start_envoy, start_extauthz, wait_for_extauthz
from envoy_config.writing import tree
from partition.network import Network, network
from patience import comes
from redises import RedisProcess

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.cli.quickstart.envoy import Admin
from extauthz.cli.quickstart.local_http import get
from extauthz.cli.quickstart.processes import Child, Processes
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer

REPLICAS: Final = ("a", "b")
UNDECIDED: Final = {"state-unavailable", "revocations-stale"}
"""What a replica says that does not know what it needs."""
PEOPLE_TRIED: Final = 5
STALE: Final = 2
"""Seconds that a replica may know nothing new of revocations."""
POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: people, paths: ["/people", "/fresh/*", "/held/**"], when: has(user.sub), effect: allow}
    - name: fresh
      paths: ["/fresh/*"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - name: once
      paths: ["/held/once/*"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: request}
    - name: two-of-them
      paths: ["/held/pay/*"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, bind: request}
    - name: patient
      paths: ["/held/wait/*"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 30s, bind: request}
    - name: impatient
      paths: ["/held/shortly/*"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 2s, bind: request}
"""
CHECK_TIMEOUT: Final = "2s"
_REDIS_PORT: Final = 6379


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What runs. The thread that asks is on Envoy's host."""

    network: Network
    stage: Stage
    replicas: Mapping[str, Child]
    approvers: TokenIssuer

    def owner(self, sub: str, listener: str = "b") -> Owner:
        """Somebody with an authenticator app."""
        owner = Owner(self.stage, sub, listener=listener)
        owner.enroll()
        return owner

    def asks(self, listener: str, path: str, sub: str | None = None) -> httpx.Response:
        """The answer to a request of this person, or of nobody."""
        headers = {} if sub is None else self.stage.bearer(sub, sid=f"session-of-{sub}")
        # A connection of its own, without cookies: nobody is known by what another was sent.
        with httpx.Client(verify=self.stage.context(), timeout=15, trust_env=False) as client:
            return client.get(self.stage.url(listener) + path, headers={"host": HOST, **headers})

    def reason(self, listener: str, path: str, sub: str | None = None) -> str:
        """Why the answer is what it is; `allowed` if the service was reached."""
        return reason_of(self.asks(listener, path, sub))

    def decided(self, listener: str, path: str, sub: str | None = None) -> str:
        """The same, of whoever has all that it needs. On a busy machine one like that, too, gets no answer of its store
        in the 80 ms that it waits for one, and says so; then it is asked again."""
        told = [""]

        def is_decided() -> bool:
            told[0] = self.reason(listener, path, sub)
            return told[0] not in UNDECIDED

        assert comes(is_decided), told[0]
        return told[0]

    def proven(self, sub: str, path: str) -> Owner:
        """Somebody with an authenticator app and a fresh proof for this path. Where the store was too late at any step,
        the code is gone: then it is somebody else."""
        for attempt in range(PEOPLE_TRIED):
            owner = self.owner(f"{sub}-{attempt}")
            led = owner.asks(path)
            if is_challenge(led) and owner.answers(ticket_of(led), owner.code()).status_code == 303:
                return owner
        raise AssertionError(f"of {PEOPLE_TRIED} people none could prove anything for {path}")

    def voted(self, replica: str, approval: str, sub: str) -> int:
        """The status of the answer to an approval that was taken in; 409 also if one before it was, and its answer was
        too late."""
        told = [0]

        def is_taken() -> bool:
            told[0] = self.vote(replica, approval, sub).status_code
            return told[0] != 503

        assert comes(is_taken)
        return told[0]

    def vote(self, replica: str, approval: str, sub: str) -> httpx.Response:
        """What this replica says to an approval of this approver."""
        with self._approver(replica, sub) as approver:
            return approver.post(f"/v1/approvals/{approval}/approve", json={"reason": "seen"})

    def asked(self, sub: str) -> str:
        """The id of the only approval that this person waits for, as soon as there is one."""
        found: list[str] = []

        def is_there() -> bool:
            with self._approver("b", "anna") as approver:
                listed = approver.get("/v1/approvals", params={"status": "pending", "limit": 100}).raise_for_status()
            found[:] = [str(one["id"]) for one in listed.json()["approvals"] if sub in json.dumps(one)]
            return bool(found)

        assert comes(is_there), f"nobody asks for `{sub}`"
        return found[0]

    def _approver(self, replica: str, sub: str) -> httpx.Client:
        token = self.approvers.token(sub, {"aud": "approvals", "groups": ["treasury"]}, now=time.time())
        transport = httpx.HTTPTransport(uds=str(self.stage.folder / replica / "approvals.sock"))
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(transport=transport, base_url="http://approvals", headers=headers, timeout=15)

    def standing(self, replica: str) -> Any:
        """What `/ready` of this replica tells."""
        return json.loads(get(self.stage.folder / replica / "probes.sock", "/ready")[1])

    def metric(self, replica: str, name: str) -> float:
        """The value of a metric of this replica, given with its labels."""
        lines = get(self.stage.folder / replica / "probes.sock", "/metrics")[1].decode().splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def decider(self, response: httpx.Response) -> str | None:
        """The replica that has decided; `None` if Envoy got no answer."""
        decision = response.headers.get("x-extauthz-decision-id")
        if decision is None:
            return None
        files = {name: self.stage.folder / name / "audit.jsonl" for name in REPLICAS}
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            for name, file in files.items():
                if file.exists() and f'"{decision}"' in file.read_text():
                    return name
            time.sleep(0.02)
        raise AssertionError(f"no replica has decision {decision} on record")

    def health(self, cluster: str = "extauthz") -> Mapping[str, str]:
        """What Envoy thinks of the replicas in a cluster, by name."""
        told = json.loads(get(self.stage.folder / "admin.sock", "/clusters?format=json")[1])
        hosts = next(one for one in told["cluster_statuses"] if one["name"] == cluster)["host_statuses"]
        names = {self.network.address(name, "mesh"): name for name in REPLICAS}
        return {names[one["address"]["socket_address"]["address"]]: _health(one["health_status"]) for one in hosts}


def reason_of(response: httpx.Response) -> str:
    """The same, of an answer."""
    if response.status_code == 200:
        return "allowed"
    if response.headers.get("content-type") != "application/problem+json":
        return f"{response.status_code} of Envoy: {response.text}"
    return str(response.json()["reason"])


def _health(status: Mapping[str, Any]) -> str:
    if status.get("failed_active_health_check"):
        return "failed"
    return "left out" if status.get("failed_outlier_check") else "healthy"


@contextmanager
def running_site() -> Iterator[Site]:
    """Run it. The calling thread is on Envoy's host until the end."""
    # Not pytest's tmp_path: the name of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="partition-"))
    try:
        with ExitStack() as stack:
            hosts = network({"redis": ("store",), "a": ("store", "mesh"), "b": ("store", "mesh"), "envoy": ("mesh",)})
            net = stack.enter_context(hosts)
            listening = ("--bind", net.address("redis", "store"), "--protected-mode", "no")
            redis = stack.enter_context(RedisProcess(folder / "redis", *listening, port=_REDIS_PORT))
            with net.inside("redis"):
                redis.start()
            stack.enter_context(net.inside("envoy"))
            service = stack.enter_context(http_service())
            processes = stack.enter_context(Processes())
            stack.callback(_kill, processes)
            authority = create_authority(folder / "ca.pem", common_name="partition", now=datetime.now(UTC))
            authority.issue(
                folder / "server", common_name="localhost", dns=["localhost", HOST], addresses=["127.0.0.1"]
            )
            issuer, approvers = TokenIssuer.create(), TokenIssuer.create()
            _configure(folder, net, redis, issuer, approvers)
            replicas = {name: _start_replica(processes, folder / name, net, name) for name in REPLICAS}
            (folder / "envoy.yaml").write_text(json.dumps(_envoy(folder, net, service.port)))
            for name, replica in replicas.items():
                wait_for_extauthz(replica, folder / name)
            envoy = start_envoy(processes, folder)
            admin = Admin(folder / "admin.sock")
            envoy.wait_until(admin.ready, seconds=START_SECONDS)
            running = Stage(
                folder=folder,
                processes=processes,
                envoy=envoy,
                extauthz=replicas["a"],
                admin=admin,
                service=service,
                authority=authority,
                issuer=issuer,
                clients=stack.enter_context(ExitStack()),
            )
            site = Site(network=net, stage=running, replicas=replicas, approvers=approvers)
            assert comes(lambda: set(site.health().values()) == {"healthy"})
            yield site
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, net: Network, redis: RedisProcess, issuer: TokenIssuer, approvers: TokenIssuer) -> None:
    """One for commands, which reach the Redis by its socket, and one in a folder for each replica."""
    (folder / "jwks.json").write_text(issuer.jwks())
    (folder / "approvers.json").write_text(approvers.jwks())
    (folder / "policies.yaml").write_text(POLICY)
    make_keys(folder / "keys.json", replace=False)
    source = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": str(folder / "jwks.json")}
    tokens = {"issuer": ISSUER, "audiences": ["approvals"], "jwks": str(folder / "approvers.json")}
    common = {
        "policies": [str(folder / "policies.yaml")],
        "keys": str(folder / "keys.json"),
        "store": redis.url,
        "revocations": {"max_staleness": f"{STALE}s"},
        "identity": {"users": [{**source, "algorithms": ["ES256"], "from": ["authorization", "cookie:session"]}]},
        "approvals": {"url": "https://approvals.example.com", "tokens": {**tokens, "algorithms": ["ES256"]}},
    }
    (folder / "extauthz.yaml").write_text(json.dumps(common))
    for name in REPLICAS:
        (folder / name).mkdir()
        mine = {
            "listen": {
                "grpc": f"{net.address(name, 'mesh')}:9191",
                "web": f"{net.address(name, 'mesh')}:9192",
                "admin": f"unix:{folder / name}/probes.sock",
                "approvals": f"unix:{folder / name}/approvals.sock",
            },
            "store": f"redis://{net.address('redis', 'store')}:{_REDIS_PORT}",
            "audit": {"path": "audit.jsonl"},
        }
        (folder / name / "extauthz.yaml").write_text(json.dumps({**common, **mine}))


def _kill(processes: Processes) -> None:
    for child in processes.children:
        child.signal(signal.SIGKILL)


def _start_replica(processes: Processes, folder: Path, net: Network, name: str) -> Child:
    with net.inside(name):
        return start_extauthz(processes, folder)


def _envoy(folder: Path, net: Network, service: int) -> bootstrap.Tree:
    """What is written for both replicas, with more listeners, whose clusters differ."""
    both = [word for name in REPLICAS for word in ("--extauthz", net.address(name, "mesh"))]
    made = tree(
        *("gateway", *both, "--service", f"127.0.0.1:{service}", "--hold-path", "/held", "--timeout", CHECK_TIMEOUT),
        *("--listen", "127.0.0.1:0", "--admin", f"unix:{folder}/admin.sock", "--ca", f"{folder}/ca.pem"),
        *("--certificate", f"{folder}/server.pem", "--key", f"{folder}/server.key"),
    )
    clusters = made["static_resources"]["clusters"]
    asked = [one for one in clusters if one["name"].startswith("extauthz")]
    (written,) = made["static_resources"]["listeners"]
    for name in (*REPLICAS, "unlooked"):
        own = json.dumps(written)
        for cluster in asked:
            own = own.replace(f'"{cluster["name"]}"', f'"{cluster["name"]}-{name}"')
            clusters.append(_only(cluster, REPLICAS.index(name), name) if name in REPLICAS else _unlooked(cluster))
        made["static_resources"]["listeners"].append({**json.loads(own), "name": name})
    clusters.append(_named(asked[0], "idle"))
    return made


def _only(cluster: bootstrap.Tree, number: int, name: str) -> bootstrap.Tree:
    made = _named(cluster, name)
    (endpoints,) = made["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"] = [endpoints["lb_endpoints"][number]]
    return made


def _unlooked(cluster: bootstrap.Tree) -> bootstrap.Tree:
    made = _named(cluster, "unlooked")
    made.pop("health_checks")
    return made


def _named(cluster: bootstrap.Tree, suffix: str) -> bootstrap.Tree:
    made: bootstrap.Tree = copy.deepcopy(cluster)
    made["name"] = made["load_assignment"]["cluster_name"] = f"{cluster['name']}-{suffix}"
    return made
