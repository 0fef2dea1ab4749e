"""What the command writes for a server's configuration lets through, denies and challenges, as it stands."""

import socket
import ssl
from collections.abc import Iterator

import pytest
from e2e.stage import HOST, SHOP, Stage
from envoy_config.running import EXTAUTHZ, GATEWAY, Scene, running
from ports import free_port

REPORTS = "spiffe://prod.example.org/ns/reports/sa/nightly"
CI = "spiffe://prod.example.org/ns/ci/sa/runner"
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: shop}
spec:
  variables:
    amount: double(request.json.amount)
  rules:
    - name: shop-reads
      methods: [GET]
      paths: ["/accounts/{account}"]
      workloads: ["spiffe://prod.example.org/ns/shop/**"]
      when: context.?route.orValue("sidecar") in ["service", "sidecar"]
      effect: allow
    - name: people-pay
      methods: [POST]
      paths: ["/payments"]
      when: has(user.sub) && variables.amount > 0.0
      effect: allow
    - name: large-payment
      paths: ["/payments"]
      when: variables.amount > 1000.0
      effect: challenge
      challenge: {factors: [totp]}
    - name: reports-connect
      tcp: true
      workloads: ["spiffe://prod.example.org/ns/reports/**"]
      effect: allow
"""
PATIENT = ("--timeout", "8s")
"""A busy machine may stall for longer than a quarter of a second."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Stage]:
    """extauthz on a port with mutual TLS, where only the gateway is let in."""
    listen = {
        "grpc": f"127.0.0.1:{free_port()}",
        "web": f"127.0.0.1:{free_port()}",
        "admin": "unix:{folder}/probes.sock",
        "tls": {
            "certificate": "extauthz.pem",
            "key": "extauthz.key",
            "callers": {"authorities": "ca.pem", "names": [GATEWAY]},
        },
    }
    configuration = {"listen": listen, "request": {"hosts": [HOST], "buffered": True}}
    options = (
        *("--listen", "127.0.0.1:0", "--service", "127.0.0.1:{http}", "--unchecked", "/up", "--body", "100000"),
        *("--certificate", "{folder}/server.pem", "--key", "{folder}/server.key", "--ca", "{folder}/ca.pem"),
        *("--extauthz-ca", "{folder}/ca.pem", "--extauthz-name", EXTAUTHZ),
        *("--client-certificate", "{folder}/gateway.pem", "--client-key", "{folder}/gateway.key"),
        *("--hold-path", "/held", *PATIENT),
    )
    scene = Scene(kind="gateway", options=options, configuration=configuration, policies=POLICIES)
    with running(scene) as stage:
        yield stage


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Stage]:
    """extauthz on Unix sockets."""
    listen = {name: f"unix:{{folder}}/{name}.sock" for name in ("grpc", "web")} | {"admin": "unix:{folder}/probes.sock"}
    options = (
        *("--listen", "127.0.0.1:0", "--service", "127.0.0.1:{http}"),
        *("--listen-tcp", "127.0.0.1:0", "--service-tcp", "127.0.0.1:{tcp}"),
        *("--certificate", "{folder}/server.pem", "--key", "{folder}/server.key", "--ca", "{folder}/ca.pem", *PATIENT),
    )
    scene = Scene(kind="sidecar", options=options, configuration={"listen": listen}, policies=POLICIES)
    with running(scene) as stage:
        yield stage


def test_a_gateway_lets_through_denies_and_challenges(gateway: Stage) -> None:
    allowed = gateway.client(SHOP).get("/accounts/a1")
    assert allowed.status_code == 200
    assert gateway.decided(allowed)["rule"] == "shop/shop-reads"
    assert gateway.client(CI).get("/accounts/a1").status_code == 403
    nobody = gateway.client()
    assert nobody.get("/accounts/a1").status_code == 401
    payer = gateway.bearer("alice")
    assert nobody.post("/payments", json={"amount": 5}, headers=payer).status_code == 200
    asked = nobody.post("/payments", json={"amount": 5000}, headers=payer)
    assert (asked.status_code, "insufficient_user_authentication" in asked.headers["www-authenticate"]) == (401, True)
    assert gateway.decided(asked)["decision"] == "challenge"


def test_the_pages_are_reached_and_the_unchecked_path_is_open(gateway: Stage) -> None:
    nobody = gateway.client()
    page = nobody.get("/.extauthz/challenge")
    assert "x-extauthz-decision-id" not in page.headers
    assert page.headers["content-security-policy"]
    assert nobody.get("/up").status_code == 200
    assert nobody.get("/up/more").status_code == 401


def test_a_body_is_shown_as_far_as_was_asked(gateway: Stage) -> None:
    """More than Envoy buffers of a connection by itself."""
    payer = gateway.bearer("alice")
    filled = {"amount": 5, "note": "x" * 90_000}
    assert gateway.client().post("/payments", json=filled, headers=payer).status_code == 200
    filled["note"] = "x" * 120_000
    assert gateway.client().post("/payments", json=filled, headers=payer).status_code == 403


def test_other_hosts_are_not_served_and_ports_do_not_matter(gateway: Stage) -> None:
    assert gateway.client(SHOP, host="elsewhere.example.com").get("/accounts/a1").status_code == 404
    assert gateway.client(SHOP, host=f"{HOST}:8443").get("/accounts/a1").status_code == 200


def test_calls_that_may_be_held_take_their_own_cluster(gateway: Stage) -> None:
    assert gateway.client(SHOP).get("/held/1").status_code == 403
    assert gateway.counter("cluster.extauthz_holding.upstream_rq_total") >= 1


def test_a_sidecar_lets_through_denies_and_challenges_over_a_socket(sidecar: Stage) -> None:
    shop = sidecar.client(SHOP, listener="inbound")
    assert shop.get("/accounts/a1").status_code == 200
    assert sidecar.client(CI, listener="inbound").get("/accounts/a1").status_code == 403
    payer = sidecar.bearer("alice")
    assert shop.post("/payments", json={"amount": 5}, headers=payer).status_code == 200
    assert shop.post("/payments", json={"amount": 5000}, headers=payer).status_code == 401


def test_a_sidecar_asks_about_connections(sidecar: Stage) -> None:
    assert _echo(sidecar, REPORTS) == b"select 1"
    assert _echo(sidecar, CI) == b""


def _echo(sidecar: Stage, workload: str) -> bytes:
    """What comes back over the TCP listener: the data, or nothing if the connection is closed."""
    context: ssl.SSLContext = sidecar.context(sidecar.workload(workload))
    port = sidecar.admin.port("inbound_tcp")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=15) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"select 1")
        try:
            return secured.recv(4096)
        except ConnectionResetError:
            return b""
