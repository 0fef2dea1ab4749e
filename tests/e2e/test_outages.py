"""What is down lets nothing through: the store, extauthz itself, a policy that is wrong."""

import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import httpx
import pytest
from e2e.stage import Script, Stage, extauthz_command, stage, start_extauthz, wait_for_extauthz
from grpc_health.v1 import health_pb2
from patience import comes
from serving import on_one_transport

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: outages}
spec:
  rules:
    - name: anyone-asks-for-health
      paths: ["/health"]
      effect: allow
    - name: people-see-their-secrets
      paths: ["/secrets"]
      when: has(user.sub)
      effect: allow
    - name: secrets-need-a-second-factor
      paths: ["/secrets"]
      effect: challenge
      challenge: {factors: [totp]}
"""


@pytest.fixture
def running(transport: str) -> Iterator[Stage]:
    """A stage that a test may break."""
    with stage(Script(policies=POLICIES, transport=transport)) as fresh:
        yield fresh


@on_one_transport
def test_without_its_store_only_what_needs_no_look_up_is_decided_as_always(running: Stage) -> None:
    alice, client = running.bearer("alice"), running.client()
    assert client.get("/secrets", headers=alice).status_code == 401
    kept = running.folder / "kept"
    kept.mkdir()
    for path in running.folder.glob("extauthz.db*"):
        shutil.move(path, kept)

    refused = client.get("/secrets", headers=alice)
    assert refused.status_code == 503
    line = running.decided(refused)
    assert (line["decision"], line["reason"]) == ("deny", "state-unavailable")
    assert client.get("/health").status_code == 200
    assert client.get("/elsewhere").status_code == 401
    assert client.get("/.extauthz/challenge").status_code == 400

    for path in kept.iterdir():
        shutil.move(path, running.folder)
    assert client.get("/secrets", headers=alice).status_code == 401


def test_a_killed_extauthz_lets_nothing_through_and_one_that_is_back_decides(running: Stage, transport: str) -> None:
    client = running.client()
    assert client.get("/health").status_code == 200
    running.extauthz.signal(signal.SIGKILL)
    running.extauthz.stop()
    # A worker in an Envoy is there for a moment longer than its parent, and decides what comes.
    assert comes(lambda: client.get("/health").status_code == 503)
    before = len(running.service.received)
    denied = client.get("/health")
    assert denied.status_code == 503
    assert len(running.service.received) == before
    restarted = start_extauthz(running.processes, running.folder, transport=transport)
    wait_for_extauthz(restarted, running.folder)
    restarted.wait_until(lambda: client.get("/health").status_code == 200, seconds=15)


def test_sigterm_answers_what_is_on_its_way_and_ends_cleanly(running: Stage) -> None:
    """A Check waits for the store, which another process has locked, while the server is told to stop."""
    alice, client = running.bearer("alice"), running.client()
    authenticator = running.enroll("alice")
    answers: list[httpx.Response] = []

    def prove() -> None:
        headers = {**alice, "x-extauthz-otp": authenticator.now()}
        answers.append(client.get("/secrets", headers=headers))

    with closing(sqlite3.connect(running.folder / "extauthz.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=prove)
        waiting.start()
        _until_a_check_waits(running)
        running.extauthz.signal(signal.SIGTERM)
        running.extauthz.wait_until(lambda: not _serving(running.folder), seconds=15)
        other.execute("ROLLBACK")
    waiting.join()
    assert running.extauthz.stop() == 0
    assert [answer.status_code for answer in answers] == [200]
    assert "Traceback" not in running.extauthz.log.read_text()


@on_one_transport
def test_a_policy_with_an_error_stops_the_start_with_its_place(running: Stage) -> None:
    wrong = POLICIES.replace("when: has(user.sub)", "when: has(user.name)")
    (running.folder / "policies" / "policies.yaml").write_text(wrong)
    place = _place(wrong, "user.name")
    again = extauthz_command("serve", "--config", str(running.folder / "extauthz.yaml"))
    assert again.returncode == 1
    assert f"policies.yaml:{place}" in again.stderr
    assert "Traceback" not in again.stderr
    assert running.client().get("/health").status_code == 200


@on_one_transport
def test_a_reload_with_an_error_changes_nothing_and_a_good_one_does(running: Stage) -> None:
    client, policies = running.client(), running.folder / "policies" / "policies.yaml"
    policies.write_text("kind: Policy")
    running.extauthz.signal(signal.SIGHUP)
    running.extauthz.wait_until(lambda: "reload-refused" in running.extauthz.log.read_text(), seconds=15)
    assert client.get("/health").status_code == 200
    policies.write_text(POLICIES.replace("/health", "/healthz"))
    running.extauthz.signal(signal.SIGHUP)
    running.extauthz.wait_until(lambda: client.get("/healthz").status_code == 200, seconds=15)
    assert client.get("/health").status_code == 401


def _place(text: str, needle: str) -> str:
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if needle in line)
    return f"{line}:"


def _serving(folder: Path) -> bool:
    with grpc.insecure_channel(f"unix:{folder / 'grpc.sock'}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _until_a_check_waits(running: Stage) -> None:
    """Envoy has a Check on its way that is not answered: its statistics say so."""
    running.envoy.wait_until(lambda: running.counter("cluster.extauthz.upstream_rq_active") == 1, seconds=15)
