"""Each fault is made for real on a deployment that is all right, and told by the very line that is for it."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doctor.conftest import Patient
from patience import comes

from extauthz.app.compiled import is_compiled
from extauthz.app.doctor.run import CHECKS

NOT_HERE = {
    *("store-sqlite", "server-keys", "collector", "clock-issuers", "certificates", "addresses"),
    *("server-decision", "envoy-decision"),
}
"""Checks with nothing to look at in this deployment, or that nobody has asked for."""


@contextmanager
def misspelt(file: Path, word: bytes, other: bytes) -> Iterator[None]:
    """A word of a file that is being written to, in place: what is appended meanwhile stays."""
    assert len(word) == len(other)
    with file.open("r+b") as opened:
        at = opened.read().index(word)
        opened.seek(at)
        opened.write(other)
        opened.flush()
        try:
            yield
        finally:
            opened.seek(at)
            opened.write(word)


@contextmanager
def changed(file: Path, content: str) -> Iterator[None]:
    before = file.read_text()
    file.write_text(content)
    try:
        yield
    finally:
        file.write_text(before)


def test_on_a_deployment_that_is_all_right_every_check_says_so_and_changes_nothing(started: Patient) -> None:
    assert started.redis is not None
    with started.redis.client() as client:
        assert comes(lambda: bool(client.keys("*:audit"))), "the server tells the end of its chain after a while"
        before = client.dbsize(), sorted(path.name for path in started.stage.folder.iterdir())
        looked = started.look()
        assert (client.dbsize(), sorted(path.name for path in started.stage.folder.iterdir())) == before
    assert looked.returncode == 0
    assert (looked.report["ok"], looked.report["problems"]) == (True, 0)
    said = {check for check, _ in looked.lines("ok")}
    interpreted = set() if is_compiled() else {"server-compiled"}
    assert {one.id for one in CHECKS} - said == NOT_HERE | {"envoy-certificates"} | interpreted
    warnings = {(check, "warning") for check in {"envoy-certificates"} | interpreted}  # a week is not long
    assert looked.lines("warning", "problem") == warnings


@pytest.mark.parametrize(
    ("socket_name", "told"), [("nobody", "is `--envoy-admin` its address?"), ("probes", "is it an Envoy's address?")]
)
def test_no_envoy_is_there(socket_name: str, told: str, started: Patient) -> None:
    looked = started.look(envoy_admin=f"unix:{started.stage.folder / f'{socket_name}.sock'}")
    assert looked.returncode == 1
    assert {("envoy", "problem"), ("envoy-cluster", "problem"), ("envoy-certificates", "problem")} <= looked.faults
    assert {check.partition("-")[0] for check, _ in looked.faults} <= {"envoy", "clock"}
    assert told in looked.told("envoy")


def test_nobody_answers(patient: Patient) -> None:
    assert patient.redis is not None
    patient.stage.envoy.signal(signal.SIGSTOP)
    patient.stage.extauthz.signal(signal.SIGSTOP)
    patient.redis.pause()
    try:
        looked = patient.look()
    finally:
        patient.redis.resume()
        patient.stage.extauthz.signal(signal.SIGCONT)
        patient.stage.envoy.signal(signal.SIGCONT)
    ok = {check for check, _ in looked.lines("ok")}
    compiled = {"server-compiled"} if is_compiled() else set()
    assert ok == {"policies", "policy-expiry", "issuer-keys", "files", "secrets", "keys", "disks", "audit"} | compiled
    assert "no answer within 5 s" in looked.told("envoy")
    assert "no answer within 5 s" in looked.told("server-grpc")
    assert "no answer in time" in looked.told("store")


def test_each_fault_of_files_has_its_line(started: Patient) -> None:
    jwks = started.stage.folder / "jwks.json"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"127.0.0.1:{listening.getsockname()[1]}"
        assert ("collector", "ok") in started.look(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{endpoint}").lines("ok")
    away = jwks.rename(jwks.with_name("away.json"))
    started.keys.chmod(0o644)
    try:
        with misspelt(started.audit, b'"policy.in-force"', b'"policy.in_force"'):
            looked = started.look(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{endpoint}")
    finally:
        away.rename(jwks)
        started.keys.chmod(0o600)
    assert looked.faults - {("policy-revision", "problem")} == {  # a reload may have met the missing file
        ("issuer-keys", "problem"),
        ("secrets", "problem"),
        ("audit", "problem"),
        ("collector", "problem"),
    }
    assert "no such file or directory" in looked.told("issuer-keys")
    assert f"nobody listens at {endpoint}" in looked.told("collector")
    assert "chmod 600" in looked.told("secrets")
    assert looked.returncode == 1


def test_everybody_can_write_a_policy_and_an_issuer_has_no_key_for_us(patient: Patient) -> None:
    patient.policy.chmod(0o666)
    try:
        with changed(patient.stage.folder / "jwks.json", '{"keys": []}'):
            looked = patient.look()
    finally:
        patient.policy.chmod(0o644)
    assert {("files", "problem"), ("issuer-keys", "problem")} <= looked.faults
    assert "chmod o-w" in looked.told("files")


def test_the_configuration_is_broken(started: Patient) -> None:
    with changed(started.config, "policies: [policies/]\nlisen: {}\nlogs: {level: loud}\n"):
        looked = started.look()
    assert looked.lines("ok", "warning", "problem") == {("configuration", "problem")}
    assert len(looked.report["checks"]) == 2, "all errors"
    assert looked.returncode == 1


def test_the_policies_on_disk_are_broken(patient: Patient) -> None:
    with changed(patient.policy, patient.policy.read_text().replace("effect: allow", "effect: alow")):
        looked = patient.look_until(lambda looked: ("policy-revision", "problem") in looked.faults)
        assert looked.faults == {("policies", "problem"), ("policy-revision", "problem")}
        assert "policies.yaml:11:" in looked.told("policies")
        assert "refuses the newest policies" in looked.told("policy-revision")


def test_a_rule_has_no_condition_and_ends_soon(patient: Patient) -> None:
    open_to_all = patient.policy.read_text().replace('workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]', "")
    ending = open_to_all.replace("effect: allow", 'effect: allow\n      expires: "2100-01-01T00:00:00Z"')
    with changed(patient.policy, ending):
        looked = patient.look_until(lambda looked: ("policy-revision", "ok") in looked.lines("ok"))
        assert looked.faults == {("policies", "warning")}
        assert looked.returncode == 0
        assert "has no condition" in looked.told("policies")


def test_a_redis_evicts(patient: Patient) -> None:
    assert patient.redis is not None
    with patient.redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            looked = patient.look_until(lambda looked: ("server-ready", "problem") in looked.faults)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert ("store-redis", "problem") in looked.faults
    assert "`allkeys-lru`" in looked.told("store-redis")


def test_a_redis_keeps_nothing(patient: Patient) -> None:
    assert patient.redis is not None
    with patient.redis.client() as client:
        client.config_set("appendonly", "no")
        try:
            looked = patient.look()
        finally:
            client.config_set("appendonly", "yes")
    assert looked.faults == {("store-redis", "warning")}
    assert looked.returncode == 0


def test_an_envoy_that_lets_everything_through_is_told(neglected: Patient) -> None:
    neglected.look_until(lambda looked: ("envoy-cluster", "ok") in looked.lines("ok"))
    neglected.stage.extauthz.signal(signal.SIGKILL)
    answer = neglected.stage.client().get("/open")
    assert answer.status_code == 200, "it is let through, which is the fault"
    looked = neglected.look_until(lambda looked: ("envoy-cluster", "problem") in looked.faults)
    problems = {check for check, verdict in looked.faults if verdict == "problem"}
    assert {"envoy-answers", "envoy-configuration", "envoy-cluster", "server-grpc", "server-ready"} <= problems
    assert "let through without an answer" in looked.told("envoy-answers")
    assert "failure_mode" in looked.told("envoy-configuration")
    assert ("audit", "warning") in looked.faults
    assert ("store-sqlite", "ok") in looked.lines("ok")
