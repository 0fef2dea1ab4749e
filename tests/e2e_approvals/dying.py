"""Servers that share one store and die all the time, and who goes on with them: callers, approvers, a receiver.

The rule: what somebody was told is noted as soon as it was, and what nobody was told is asked again: a Check as the
very same Check, a vote as another vote. So what is noted can be held against what is in the store at the end.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

import httpx
from app.callers import Gateway, new_request
from app.replicas import Replica, SharedFile, Site
from checking import told
from publishing import Asked, Page, publishing
from publishing import Site as Receiver
from redises import RedisProcess
from serving import TRANSPORTS
from telling.telling_parts import SECRET

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer

CALLERS = 8
PEOPLE = ("anna", "ben", "cleo")
NEEDED = 2
"""So many of them must agree; one who doesn't is enough."""
HOOK = "/hook"
LISTEN = dict.fromkeys(("grpc", "web", "admin", "approvals"), "127.0.0.1:0")
_PATHS = ("/held", "/held", "/polled", "/polled", "/late")
_AGAIN, _DENIED, _TWICE = 0.05, 0.1, 0.3
_SOON = 0.5
"""Seconds after which somebody else is killed, at most."""
_INSIDE = 0.5
"""How many of the servers that are in an Envoy lose that alone."""
_UNREADY = 0.2
"""How many of those who are started again need not serve before the next one is killed."""
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: bank}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: held
      paths: ["/held"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, bind: request, hold: 2s, expires_in: 1h, valid_for: 1h}
    - name: polled
      paths: ["/polled"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, bind: request, expires_in: 1h, valid_for: 1h}
    - name: late
      paths: ["/late"]
      effect: approve
      approve: {approvers: {groups: [nobody]}, escalate: [{after: 1s, groups: [nobody-else]}], expires_in: 3s}
"""


@dataclass(kw_only=True)
class Noted:
    """What callers and approvers were told: ids of approvals, (id, person) of votes, Checks of each that passed."""

    asked: set[str] = field(default_factory=set)
    votes: list[tuple[str, str]] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True)
class Dying:
    """All of them; `redis` is the store that dies, too, where there is one."""

    site: Site
    receiver: Receiver
    redis: RedisProcess | None
    chance: random.Random
    noted: Noted = field(default_factory=Noted)
    _enough: bool = False
    _numbers: int = 0

    @property
    def taken(self) -> Sequence[Asked]:
        """The deliveries that the receiver has taken; what was cut off by a kill is none."""
        return [one for one in self.receiver.asked if len(one.body) == int(one.headers["content-length"])]

    async def live(self, kills: int) -> None:
        """Until so many processes were killed, all are back, and all callers know what became of their requests."""
        async with Gateway(self.site) as gateway, httpx.AsyncClient(timeout=5) as client:
            voting = [asyncio.create_task(self._vote(client, person)) for person in PEOPLE]
            calling = [asyncio.create_task(self._call(gateway)) for _ in range(CALLERS)]
            await self._kill(kills)
            self._enough = True
            await asyncio.gather(*calling)
            for task in voting:
                task.cancel()
            for ended in await asyncio.gather(*voting, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def _kill(self, kills: int) -> None:
        mortals = [*self.site.replicas, *self.site.replicas, self.redis or self.receiver, self.receiver]
        for _ in range(kills):
            await asyncio.sleep(self.chance.uniform(0, _SOON))
            ill = self.chance.choice(mortals)
            match ill:
                case Replica():
                    self.noted.killed[await asyncio.to_thread(self._strike, ill)] += 1
                    if self.chance.random() > _UNREADY:
                        await asyncio.to_thread(ill.wait)
                case RedisProcess():
                    self.noted.killed["redis"] += 1
                    await asyncio.to_thread(ill.stop, how=SIGKILL)
                    await asyncio.to_thread(ill.start)
                case Receiver():
                    self.noted.killed["receiver"] += 1
                    await asyncio.to_thread(ill.down)
                    await asyncio.sleep(self.chance.uniform(0, _SOON))
                    ill.up()
        for replica in self.site.replicas:
            await asyncio.to_thread(replica.wait)

    def _strike(self, ill: Replica) -> str:
        """Kill a server, or now and then only the Envoy that it is in; returns what was killed."""
        if self.chance.random() < _INSIDE and ill.kill_envoy():
            return "envoy"
        ill.kill()
        ill.start()
        return "server"

    async def _call(self, gateway: Gateway) -> None:
        """Somebody new asks for something new, again and again."""
        while not self._enough:
            self._numbers += 1
            sub, path = f"caller-{self._numbers}", _PATHS[self._numbers % len(_PATHS)]
            token = self.site.token(sub)
            reason = await self._asks(gateway, sub, path, token)
            while reason == "approval-required" and path != "/late":
                await asyncio.sleep(_AGAIN)
                reason = await self._asks(gateway, sub, path, token)
            if self.noted.passed[sub] and self.chance.random() < _TWICE:
                await self._asks(gateway, sub, path, token)

    async def _asks(self, gateway: Gateway, sub: str, path: str, token: str) -> str:
        """Send one Check, which is like no other, and note what came of it."""
        answer = await gateway.check(new_request(path, authorization=f"Bearer {token}"))
        reason = told(answer)["reason"]
        self.noted.reasons[reason] += 1
        self.noted.passed[sub] += reason == "allowed"
        if reason == "approval-required":
            self.noted.asked.update(json.loads(answer.denied_response.body)["approvals"])
        return reason

    async def _vote(self, client: httpx.AsyncClient, person: str) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0, 2 * _AGAIN))
            token = self.site.issuer.token(person, {"aud": "approvals", "groups": ["treasury"]}, now=time.time())
            headers = {"authorization": f"Bearer {token}"}
            door = f"http://{self.chance.choice(self.site.replicas).said['approvals']}/v1/approvals"
            try:
                listed = await client.get(door, params={"status": "pending", "limit": 20}, headers=headers)
                waiting = [one["id"] for one in listed.json()["approvals"]] if listed.status_code == 200 else []
                if waiting:
                    id_, stance = self.chance.choice(waiting), "deny" if self.chance.random() < _DENIED else "approve"
                    if (await client.post(f"{door}/{id_}/{stance}", json={}, headers=headers)).status_code == 200:
                        self.noted.votes.append((id_, person))
            except httpx.TransportError:  # nobody is there just now
                continue


@contextmanager
def dying(folder: Path, kind: str, seed: str) -> Iterator[Dying]:
    """Two servers on one Redis, one for each transport, or one on a SQLite file; all of it is gone afterwards."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    with ExitStack() as stack:
        receiver = stack.enter_context(publishing())
        receiver.pages[HOOK] = Page(status=204)
        redis = None
        if kind == "redis":
            redis = RedisProcess(folder / "redis", "--appendonly", "yes", "--appendfsync", "always")
            stack.enter_context(redis.start())
        store, transports = (SharedFile(folder).url, TRANSPORTS[:1]) if redis is None else (redis.url, TRANSPORTS)
        site = _site(folder, store, receiver, transports)
        for replica in site.replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in site.replicas:
            replica.wait()
        yield Dying(site=site, receiver=receiver, redis=redis, chance=chance)


def _site(folder: Path, store: str, receiver: Receiver, transports: Sequence[str]) -> Site:
    issuer = TokenIssuer.create()
    known = {"issuer": ISSUER, "jwks": "jwks.json", "algorithms": ["ES256"]}
    hook = {"name": "hook", "url": receiver.url + HOOK, "secrets": [{"file": "hook.secret"}], "timeout": "2s"}
    configuration = {
        "listen": LISTEN,
        "policies": ["policies/"],
        "reload": {"watch": False},
        "store": store,
        "identity": {"users": [{**known, "name": "idp", "audiences": [AUDIENCE]}]},
        "approvals": {
            "url": "https://approvals.example.com",
            "tokens": {**known, "audiences": ["approvals"]},
            "webhooks": [{**hook, "addresses": ["127.0.0.1"]}],
        },
    }
    (folder / "policies").mkdir()
    (folder / "policies" / "bank.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text(issuer.jwks())
    (folder / "hook.secret").write_text(SECRET)
    (folder / "extauthz.yaml").write_text(json.dumps(configuration))
    make_keys(folder / "keys.json", replace=False)
    replicas = [Replica(folder, number, transport) for number, transport in enumerate(transports)]
    return Site(folder=folder, issuer=issuer, replicas=replicas)
