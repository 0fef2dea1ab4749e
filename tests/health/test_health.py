"""`extauthz health`: what it says of servers that run, that stop, and that are none."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from commanding import command
from cryptography.hazmat.primitives import serialization
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from ports import free_port
from serving import POLICY, Served, end, start

from extauthz.cli.quickstart.certificates import Pair, create_authority

WORKLOAD = "spiffe://prod.example.org/ns/mesh/sa/extauthz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    return tmp_path


def configure(folder: Path, grpc_address: str, **listen: object) -> None:
    addresses = {"grpc": grpc_address, "web": "127.0.0.1:0", "admin": "127.0.0.1:0", **listen}
    settings = {"listen": addresses, "policies": ["policies/"], "store": "memory:"}
    (folder / "extauthz.yaml").write_text(json.dumps(settings))


@contextmanager
def serving(folder: Path, transport: str) -> Iterator[Served]:
    running = start(folder, transport)
    try:
        yield running
    finally:
        end(running)


def test_a_server_that_serves_is_asked_by_its_configuration(folder: Path, transport: str) -> None:
    port = free_port()
    configure(folder, f"0.0.0.0:{port}")
    with serving(folder, transport):
        asked = command("health", folder=folder)
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, f"127.0.0.1:{port}: SERVING\n", "")
        asked = command("health", f"localhost:{port}", "--format", "json", folder=Path("/"))
        assert json.loads(asked.stdout) == {"address": f"localhost:{port}", "status": "SERVING"}
    asked = command("health", folder=folder)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith(f"extauthz: 127.0.0.1:{port}: connection refused; is the server running")
    assert asked.stderr.count("\n") == 1


def test_a_unix_socket_is_asked(folder: Path) -> None:
    configure(folder, f"unix:{folder}/grpc.sock")
    with serving(folder, "grpcio"):
        asked = command("health", f"unix:{folder}/grpc.sock", folder=folder)
        assert (asked.returncode, asked.stdout) == (0, f"unix:{folder}/grpc.sock: SERVING\n")


def test_a_server_with_tls_is_held_to_its_certificate(folder: Path) -> None:
    authority = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC))
    pair = authority.issue_workload(folder / "server", WORKLOAD)  # has no name that a host could have
    other = authority.issue_workload(folder / "other", WORKLOAD)
    port = free_port()
    tls = {"certificate": "server.pem", "key": "server.key"}
    callers = {"authorities": "ca.pem", "names": ["spiffe://prod.example.org/ns/mesh/sa/gateway"]}
    configure(folder, f"127.0.0.1:{port}", tls={**tls, "callers": callers})
    with serving(folder, "grpcio"):
        asked = command("health", folder=folder)
        assert (asked.returncode, asked.stdout) == (0, f"127.0.0.1:{port}: SERVING\n")
        # An address beside `--config` stands in for the configured one alone.
        assert command("health", f"localhost:{port}", "--config", "extauthz.yaml", folder=folder).returncode == 0
        plain = command("health", f"127.0.0.1:{port}", folder=folder)
        assert (plain.returncode, plain.stdout) == (1, "")
        assert "does it want TLS?" in plain.stderr or "connection reset" in plain.stderr
        pair.certificate.write_bytes(other.certificate.read_bytes())
        pair.key.write_bytes(other.key.read_bytes())
        # The server takes the new files with its next connection: this one.
        assert command("health", folder=folder).returncode == 0


def test_another_server_is_not_taken_for_ours(folder: Path) -> None:
    authority = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC))
    theirs = authority.issue_server(folder / "theirs")
    authority.issue_server(folder / "ours")
    credentials = grpc.ssl_server_credentials([(theirs.key.read_bytes(), theirs.certificate.read_bytes())])
    with answering("SERVING", credentials) as port:
        configure(folder, f"127.0.0.1:{port}", tls={"certificate": "ours.pem", "key": "ours.key"})
        asked = command("health", folder=folder)
    assert asked.returncode == 1
    assert "the server's certificate is not that of" in asked.stderr


def _pipe(pair: Pair) -> None:
    pair.key.unlink()
    os.mkfifo(pair.key, 0o600)


def _nothing(pair: Pair) -> None:
    pair.key.unlink()


def _locked(pair: Pair) -> None:
    secret = serialization.BestAvailableEncryption(b"somebody would be asked for it")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret
    pair.key.write_bytes(key.private_bytes(*form))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_pipe, "{key}: can't be read: not a regular file; name a file of PEM that is there and this user may read"),
        (
            _nothing,
            "{key}: can't be read: no such file or directory; name a file of PEM that is there and this user may read",
        ),
        (
            _locked,
            "{certificate}: `{key}` is not its key, in PEM and without a password; name the pair",
        ),
    ],
    ids=["pipe", "nothing", "locked"],
)
def test_a_key_that_can_not_be_used_is_told_in_one_line(spoil: Callable[[Pair], None], told: str, folder: Path) -> None:
    pair = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC)).issue_server(folder / "ours")
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
    with answering("SERVING", credentials) as port:
        configure(folder, f"127.0.0.1:{port}", tls={"certificate": "ours.pem", "key": "ours.key"})
        spoil(pair)
        asked = command("health", folder=folder)
    assert asked.returncode == 1
    assert asked.stderr == f"extauthz: {told.format(key=pair.key, certificate=pair.certificate)}\n"


@contextmanager
def answering(status: str, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """A server of gRPC that says this of itself; its port."""
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("status", ["UNKNOWN", "NOT_SERVING"])
def test_a_server_that_does_not_serve_is_told_by_the_exit_code(status: str, tmp_path: Path) -> None:
    with answering(status) as port:
        asked = command("health", f"127.0.0.1:{port}", folder=tmp_path)
    assert (asked.returncode, asked.stdout) == (1, f"127.0.0.1:{port}: {status}\n")


def test_a_server_without_health_is_not_serving(tmp_path: Path) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    asked = command("health", f"127.0.0.1:{port}", folder=tmp_path)
    server.stop(0).wait()
    assert asked.returncode == 1
    assert asked.stderr == (
        f"extauthz: 127.0.0.1:{port}: the server knows no `grpc.health.v1`; is it another one's address?\n"
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "ends the connection; does it want TLS?"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"),
        (b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", "ends the call"),
        (b"\x00\x00\x03\x00\x09\x00\x00\x00\x01\xff\x00\x00", "knows no `grpc.health.v1`"),
    ],
    ids=["nothing", "http-1", "reset", "padding-beyond-the-frame"],
)
def test_what_is_no_grpc_server_is_told_in_one_line(said: bytes, told: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass

        answerer = threading.Thread(target=answer)
        answerer.start()
        asked = command("health", f"127.0.0.1:{listener.getsockname()[1]}", folder=tmp_path)
        answerer.join()
    assert (asked.returncode, asked.stdout) == (1, "")
    assert told in asked.stderr
    assert asked.stderr.count("\n") == 1


def test_who_says_nothing_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asked = command("health", f"127.0.0.1:{port}", "--timeout", "0.2", folder=tmp_path)
    assert asked.returncode == 1
    assert "no answer within 0.2 s" in asked.stderr


@pytest.mark.parametrize("address", ["", "9191", "localhost", "127.0.0.1:0", "127.0.0.1:65536", "unix:grpc.sock"])
def test_what_is_no_address_is_a_mistake_of_usage(address: str, tmp_path: Path) -> None:
    assert command("health", address, folder=tmp_path).returncode == 2


def test_a_free_port_is_not_guessed(folder: Path) -> None:
    configure(folder, "127.0.0.1:0")
    asked = command("health", folder=folder)
    assert asked.returncode == 1
    assert asked.stderr == (
        "extauthz: extauthz.yaml: `listen.grpc` takes any free port; name the ADDRESS that the server's log tells\n"
    )


def test_with_an_address_neither_settings_nor_grpc_are_imported(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "extauthz", "health", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert asked.returncode == 1
    imported = {line.rpartition("|")[2].strip() for line in asked.stderr.splitlines() if line.startswith("import time")}
    assert "extauthz.cli.health_asking" in imported
    assert imported.isdisjoint({"grpc", "pydantic_settings", "yaml", "extauthz.settings", "extauthz.policy.models"})
