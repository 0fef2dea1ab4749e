"""A server of the APIs by which approvals are answered, as the app puts it together, and the people who use it.

It runs on an event loop in a thread of its own, on real sockets; the tests are its clients.
"""

import asyncio
import json
import os
import threading
import time
from base64 import b32encode
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
import jsonschema
import pyotp
from lookup.deciding import SigningKey, key_set, new_key
from starlette.applications import Starlette

from extauthz.app.approval_apis import ApprovalApis
from extauthz.app.listening import WebServer
from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.approval.on_call import Schedules
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals, BrokenGlass, Granted, Pending
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.policy.approving import terms_of
from extauthz.policy.load import load_text
from extauthz.settings import Settings, load_settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment, Selection, Store
from extauthz.values.approvals import Approval, Approver, Picture, Proof, Requesters
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, ChallengeDemand
from extauthz.values.identity import Subject
from extauthz.web.approval_openapi import OPENAPI

PEOPLE = "https://people.example.com"
"""The issuer of approvers."""
APP = "https://idp.example.com"
"""That of users."""
AUDIENCE = "approvals"
KEY = new_key("p1")
OTHER_KEY = new_key("p2")
SECRET = b"0123456789abcdef0123"
UMA = Subject(APP, "uma")
ROBOT = "spiffe://prod.example.org/ns/shop/sa/bot"
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: bank}
spec:
  rules:
    - name: two
      paths: ["/two"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, deny_min: 2, bind: request, cooldown: 10m}
    - name: one
      paths: ["/one"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, reason: required, expires_in: 1h}
    - name: fresh
      paths: ["/fresh"]
      effect: approve
      approve: {approvers: {groups: [treasury], factors: [totp], max_age: 2m}}
    - name: glass
      paths: ["/glass"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, break_glass: {groups: [ops], factors: [totp]}}
    - {name: open, paths: ["/**"], effect: allow}
"""

_T = TypeVar("_T")


def configure(folder: Path, *, tokens: dict[str, Any] | None = None, **listen: Any) -> Path:
    """A configuration in `folder`; `tokens` changes `approvals.tokens`, `listen` where it listens."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "bank.yaml").write_text(POLICY)
    (folder / "people.json").write_text(key_set(KEY))
    config = {
        "listen": {
            **dict.fromkeys(("grpc", "web", "admin", "approvals", "approvals_grpc"), "127.0.0.1:0"),
            **listen,
        },
        "policies": ["policies/"],
        "approvals": {
            "url": "https://approvals.example.com",
            "claims": ["department"],
            "tokens": {
                "issuer": PEOPLE,
                "audiences": [AUDIENCE],
                "algorithms": ["ES256"],
                "jwks": "people.json",
                "proofs": {"amr": {"otp": "totp"}},
                **(tokens or {}),
            },
        },
    }
    (folder / "extauthz.yaml").write_text(json.dumps(config))
    return folder / "extauthz.yaml"


def with_users(path: Path, *issuers: str) -> Path:
    """The same configuration, with users of these issuers."""
    config = json.loads(path.read_text())
    source = {"audiences": ["app"], "algorithms": ["ES256"], "jwks": "people.json"}
    users = [{"name": f"users-{number}", "issuer": issuer, **source} for number, issuer in enumerate(issuers)]
    config["identity"] = {"users": users}
    config["approvals"]["persons"] = {"claim": "sub"}
    path.write_text(json.dumps(config))
    return path


def token(sub: str, *groups: str, key: SigningKey = KEY, **claims: object) -> str:
    """A token of an approver, good for all tests; a claim that is `None` is left out."""
    said = {
        "exp": int(time.time()) + 86_400,
        "iss": PEOPLE,
        "aud": AUDIENCE,
        "sub": sub,
        "groups": list(groups),
        "name": sub.title(),
        **claims,
    }
    return key.token(**said)


ANNA, BEN, CLEO = (token(name, "treasury") for name in ("anna", "ben", "cleo"))
STRANGER = token("stranger", "kitchen")


def is_described(answer: httpx.Response, verb: str, path: str) -> None:
    """Hold an answer of the API to what its description says."""
    pattern = next((one for one in OPENAPI["paths"] if fits(one, path)), None)
    if pattern is None or verb not in OPENAPI["paths"][pattern]:
        return
    said = OPENAPI["paths"][pattern][verb]["responses"][str(answer.status_code)]
    if "content" not in said:
        assert answer.content == b""
        return
    ((kind, content),) = said["content"].items()
    assert answer.headers["content-type"].partition(";")[0] == kind
    if kind.endswith("json"):
        document = {**content["schema"], "components": OPENAPI["components"]}
        jsonschema.Draft202012Validator(document).validate(answer.json())


def fits(pattern: str, path: str) -> bool:
    """Whether a path is one of a pattern with `{id}`; a literal one goes before."""
    if path in OPENAPI["paths"]:
        return pattern == path
    parts, given = pattern.split("/"), path.split("/")
    return len(parts) == len(given) and all(one in ("{id}", two) for one, two in zip(parts, given, strict=True))


@dataclass
class Desk:
    """The APIs of one server, and what they work on."""

    folder: Path
    settings: Settings
    store: Store
    keys: KeyRing
    approvals: Approvals
    feed: RevocationFeed
    news: ApprovalNews
    loop: asyncio.AbstractEventLoop
    address: str = ""
    rpc: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something where the server is."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def ask(self, method: str, path: str, *, token: str | None = ANNA, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = httpx.request(method, self.url + path, headers=headers, timeout=30, **options)
        is_described(answer, method.lower(), path.partition("?")[0])
        return answer

    def vote(self, id_: str, stance: str = "approve", *, token: str | None = ANNA, **sent: Any) -> httpx.Response:
        return self.ask("POST", f"/v1/approvals/{id_}/{stance}", token=token, json=sent)

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.rpc)

    def opened(self, rule: str = "two", *, glass: bool = False, **changes: Any) -> Approval:
        """What Uma asks for through a robot; with `glass` she goes through at once."""
        demand = demanded(rule, **changes)
        broken = None
        if glass:
            assert demand.break_glass is not None
            broken = BrokenGlass(
                offer=demand.break_glass, reason="the house burns", proof=Proof(factor="otp", at=time.time())
            )
        asked = self.run(
            self.approvals.ask(demand, holder="cookie:c", picture=pictured(rule), since=None, glass=broken)
        )
        assert isinstance(asked, Pending | Granted)
        return asked.approval

    def granted(self) -> list[str]:
        """The grants that Uma has."""
        return [grant.id for grant in self.run(self.store.grants(Selection(subject=UMA), now=time.time()))]

    def enroll(self, sub: str) -> pyotp.TOTP:
        """Give an approver an authenticator app."""
        subject = Subject(PEOPLE, sub)
        factor = seal_factor(
            SECRET, subject=subject, confirmed=True, keys=self.keys, now=time.time(), entropy=os.urandom
        )
        self.run(self.store.enroll(Enrolment(subject=subject, factors=(factor,)), now=time.time()))
        return pyotp.TOTP(b32encode(SECRET).decode("ascii"))


def demanded(rule: str, **changes: Any) -> ApprovalDemand:
    """What a decision on Uma's request asks for."""
    by = Approver(subject=UMA, person="uma", groups=frozenset({"ops"}))
    offer = BreakGlassOffer(
        by=by,
        demand=ChallengeDemand(rule=f"bank/{rule}", factors=("totp",), max_age=300.0, binding=f"break-glass:{rule}"),
        valid_for=900.0,
    )
    fields: dict[str, Any] = {
        "rule": f"bank/{rule}",
        "binding": f"b-{time.time_ns()}",
        "min": 1,
        "expires_in": 900.0,
        "hold": 0.0,
        "bind": "request",
        "subject": UMA,
        "session": "s1",
        "requesters": Requesters(persons=("uma",), subjects=(UMA, Subject("", ROBOT))),
        "break_glass": offer if rule == "glass" else None,
        **changes,
    }
    return ApprovalDemand(**fields)


def pictured(rule: str) -> Picture:
    return Picture(
        user="uma",
        issuer=APP,
        claims={"status": "employed", "tenant": "t1"},
        workload=ROBOT,
        method="POST",
        scheme="https",
        host="bank.example.com",
        path=f"/{rule}",
        query={"amount": ("5000",)},
        masked=("token",),
        show={"amount": "5,000 €"},
        description="Large transfers",
        why="variables.amount > 1000.0",
        client_ip="203.0.113.9",
        place={"country": "CH"},
        revision="sha256:1",
        decision_id="d1",
    )


@contextmanager
def answering(config: Path, *, schedules: Schedules | None = None) -> Iterator[Desk]:
    """The APIs under this configuration, as long as it lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        ready: Future[Desk] = Future()
        ending = asyncio.Event()
        served = asyncio.run_coroutine_threadsafe(_serve(config, schedules or {}, ready, ending), loop)
        try:
            yield ready.result(30)
        finally:
            loop.call_soon_threadsafe(ending.set)
            served.result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _serve(config: Path, schedules: Schedules, ready: "Future[Desk]", ending: asyncio.Event) -> None:
    settings = load_settings(config)
    store, keys = open_configured_store(settings), load_keys(settings)
    policies = load_text(POLICY)
    feed = RevocationFeed(store, max_staleness=60.0)
    await feed.load()
    approvals = Approvals(
        store=store,
        terms_of=lambda rule, now: terms_of(policies, rule, now=now),
        clock=time.time,
        entropy=os.urandom,
        keep=3600.0,
        most_open=50,
        schedules=schedules,
    )
    news = ApprovalNews(store)
    assert settings.approvals.tokens is not None
    apis = ApprovalApis(
        settings, settings.approvals.tokens, approvals=approvals, news=news, store=store, keys=keys, revocations=feed
    )
    web = WebServer(Starlette(routes=list(apis.routes)), address=settings.listen.approvals, key="listen.approvals")
    following = [asyncio.create_task(one) for one in (news.follow(), feed.follow(), apis.follow(), apis.watch())]
    serving = asyncio.create_task(web.serve())
    try:
        await apis.start()
        ready.set_result(
            Desk(
                folder=config.parent,
                settings=settings,
                store=store,
                keys=keys,
                approvals=approvals,
                feed=feed,
                news=news,
                loop=asyncio.get_running_loop(),
                address=web.address,
                rpc=apis.address or "",
            )
        )
        await ending.wait()
    finally:
        await apis.stop(1)
        web.stop()
        await serving
        web.close()
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await apis.close()
        await store.close()
