"""`envoy/sidecar.yaml` as it is shipped: mutual TLS only, and TCP connections that are asked about."""

import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest
from e2e.stage import SHOP, STRANGER, Script, Stage, stage

CI = "spiffe://prod.example.org/ns/ci/sa/runner"
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: sidecar}
spec:
  rules:
    - name: shop-connects
      tcp: true
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      effect: allow
    - name: ci-reads
      paths: ["/status"]
      workloads: ["spiffe://prod.example.org/ns/ci/**"]
      effect: allow
"""


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Stage]:
    """One for the module."""
    with stage(Script(policies=POLICIES, shipped="sidecar")) as running:
        yield running


def _echo(sidecar: Stage, workload: str, data: bytes) -> bytes:
    """What comes back over the TCP listener: the data, or nothing if the connection is closed."""
    port = sidecar.admin.port("inbound_tcp")
    context = sidecar.context(sidecar.workload(workload))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=15) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(data)
        try:
            return secured.recv(4096)
        except ConnectionResetError:
            return b""


def test_a_tcp_connection_of_an_allowed_workload_goes_through(sidecar: Stage) -> None:
    assert _echo(sidecar, SHOP, b"select 1") == b"select 1"


def test_a_tcp_connection_of_another_workload_is_closed(sidecar: Stage) -> None:
    assert _echo(sidecar, CI, b"select 1") == b""


def test_a_rule_for_tcp_covers_requests_too_and_a_rule_for_paths_no_connection(sidecar: Stage) -> None:
    assert sidecar.client(SHOP, listener="inbound").get("/anything").status_code == 200
    assert sidecar.client(CI, listener="inbound").get("/status").status_code == 200
    assert sidecar.client(CI, listener="inbound").get("/anything").status_code == 403


@pytest.mark.parametrize("workload", [None, STRANGER])
def test_who_is_not_of_the_trust_domain_gets_no_connection(sidecar: Stage, workload: str | None) -> None:
    refusals = (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError)
    with pytest.raises(refusals):
        sidecar.client(workload, listener="inbound").get("/status")


def test_every_connection_is_logged_with_its_decision(sidecar: Stage) -> None:
    assert _echo(sidecar, SHOP, b"select 1") == b"select 1"
    assert _echo(sidecar, CI, b"select 1") == b""
    for peer, said in ((SHOP, ("allow", "allowed", "sidecar/shop-connects")), (CI, ("deny", "no-rule-allows", None))):
        line = sidecar.connected(peer)
        assert (line["decision"], line["reason"], line["rule"]) == said
        assert line["revision"].startswith("sha256:")
        assert line["decision_id"]
