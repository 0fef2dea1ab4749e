"""Who may call, changed while workers serve: SIGUSR2 brings the new list to all of them, on both transports."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from app.crews import COUNT, Running, workers_folder
from checking import told
from ports import free_pair

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.transport.methods import CHECK
from extauthz.wire.compose import check_request

BEFORE = "spiffe://prod.example.org/ns/mesh/sa/before"
AFTER = "spiffe://prod.example.org/ns/mesh/sa/after"
BOTH = "spiffe://prod.example.org/ns/mesh/sa/both"
REQUEST = check_request(host="example.com", path="/one", source_ip="127.0.0.1")


class Mesh:
    """Workers that let in whom a list names, and callers with certificates of these names."""

    def __init__(self, folder: Path, transport: str) -> None:
        self._folder = workers_folder(folder)
        self._authority = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC))
        self._authority.issue_server(folder / "server")
        self._pairs = {
            name: self._authority.issue_workload(folder / name.rpartition("/")[2], name)
            for name in (BEFORE, AFTER, BOTH)
        }
        self._ports = free_pair()
        self.admit(BEFORE, BOTH)
        self.running = Running(folder, transport)

    def admit(self, *names: str) -> None:
        """Write a configuration that lets these in."""
        tls = {"certificate": "server.pem", "key": "server.key", "callers": {"authorities": "ca.pem", "names": names}}
        folder = self._folder
        listen = {
            "grpc": f"127.0.0.1:{self._ports[0]}",
            "web": f"unix:{folder}/web.sock",
            "admin": f"unix:{folder}/admin.sock",
            "tls": tls,
        }
        configured = {"listen": listen, "policies": ["policies/"], "reload": {"watch": False}}
        (folder / "extauthz.yaml").write_text(json.dumps(configured))

    def renew(self) -> None:
        """Replace all workers; returns when that is done."""
        done = len(self.running.said("renewed"))
        self.running.process.send_signal(signal.SIGUSR2)
        self.running.waits_for("renewed", done + 1)

    def channel(self, number: int, name: str) -> grpc.Channel:
        """A connection of its own to a worker, by whoever has this name."""
        pair = self._pairs[name]
        credentials = grpc.ssl_channel_credentials(
            self._authority.certificate.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100)]
        return grpc.secure_channel(f"localhost:{self._ports[number]}", credentials, options)

    def admitted(self, name: str) -> list[bool]:
        """Whether each worker answers them on a new connection."""
        found = []
        for number in range(COUNT):
            with self.channel(number, name) as channel:
                found.append(is_answered(channel))
        return found


def is_answered(channel: grpc.Channel) -> bool:
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
    try:
        answer = CheckResponse.FromString(check(REQUEST, timeout=10))
    except grpc.RpcError:
        return False
    assert told(answer)["decision"] == "allow"
    return True


@pytest.fixture
def mesh(tmp_path: Path, transport: str) -> Iterator[Mesh]:
    made = Mesh(tmp_path, transport)
    try:
        made.running.waits_for("workers-serving")
        yield made
    finally:
        made.running.end()


def test_a_new_list_of_callers_is_in_force_when_all_workers_are_new_and_the_old_one_is_not(mesh: Mesh) -> None:
    everywhere, nowhere = [True] * COUNT, [False] * COUNT
    assert [mesh.admitted(name) for name in (BEFORE, BOTH, AFTER)] == [everywhere, everywhere, nowhere]
    kept = {name: [mesh.channel(number, name) for number in range(COUNT)] for name in (BEFORE, BOTH)}
    try:
        assert [[is_answered(one) for one in channels] for channels in kept.values()] == [everywhere, everywhere]
        mesh.admit(AFTER, BOTH)
        assert mesh.admitted(AFTER) == nowhere, "a list that nobody was told to read changes nothing"
        mesh.renew()
        # Who was let in before has a connection still: it ended with the worker.
        assert {name: [is_answered(one) for one in channels] for name, channels in kept.items()} == {
            BEFORE: nowhere,
            BOTH: everywhere,
        }
    finally:
        for channels in kept.values():
            for one in channels:
                one.close()
    assert [mesh.admitted(name) for name in (BEFORE, BOTH, AFTER)] == [nowhere, everywhere, everywhere]


def test_a_list_that_can_not_be_read_leaves_the_one_before_in_force(mesh: Mesh) -> None:
    mesh.admit("*")
    mesh.running.process.send_signal(signal.SIGUSR2)
    (refused,) = mesh.running.waits_for("renewal-refused")
    assert "not a name of a certificate" in refused["error"]
    assert [mesh.admitted(name) for name in (BEFORE, AFTER)] == [[True] * COUNT, [False] * COUNT]
