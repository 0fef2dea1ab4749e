"""The servers that are measured: started as a user starts them, on the servers' core, and asked once before they count.

A new transport joins by its line in `TRANSPORTS`.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from bench.harness import traffic
from bench.harness.cores import pinned
from bench.harness.h2load import GRPC, Ask
from bench.harness.proc import family
from bench.noop import ANSWER, CHECK, SERVICE, framed
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.processes import Child, Processes
from extauthz.errors import ExtauthzError

START_SECONDS: Final = 60.0
_ROOT = Path(__file__).parents[2]
_CALL_SECONDS = 5.0


class WrongAnswer(ExtauthzError):
    """A server does not say what it must to be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How its no-op is started, a module of bench/noop; and how the server is told to use it."""

    name: str
    noop: str
    serve: tuple[str, ...]


TRANSPORTS: Final = (
    Transport(name="grpcio", noop="grpcio_noop", serve=("--transport", "grpcio")),
    Transport(name="pyvoy", noop="pyvoy_noop", serve=("--transport", "pyvoy")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Something that answers Checks at an address; `child` is missing for one that somebody else has started. `admin`
    is where the product tells its metrics, `audit` the file that it writes."""

    name: str
    address: str
    child: Child | None = None
    admin: str = ""
    audit: Path | None = None

    def pids(self) -> tuple[int, ...]:
        """Its processes; none of one that somebody else has started, which may be anywhere."""
        return tuple(family(self.child.process.pid)) if self.child else ()

    def ask(self) -> Ask:
        """What h2load sends it: the Check, with so many bytes expected as it answered the first time."""
        answer = check(self.address)
        return Ask(
            url=f"http://{self.address}{CHECK}",
            headers=GRPC,
            body=framed(traffic.request()),
            answer_bytes=len(framed(answer)) * 9 // 10,  # ids in it vary in length
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """Where servers are started: their files, their core, and what stops them."""

    processes: Processes
    folder: Path
    core: int | None

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        variables: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a program with these variables beside those of the environment, and wait until it is ready.

        Raises:
            ProcessFailed: it ended, or was not ready in time.
        """
        log = self.folder / f"{name.replace(' ', '-')}.log"
        with pinned(self.core):
            environment = {**os.environ, **(variables or {})}
            child = self.processes.start(name, command, log=log, folder=_ROOT, environment=environment)
        child.wait_until(ready, seconds=START_SECONDS)
        return child

    def start_noop(self, transport: Transport, *, kind: str = "no-op", answer: bytes = b"") -> Server:
        """The transport with a parse and a ready answer behind it: OK and nothing else, if none is given. `kind` is
        what it is called beside its transport."""
        address = free_address()
        name = f"{transport.name} {kind}"
        command = [sys.executable, "-m", f"bench.noop.{transport.noop}", address]
        variables = {ANSWER: answer.hex()}
        return Server(
            name=name, address=address, child=self.start(name, command, lambda: answers(address), variables=variables)
        )

    def start_extauthz(
        self,
        transport: Transport,
        *,
        rules: int = 50,
        kind: str = "extauthz",
        audit: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> Server:
        """The product, by its own command, with so many rules; without records but for an audit, and for what
        `variables` ask for. `kind` is what it is called beside its transport."""
        address, admin = free_address(), free_address()
        name = f"{transport.name} {kind}"
        site = self.folder / f"{transport.name}-{address.rpartition(':')[2]}"
        config = traffic.write_site(site, grpc=address, admin=admin, rules=rules, audit=audit)
        child = self.start(name, serve_command(transport, config), lambda: serves(address), variables=variables)
        code = CheckResponse.FromString(check(address)).status.code
        if code:
            raise WrongAnswer(f"{name}: the Check is answered with {code}, not allowed; see bench/harness/traffic.py")
        return Server(name=name, address=address, child=child, admin=admin, audit=config.with_name(traffic.AUDIT_FILE))


def serve_command(transport: Transport, config: Path) -> list[str | Path]:
    """The command line of the product."""
    return [sys.executable, "-m", "extauthz", "serve", "--config", config, *transport.serve]


def check(address: str) -> bytes:
    """The bytes of its answer to the Check.

    Raises:
        WrongAnswer: there is none.
    """
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        try:
            return call(traffic.request(), timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise WrongAnswer(f"{address}: no answer to a Check: {error.code().name.lower()}") from None


def answers(address: str) -> bool:
    """Whether it answers a Check."""
    try:
        check(address)
    except WrongAnswer:
        return False
    return True


def serves(address: str) -> bool:
    """Whether its health is SERVING."""
    if not listens(address):  # or gRPC would wait a second before it tries again
        return False
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        request = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()
        try:
            said = health_pb2.HealthCheckResponse.FromString(call(request, timeout=_CALL_SECONDS))
        except grpc.RpcError:
            return False
        return said.status == health_pb2.HealthCheckResponse.SERVING


def free_address() -> str:
    """A loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def listens(address: str) -> bool:
    """Whether somebody takes connections there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_CALL_SECONDS):
            return True
    except OSError:
        return False
