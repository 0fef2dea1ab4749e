"""A deployment that commands of the pages are tried on: a real server behind a real Envoy, with all that they name.

There are a decision of the trace that docs/audit.md looks for, an authenticator app, a device, requests that wait for
approvals, and letters that nobody takes.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import httpx
from commanding import command
from e2e.stage import SHOP, START_SECONDS, Script, Stage, stage
from ports import free_port
from telling.telling_parts import SECRET

from extauthz.app.wiring import open_configured_store
from extauthz.cli.quickstart.tokens import ISSUER, TokenIssuer
from extauthz.settings import load_settings
from extauthz.store.devices import ListedDevice
from extauthz.values.identity import Subject

WHO: Final = "bruno"
"""Who asks; the pages block and revoke alice."""
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
LISTEN: Final = "EXTAUTHZ_LISTEN__APPROVALS"
ADMIN_TOKEN: Final = "an-administrator-of-the-trial-0123456789"
DEVICE: Final = "5f3a0c"
POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  rules:
    - {name: people, when: has(user.sub), effect: allow}
    - {name: frozen, paths: ["/frozen/**"], effect: deny, deny: {reason: account-frozen}}
    - name: large
      paths: ["/large/**", "/v1/accounts/**"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - name: four-eyes
      paths: ["/pay/**"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, bind: request}
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What runs, who may approve, and where they do."""

    running: Stage
    listen: str
    approvers: TokenIssuer
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def folder(self) -> Path:
        return self.running.folder

    @property
    def environment(self) -> Mapping[str, str]:
        """The server's variable, and what the pages take from variables."""
        groups = {"aud": "approvals", "groups": ["treasury"]}
        return {
            "TOKEN": self.running.token(WHO),
            LISTEN: self.listen,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "APPROVALS_TOKEN": self.approvers.token("anna", groups, now=time.time()),
        }

    def says(self, *words: str) -> str:
        """What a command prints that must end well, as nobody at a terminal sees it."""
        ended = command(*words, folder=self.folder)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def asked(self, path: str, **headers: str) -> httpx.Response:
        """The answer to a request of this person's, with a body that is known."""
        client = self.running.client(SHOP)
        return client.post(path, content=b"1", headers={**self.running.bearer(WHO, sid="08a5019c"), **headers})

    def decision(self) -> str:
        """The id of one that is in the audit."""
        id_: str = self.asked("/frozen").headers["x-extauthz-decision-id"]
        self.wait_for(id_)
        return id_

    def approval(self) -> str:
        """The id of one that is waited for, and that no command was told before."""
        (id_,) = self.asked(f"/pay/{next(self._numbers)}").json()["approvals"]
        return str(id_)

    def letter(self) -> str:
        """The id of one that was not delivered."""
        told = json.loads(self.says("approvals", "deliveries", "list", "--format", "json"))
        return str(told[0]["id"])

    def wait_for(self, text: str) -> None:
        """Until it is in the audit: a record follows its answer."""
        audit, deadline = self.folder / "audit.jsonl", time.monotonic() + 10
        while not audit.exists() or text not in audit.read_text():
            assert time.monotonic() < deadline, f"`{text}` never came"
            time.sleep(0.02)

    def shell(self, text: str) -> "subprocess.CompletedProcess[str]":
        """What bash makes of it, with the variables of the pages."""
        script = f'set -o pipefail; curl() {{ command curl --fail --silent --show-error "$@"; }}; {text}'
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **self.environment, "no_proxy": "127.0.0.1"},
        )


@contextmanager
def tried(folder: Path) -> Iterator[Trial]:
    """Run it, with the files that it is configured with in `folder`, and do what leaves behind what the pages name."""
    approvers = TokenIssuer.create()
    (folder / "approvers.json").write_text(approvers.jwks())
    (folder / "hook.secret").touch(0o600)
    (folder / "hook.secret").write_text(SECRET)
    configuration = {
        "audit": {"path": "audit.jsonl"},
        "admin": {"token": {"variable": "ADMIN_TOKEN"}},
        "stepup": {"webauthn": {"id": "example.com", "origins": ["https://app.example.com"]}},
        "approvals": {
            "url": "https://approvals.example.com",
            "tokens": {
                "issuer": ISSUER,
                "audiences": ["approvals"],
                "algorithms": ["ES256"],
                "jwks": str(folder / "approvers.json"),
            },
            "webhooks": [
                {
                    "name": "audit",
                    "url": f"http://127.0.0.1:{free_port()}/",  # nobody is there
                    "secrets": [{"file": str(folder / "hook.secret")}],
                    "addresses": ["127.0.0.1"],
                }
            ],
        },
    }
    listen = f"127.0.0.1:{free_port()}"
    environment = {LISTEN: listen, "ADMIN_TOKEN": ADMIN_TOKEN}
    with stage(Script(policies=POLICY, configuration=configuration, environment=environment)) as running:
        trial = Trial(running=running, listen=listen, approvers=approvers)
        # On a busy machine Envoy's first look may get no answer in time: `extauthz doctor` would tell what it thinks.
        running.envoy.wait_until(
            lambda: running.counter("cluster.extauthz.membership_healthy") == 1, seconds=START_SECONDS
        )
        _live(trial)
        yield trial


def _live(trial: Trial) -> None:
    (trial.folder / "admin.token").write_text(ADMIN_TOKEN)
    code = trial.running.enroll(WHO).now()
    assert trial.asked("/large", **{"x-extauthz-otp": code}).status_code == httpx.codes.OK
    assert trial.asked("/read", traceparent=f"00-{TRACE}-b7ad6b7169203331-01").status_code == httpx.codes.OK
    trial.wait_for(TRACE)
    trial.approval()
    now = time.time()
    device = ListedDevice(
        id=DEVICE, subject=Subject(ISSUER, "alice"), first_at=now, proven_at=now, until=now + 3600, name="Firefox"
    )

    async def put() -> None:
        store = open_configured_store(load_settings(trial.folder / "extauthz.yaml"))
        await store.put_device(device, now=now)
        await store.close()

    asyncio.run(put())
