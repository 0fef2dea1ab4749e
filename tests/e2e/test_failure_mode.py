"""Where an operator has `failure_mode_allow: true`, none of our own failures is taken for one: each is a denial."""

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from e2e import bootstrap
from e2e.stage import Script, Stage, stage

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: failing}
spec:
  rules:
    - name: anyone
      paths: ["/open", "/unsayable", "/guarded"]
      effect: allow
    - name: says-too-much
      paths: ["/unsayable"]
      effect: allow
      allow: {metadata: {level: "9007199254740993"}}
    - name: guarded
      paths: ["/guarded"]
      when: int(request.query.by) > 0
      effect: deny
    - name: people
      paths: ["/secrets"]
      when: has(user.sub)
      effect: allow
    - name: proven
      paths: ["/secrets"]
      effect: challenge
      challenge: {factors: [totp]}
"""


def _open_when_failing(tree: bootstrap.Tree) -> None:
    settings = bootstrap.ext_authz(tree)
    settings["failure_mode_allow"] = True
    settings["grpc_service"]["timeout"] = "1s"


@pytest.fixture(scope="module")
def open_gateway() -> Iterator[Stage]:
    """An Envoy that lets through whatever it gets no answer for."""
    with stage(Script(policies=POLICIES, edit=_open_when_failing)) as running:
        yield running


def _denied(open_gateway: Stage, response: httpx.Response, *, status: int, reason: str, received: int) -> None:
    assert response.status_code == status, response.text
    assert response.json()["reason"] == reason
    assert open_gateway.decided(response)["reason"] == reason
    assert len(open_gateway.service.received) == received, "it reached the service"


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/a//b", 400, "malformed-path"),
        ("/nowhere", 401, "no-rule-allows"),
        ("/guarded", 403, "policy-error"),
        ("/unsayable", 503, "response-invalid"),
    ],
)
def test_a_refusal_is_no_failure(open_gateway: Stage, path: str, status: int, reason: str) -> None:
    received = len(open_gateway.service.received)
    _denied(open_gateway, open_gateway.client().get(path), status=status, reason=reason, received=received)


def test_a_look_up_that_takes_too_long_is_denied_before_envoy_gives_up(open_gateway: Stage) -> None:
    """Another process holds the database: the code that came along can't be looked at in time."""
    code = open_gateway.enroll("alice").now()
    received = len(open_gateway.service.received)
    with closing(sqlite3.connect(open_gateway.folder / "extauthz.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        headers = {**open_gateway.bearer("alice"), "x-extauthz-otp": code}
        response = open_gateway.client().get("/secrets", headers=headers)
        other.execute("ROLLBACK")
    _denied(open_gateway, response, status=503, reason="state-unavailable", received=received)


def test_a_store_that_is_gone_is_no_failure(open_gateway: Stage) -> None:
    received, kept = len(open_gateway.service.received), open_gateway.folder / "kept"
    kept.mkdir()
    for path in open_gateway.folder.glob("extauthz.db*"):
        shutil.move(path, kept)
    response = open_gateway.client().get("/secrets", headers=open_gateway.bearer("alice"))
    for path in kept.iterdir():
        shutil.move(path, open_gateway.folder)
    _denied(open_gateway, response, status=503, reason="state-unavailable", received=received)


def test_only_an_extauthz_that_is_not_there_is_a_failure() -> None:
    """What the other tests would see if a denial were none. The shipped configurations say `false`."""
    with stage(Script(policies=POLICIES, edit=_open_when_failing)) as running:
        assert running.client().get("/nowhere").status_code == 401
        running.extauthz.signal(signal.SIGKILL)
        running.extauthz.stop()
        assert running.client().get("/nowhere").status_code == 200
