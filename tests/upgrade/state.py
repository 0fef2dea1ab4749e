"""Who was there before an upgrade, what they have left behind, and what they must find after it."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx
import pyotp
from app.callers import Browser, Gateway, new_request
from app.replicas import Replica, Site, shared_store
from upgrade.earlier import Program, Version

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.stepup.totp import STEP_SECONDS

POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: people, when: has(user.sub), effect: allow}
    - name: fresh
      paths: ["/fresh/*"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - name: once
      paths: ["/once/*"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: request}
"""
APPROVING: Final = """
    - name: four-eyes
      paths: ["/pay/*"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, bind: request, cooldown: 10m}
"""
DENIED: Final = "gina"
"""Whose approval is denied."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A configuration with its state in a folder, and the people whose requests are decided by it."""

    folder: Path
    version: Version
    issuer: TokenIssuer
    approvers: TokenIssuer
    apps: dict[str, pyotp.TOTP] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "extauthz.yaml"

    def configure(self, **blocks: object) -> None:
        """Set these blocks of the configuration."""
        self.config.write_text(json.dumps(json.loads(self.config.read_text()) | blocks))

    @contextmanager
    def served(self, *programs: Program) -> Iterator[Site]:
        """Servers of these programs, each on the same state."""
        replicas = [Replica(self.folder, number) for number in range(len(programs))]
        try:
            for replica, program in zip(replicas, programs, strict=True):
                with program.chosen():
                    replica.start()
                replica.wait()
            yield Site(folder=self.folder, issuer=self.issuer, replicas=replicas)
        finally:
            for replica in replicas:
                replica.kill()

    def enroll(self, sub: str, program: Program) -> None:
        """An authenticator app."""
        told = json.loads(program.says("factors", "enroll", sub, "--config", self.config, "--format", "json"))
        app = pyotp.parse_uri(told["uri"])
        assert isinstance(app, pyotp.TOTP)
        self.apps[sub] = app

    def code(self, sub: str) -> str:
        """One that this person has not used: those of a minute to come are good, too."""
        self.steps[sub] = max(int(time.time()) // STEP_SECONDS, self.steps.get(sub, 0) + 1)
        return self.apps[sub].at(self.steps[sub] * STEP_SECONDS)

    def asks(self, sub: str, path: str, code: str = "") -> bytes:
        """A request by a token, with a code or without."""
        headers = {"authorization": f"Bearer {self.token(sub)}", **({"x_extauthz_otp": code} if code else {})}
        return new_request(path, **headers)

    def token(self, sub: str) -> str:
        return self.issuer.token(sub, {"sid": f"session-of-{sub}"}, now=time.time())

    def vote(self, site: Site, approval: str, sub: str, server: int = 0, stance: str = "approve") -> int:
        """The status with which a server takes the vote of this approver."""
        token = self.approvers.token(sub, {"aud": "approvals", "groups": ["treasury"]}, now=time.time())
        url = f"http://{site.replicas[server].said['approvals']}/v1/approvals/{approval}/{stance}"
        headers = {"authorization": f"Bearer {token}"}
        return httpx.post(url, headers=headers, json={"reason": "seen"}, timeout=15).status_code


def new_world(folder: Path, version: Version, store: str) -> World:
    """A configuration that this version and today's understand."""
    world = World(folder=folder, version=version, issuer=TokenIssuer.create(), approvers=TokenIssuer.create())
    (folder / "policies").mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY + (APPROVING if version.approvals else ""))
    (folder / "jwks.json").write_text(world.issuer.jwks())
    (folder / "approvers.json").write_text(world.approvers.jwks())
    make_keys(folder / "keys.json", replace=False)
    source = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json", "algorithms": ["ES256"]}
    listen = dict.fromkeys(("grpc", "web", "admin"), "127.0.0.1:0")
    configuration: dict[str, object] = {
        "listen": {**listen, **({"approvals": "127.0.0.1:0"} if version.approvals else {})},
        "policies": ["policies/"],
        "store": store,
        "identity": {"users": [{**source, "from": ["authorization", "cookie:session"]}]},
        "audit": {"path": "audit.jsonl"},
    }
    if version.approvals:
        tokens = {"issuer": ISSUER, "audiences": ["approvals"], "algorithms": ["ES256"], "jwks": "approvers.json"}
        configuration["approvals"] = {"url": "https://approvals.example.com", "tokens": tokens}
    world.config.write_text(json.dumps(configuration))
    return world


@dataclass(frozen=True, kw_only=True)
class Left:
    """What was there when the old version stopped: the cookies of bob's two browsers, of which one has proven and one
    is at a challenge, and approvals by who asked."""

    used_code: str
    proven: dict[str, str]
    challenged: dict[str, str]
    ticket: str
    approvals: Mapping[str, str]


async def leave(world: World, site: Site) -> Left:
    """Prove, begin, ask and vote."""
    async with Gateway(site) as gateway:
        used = world.code("alice")
        assert await gateway.reason(world.asks("alice", "/fresh/1", used)) == "allowed"
        one, other = (Browser.of("bob", gateway, site) for _ in range(2))
        assert await one.prove(await one.challenged("/once/one"), "totp", world.code("bob")) == 303
        waiting = await other.challenged("/once/other")
        assert await gateway.reason(world.asks("mallory", "/x")) == "subject-blocked"
        approvals = {}
        if world.version.approvals:
            for sub, votes in (("dora", ("anna",)), ("erin", ("anna", "ben"))):
                approvals[sub] = await asked_approval(gateway, world, sub)
                assert [world.vote(site, approvals[sub], by) for by in votes] == [200] * len(votes)
            denied = await asked_approval(gateway, world, DENIED)
            assert world.vote(site, denied, "anna", stance="deny") == 200
        return Left(used_code=used, proven=one.cookies, challenged=other.cookies, ticket=waiting, approvals=approvals)


async def find(world: World, site: Site, left: Left, *, server: int = 0) -> None:
    """All of it is there, and is used up as ever."""
    async with Gateway(site) as gateway:
        assert await gateway.reason(world.asks("alice", "/fresh/2")) == "allowed"
        reason = await gateway.reason(world.asks("alice", "/once/alice", left.used_code))
        # On a busy machine it may be over meanwhile, and is then not looked up.
        is_over = int(time.time()) // STEP_SECONDS > world.steps["alice"] + 1
        assert reason != "allowed" if is_over else reason == "code-used"
        assert await gateway.reason(world.asks("alice", "/once/alice", world.code("alice"))) == "allowed"
        one, other = (Browser(gateway=gateway, cookies=cookies) for cookies in (left.proven, left.challenged))
        assert [await gateway.reason(one.request("/once/one")) for _ in range(2)] == ["allowed", "proof-required"]
        if not world.version.tickets:
            # They had another form then: it is refused, and the browser is sent to a new challenge.
            assert await other.prove(left.ticket, "totp", "000000") == 400
            left = replace(left, ticket=await other.challenged("/once/other"))
        assert await other.prove(left.ticket, "totp", world.code("bob")) == 303
        assert [await gateway.reason(other.request("/once/other")) for _ in range(2)] == ["allowed", "proof-required"]
        assert await gateway.reason(world.asks("mallory", "/x")) == "subject-blocked"
        if left.approvals:
            assert await gateway.reason(world.asks(DENIED, f"/pay/{DENIED}")) == "approval-denied"
            assert await gateway.reason(world.asks("dora", "/pay/dora")) == "approval-required"
            assert world.vote(site, left.approvals["dora"], "anna", server) == 409, "their vote is there"
            assert world.vote(site, left.approvals["dora"], "ben", server) == 200
            for sub in left.approvals:
                uses = [await gateway.reason(world.asks(sub, f"/pay/{sub}")) for _ in range(2)]
                assert uses == ["allowed", "approval-required"]


async def asked_approval(gateway: Gateway, world: World, sub: str) -> str:
    """The id of the approval that this person's request waits for."""
    answer = await gateway.check(world.asks(sub, f"/pay/{sub}"))
    (approval,) = json.loads(answer.denied_response.body)["approvals"]
    return str(approval)


@contextmanager
def lived(tmp_path: Path, version: Version, store: str, program: Program) -> Iterator[World]:
    """People with authenticator apps, and one who is blocked, as this version has them."""
    with shared_store(store) as shared:
        world = new_world(tmp_path, version, shared.url)
        for sub in ("alice", "bob"):
            world.enroll(sub, program)
        program.says("subjects", "block", "mallory", "--issuer", ISSUER, "--config", world.config)
        yield world
