"""One stage for these tests: the shipped gateway, and people who approve over the API."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.stage import Script, Stage, stage

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.cli.quickstart.local_http import get
from extauthz.cli.quickstart.tokens import ISSUER, TokenIssuer
from extauthz.errors import ConfigurationError

ORIGIN = "https://approvals.example.com"
"""Of the approvers' pages, as browsers see it."""
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: four-eyes
      paths: ["/held/pay", "/bank.Payments/Pay"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 6s, expires_in: 5m, cooldown: 1s}
    - name: patient
      paths: ["/held/long"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 12s, bind: request}
    - name: polled
      paths: ["/polled/**"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, bind: {request: [x-tenant]}}
    - name: polled-beside
      paths: ["/polled/both"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, bind: request}
    - name: exact
      paths: ["/held/scheme"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, bind: request}
    - name: short
      paths: ["/held/short"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 3s, expires_in: 3s}
    - name: escalated
      paths: ["/escalated"]
      effect: approve
      approve: {approvers: {groups: [nobody]}, escalate: [{after: 1s, groups: [board]}]}
    - name: gate
      paths: ["/gate"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, break_glass: {groups: [on-duty], factors: [totp]}}
"""


@dataclass(frozen=True, kw_only=True)
class World:
    """The stage, and hands of those who approve."""

    stage: Stage
    people: TokenIssuer
    approvals: httpx.Client
    threads: ThreadPoolExecutor

    def approver(self, *groups: str, sub: str = "anna") -> dict[str, str]:
        """The header of somebody with these groups at the approvers' issuer."""
        claims = {"aud": "approvals", "groups": list(groups)}
        return {"authorization": f"Bearer {self.people.token(sub, claims, now=time.time())}"}

    def asked(self, sub: str) -> str:
        """The id of the only approval that this subject waits for, as soon as there is one."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            listed = self.approvals.get(
                "/v1/approvals", params={"status": "pending", "limit": 100}, headers=self.approver("treasury", "board")
            )
            found = [one for one in listed.raise_for_status().json()["approvals"] if sub in json.dumps(one)]
            if found:
                return str(found[0]["id"])
            time.sleep(0.02)
        raise AssertionError(f"nobody asks for `{sub}`")

    @property
    def metrics(self) -> dict[str, float]:
        """What Prometheus would be told now: values by names with labels."""
        lines = get(self.stage.folder / "probes.sock", "/metrics")[1].decode().splitlines()
        told = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in told}

    @property
    def woken(self) -> float:
        """How many held calls an answer has woken, so that they did not wait until their time was over."""
        return self.metrics['extauthz_holds_total{result="woken"}']

    def answer(self, id_: str, how: str = "approve", *groups: str) -> httpx.Response:
        """Answer it as somebody of the treasury, or of these groups."""
        headers = self.approver(*(groups or ("treasury",)))
        return self.approvals.post(f"/v1/approvals/{id_}/{how}", headers=headers, json={"reason": "seen"})

    def call(self, sub: str, path: str, **kinds: Any) -> "Future[httpx.Response]":
        """A request of this subject that is under way."""
        headers = {**self.stage.bearer(sub), **kinds.pop("headers", {})}
        client = self.stage.client()
        return self.threads.submit(client.request, kinds.pop("method", "GET"), path, headers=headers, **kinds)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of these tests' stage; each has subjects of its own."""
    with approving(tmp_path_factory.mktemp("people"), Script(policies=POLICY)) as running:
        yield running


@contextmanager
def approving(folder: Path, script: Script) -> Iterator[World]:
    """A stage with approvers, whose issuer's keys are in `folder`."""
    try:
        find_envoy()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    people = TokenIssuer.create()
    keys = folder / "people.json"
    keys.write_text(people.jwks())
    tokens = {"issuer": ISSUER, "audiences": ["approvals"], "algorithms": ["ES256"], "jwks": str(keys)}
    configuration = {**script.configuration, "approvals": {"url": ORIGIN, "tokens": tokens}}
    with (
        stage(replace(script, configuration=configuration)) as running,
        ThreadPoolExecutor(max_workers=4) as threads,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(running.folder / "approvals.sock")), base_url="http://approvals"
        ) as approvals,
    ):
        yield World(stage=running, people=people, approvals=approvals, threads=threads)
