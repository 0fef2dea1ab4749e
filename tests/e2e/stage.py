"""A stage: one real Envoy, one real extauthz, services behind them, in a folder of their own.

Rule kept here: everything listens on sockets in the folder or on ports that the system chose, and is waited for by
asking it.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyotp
import yaml
from e2e import bootstrap
from e2e.services import HttpService, grpc_service, http_service, tcp_service
from typer.testing import CliRunner

from extauthz.cli.commands import app
from extauthz.cli.quickstart.certificates import Authority, Pair, create_authority
from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.cli.quickstart.envoy import Admin, envoy_command, find_envoy
from extauthz.cli.quickstart.local_http import answers, get
from extauthz.cli.quickstart.processes import Child, Processes
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.values.request import EMPTY

START_SECONDS = 60.0
LISTENERS = {"grpc": "grpc", "web": "web", "admin": "probes", "approvals": "approvals"}
DISCARD_PORT = 9  # nobody listens there: spans of a stage without a collector go nowhere
HOST = "payments.example.com"
SHOP = "spiffe://prod.example.org/ns/shop/sa/web"
STRANGER = "spiffe://elsewhere.example.net/ns/shop/sa/web"
USERS = {
    "name": "idp",
    "issuer": ISSUER,
    "audiences": [AUDIENCE],
    "jwks": "jwks.json",
    "algorithms": ["ES256"],
    "from": ["authorization", "cookie:session"],
}
"""Those for whom the issuer of a stage makes tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs, and hands to drive it."""

    folder: Path
    processes: Processes
    envoy: Child
    extauthz: Child
    admin: Admin
    service: HttpService
    authority: Authority
    issuer: TokenIssuer
    clients: ExitStack = field(default_factory=ExitStack)

    def url(self, listener: str = "https") -> str:
        """The address of an Envoy listener."""
        return f"https://localhost:{self.admin.port(listener)}"

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """TLS as a client of this stage speaks it, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def workload(self, spiffe_id: str) -> Pair:
        """A certificate of the stage's CA for this workload, made when it is first asked for."""
        name = spiffe_id.rpartition("//")[2].replace("/", "-")
        pair = Pair(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key")
        return pair if pair.key.exists() else self.authority.issue_workload(self.folder / name, spiffe_id)

    def client(
        self, workload: str | None = None, *, host: str = HOST, listener: str = "https", http2: bool = False
    ) -> httpx.Client:
        """An HTTP client of an Envoy listener that calls `host`; closed with the stage."""
        pair = None if workload is None else self.workload(workload)
        client = httpx.Client(
            verify=self.context(pair),
            base_url=self.url(listener),
            headers={"host": host},
            http2=http2,
            timeout=15,
            trust_env=False,
        )
        return self.clients.enter_context(client)

    def token(self, sub: str, **claims: object) -> str:
        """A token of the configured issuer."""
        return self.issuer.token(sub, claims, now=time.time())

    def bearer(self, sub: str, **claims: object) -> dict[str, str]:
        """The header with such a token."""
        return {"authorization": f"Bearer {self.token(sub, **claims)}"}

    def decided(self, response: httpx.Response) -> Mapping[str, Any]:
        """The line of Envoy's access log for the request of `response`."""
        return self.logged("decision_id", response.headers["x-extauthz-decision-id"])

    def logged(self, key: str, value: str) -> Mapping[str, Any]:
        """The first line of Envoy's access log with this value; they come a few milliseconds after the answer."""
        return self._first_line(lambda entry: entry[key] == value, f"{key} {value}")

    def connected(self, peer: str) -> Mapping[str, Any]:
        """The first line of Envoy's access log about a connection of this workload that carries no HTTP."""
        return self._first_line(lambda entry: "path" not in entry and entry["peer"] == peer, f"a connection of {peer}")

    def _first_line(self, wanted: Callable[[Mapping[str, Any]], bool], what: str) -> Mapping[str, Any]:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in self.envoy.log.read_text().split("\n")[:-1]:
                if line.startswith("{"):
                    entry: Mapping[str, Any] = json.loads(line)
                    if wanted(entry):
                        return entry
            time.sleep(0.02)
        raise AssertionError(f"no line with {what} in the access log")

    def counter(self, name: str) -> int:
        """A statistic of Envoy's."""
        text = get(self.folder / "admin.sock", f"/stats?filter=^{name}$")[1].decode()
        return int(text.removeprefix(f"{name}: "))

    def enroll(self, sub: str) -> pyotp.TOTP:
        """The authenticator of a new second factor of this person."""
        configuration = str(self.folder / "extauthz.yaml")
        enrolled = CliRunner().invoke(app, ["factors", "enroll", sub, "--config", configuration, "--format", "json"])
        assert enrolled.exit_code == 0, enrolled.output
        authenticator = pyotp.parse_uri(json.loads(enrolled.stdout)["uri"])
        assert isinstance(authenticator, pyotp.TOTP)
        return authenticator


def extauthz_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command `extauthz` to its end."""
    return subprocess.run([*EXTAUTHZ, *arguments], capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a stage is to be: Envoy with `envoy/<shipped>.yaml`, changed by `edit`, and extauthz with these policies.

    `configuration` replaces top-level keys of extauthz.yaml. With a `collector`, the URL of a receiver of OTLP over
    gRPC, both send their spans there, unless the variables in `environment` have extauthz do otherwise. Checks are
    carried by `transport`.
    """

    policies: str
    shipped: str = "gateway"
    edit: Callable[[bootstrap.Tree], None] = lambda _: None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    collector: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    transport: str = "grpcio"


@contextmanager
def stage(script: Script) -> Iterator[Stage]:
    """Run it."""
    with ExitStack() as services:
        service = services.enter_context(http_service())
        ports = {"service": service.port, "service_grpc": services.enter_context(grpc_service())}
        if script.shipped == "sidecar":
            ports["service_tcp"] = services.enter_context(tcp_service())
        ground = services.enter_context(prepared("e2e", script.policies))
        _write(script, ground, ports)
        environment = {**_telling(script.collector), **script.environment}
        yield services.enter_context(ground.running(service, environment, script.transport))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A folder with a CA, an issuer of tokens and policies, and room for processes."""

    folder: Path
    processes: Processes
    authority: Authority
    issuer: TokenIssuer

    @contextmanager
    def running(
        self, service: HttpService, environment: Mapping[str, str] = EMPTY, transport: str = "grpcio"
    ) -> Iterator[Stage]:
        """With Envoy and extauthz, as they are configured in the folder, in front of this service."""
        extauthz = start_extauthz(self.processes, self.folder, environment, transport)
        wait_for_extauthz(extauthz, self.folder)
        envoy = start_envoy(self.processes, self.folder)  # its first look finds the server; the next is 5 s later
        admin = Admin(self.folder / "admin.sock")
        envoy.wait_until(admin.ready, seconds=START_SECONDS)
        with ExitStack() as clients:
            yield Stage(
                folder=self.folder,
                processes=self.processes,
                envoy=envoy,
                extauthz=extauthz,
                admin=admin,
                service=service,
                authority=self.authority,
                issuer=self.issuer,
                clients=clients,
            )


@contextmanager
def prepared(name: str, policies: str) -> Iterator[Ground]:
    """Enter it after the services, so that it is left before them: no process outlives what it calls."""
    # Not pytest's tmp_path: the name of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        with Processes() as processes:
            authority = create_authority(folder / "ca.pem", common_name=name, now=datetime.now(UTC))
            issuer = TokenIssuer.create()
            (folder / "jwks.json").write_text(issuer.jwks())
            (folder / "policies").mkdir()
            (folder / "policies" / "policies.yaml").write_text(policies)
            try:
                yield Ground(folder=folder, processes=processes, authority=authority, issuer=issuer)
            finally:
                # No test is about how they end then, and a server gives its callers time to hear that it goes.
                for child in processes.children:
                    child.signal(signal.SIGKILL)
    finally:
        shutil.rmtree(folder)


def start_extauthz(
    processes: Processes, folder: Path, environment: Mapping[str, str] = EMPTY, transport: str = "grpcio"
) -> Child:
    """`extauthz serve` with the configuration in `folder`, and these variables beside those that there are."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("EXTAUTHZ_", "OTEL_"))}
    return processes.start(
        "extauthz",
        [*EXTAUTHZ, "serve", "--config", folder / "extauthz.yaml", "--transport", transport],
        log=folder / "extauthz.log",
        folder=folder,
        environment={**ours, **environment},
    )


def _telling(collector: str | None) -> Mapping[str, str]:
    """The variables that have extauthz send its spans there, soon."""
    if collector is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


def wait_for_extauthz(extauthz: Child, folder: Path) -> None:
    """Until it answers."""
    extauthz.wait_until(lambda: answers(folder / "probes.sock", "/ready"), seconds=START_SECONDS)


def start_envoy(processes: Processes, folder: Path) -> Child:
    """Envoy with the bootstrap in `folder`."""
    command = envoy_command(find_envoy(), folder / "envoy.yaml")
    return processes.start("envoy", command, log=folder / "envoy.log", folder=folder)


def _write(script: Script, ground: Ground, ports: Mapping[str, int]) -> None:
    folder = ground.folder
    ground.authority.issue(folder / "server", common_name="localhost", dns=["localhost", HOST], addresses=["127.0.0.1"])
    configuration = {
        "listen": {name: f"unix:{folder / socket}.sock" for name, socket in LISTENERS.items()},
        "policies": ["policies/"],
        "identity": {"workload": {"trust_domains": ["prod.example.org"]}, "users": [USERS]},
        **script.configuration,
    }
    (folder / "extauthz.yaml").write_text(yaml.safe_dump(configuration))
    tree = bootstrap.load(script.shipped, tls=folder, run=folder)
    for cluster, address in _endpoints(script, folder, ports).items():
        bootstrap.point(tree, cluster, address)
    script.edit(tree)
    (folder / "envoy.yaml").write_text(yaml.safe_dump(tree))


def _endpoints(script: Script, folder: Path, ports: Mapping[str, int]) -> Mapping[str, bootstrap.Tree]:
    """Where Envoy's clusters lead."""
    collector = None if script.collector is None else urlsplit(script.collector).port
    endpoints = {
        **{cluster: bootstrap.tcp(port) for cluster, port in ports.items()},
        "extauthz": bootstrap.pipe(folder / "grpc.sock"),
        "extauthz_web": bootstrap.pipe(folder / "web.sock"),
        "otel_collector": bootstrap.tcp(DISCARD_PORT if collector is None else collector),
    }
    if script.shipped == "gateway":
        endpoints["extauthz_holding"] = endpoints["extauthz"]
    return endpoints
