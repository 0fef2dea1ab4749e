"""What others have said of subjects, what these are used to do, and the devices that they have proven themselves on."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx
import pytest
from app.callers import Browser, Gateway, new_request
from app.replicas import Site
from lookup.deciding import key_set
from patience import comes
from signals.transmitting import KEY, RISC, SECRET, claims, complex_subject, event, iss_sub, opaque, signed, written
from upgrade.earlier import Program
from upgrade.state import World

from extauthz.cli.quickstart.tokens import ISSUER

POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: usual}
spec:
  variables: {amount: double(request.query.amount)}
  rules:
    - name: at-risk
      paths: ["/calm"]
      when: has(reported.risk_level) && reported.risk_level == "HIGH"
      effect: deny
      deny: {reason: too-risky}
    - name: too-often
      paths: ["/export"]
      when: rate("export " + user.sub, duration("1h")) > 3
      effect: deny
      deny: {reason: too-often}
    - name: first-time
      paths: ["/shop"]
      when: "!seen('shop')"
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: request}
    - name: far-more
      paths: ["/transfer"]
      when: baseline("amount", user.sub).count >= 3 && variables.amount > 10.0 * baseline("amount", user.sub).p95
      effect: deny
      deny: {reason: far-more-than-usual}
    - name: strange
      paths: ["/home/*"]
      when: "!device.known"
      effect: deny
      deny: {reason: unknown-device}
    - name: broken
      paths: ["/home/secret"]
      when: reported.?device_compliance.orValue("compliant") != "compliant"
      effect: deny
      deny: {reason: device-not-in-order}
    - name: in-a-hurry
      paths: ["/quiet"]
      when: risk.level == "high"
      effect: deny
      deny: {reason: in-a-hurry}
---
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  signals:
    hurry:
      when: has(request.query.hurry)
      half_life: 6h
      weight: 50
      reason: was in a hurry
  levels: {low: 0, high: 30}
"""
_USUAL: Final = (100, 110, 120, 130)
_TRIES: Final = 3


def prepare(world: World) -> None:
    """The rules that ask for it, and a transmitter."""
    (world.folder / "policies" / "usual.yaml").write_text(POLICY)
    (world.folder / "ssf.json").write_text(key_set(KEY))
    (world.folder / "ssf.secret").write_text(SECRET)
    about = {"issuers": [ISSUER], "devices": True}
    world.configure(signals={"transmitters": [written(secret={"file": "ssf.secret"}, about=about)]})


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was said and done: `at` the risk of alice was raised; `token` is what carol had when her account was
    disabled, `pushed` is the token that told of it, and `said` what that says. `browsers` are the cookies of dan's two:
    the first one's device is not in order, and the second one's was revoked."""

    at: int
    token: str
    pushed: str
    said: Mapping[str, Any]
    browsers: tuple[dict[str, str], ...]
    devices: frozenset[str]


def push(site: Site, token: str, server: int = 0) -> int:
    """The status of a server's answer to what a transmitter pushes; a 503 is to be sent again."""
    url = f"http://{site.replicas[server].said['web']}/.extauthz/signals/idp"
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/secevent+jwt"}
    for _ in range(_TRIES):
        status = httpx.post(url, content=token, headers=headers, timeout=15).status_code
        if status != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(1)
    return status


def say(site: Site, events: dict[str, Any], about: Any, server: int = 0) -> None:
    """Push a token that says this."""
    assert push(site, signed(claims(events, about)), server) == 202


def risk(level: str, at: int) -> dict[str, Any]:
    """That the risk of somebody's account is of this level from then on."""
    return event("risk-level-change", current_level=level, principal="USER", event_timestamp=at)


def become_known(world: World, site: Site, program: Program) -> Known:
    """Do and say what is to be known later, by a server of this program."""
    at, token = int(time.time()), world.token("carol")
    browsers, devices = asyncio.run(_proven_devices(world, site, program))
    say(site, risk("HIGH", at), iss_sub("alice", ISSUER))
    say(site, event("session-revoked"), complex_subject(user=iss_sub("bob", ISSUER), session=opaque("session-of-bob")))
    said = claims({RISC + "account-disabled": {"event_timestamp": at}}, iss_sub("carol", ISSUER))
    pushed = signed(said)
    assert push(site, pushed) == 202
    not_in_order = event("device-compliance-change", previous_status="compliant", current_status="not-compliant")
    say(site, not_in_order, complex_subject(user=iss_sub("dan", ISSUER), device=opaque(devices[0])))
    program.says("devices", "revoke", "dan", "--issuer", ISSUER, "--device", devices[1], "--config", world.config)
    leave_behind(site, partial(_do_the_usual, world, site))
    return Known(at=at, token=token, pushed=pushed, said=said, browsers=browsers, devices=frozenset(devices))


async def _do_the_usual(world: World, site: Site) -> int:
    """Returns how many of these requests leave something behind: by `seen`, by `baseline`, and by a signal of risk."""
    async with Gateway(site) as gateway:
        while await gateway.reason(world.asks("alice", "/export")) == "allowed":
            pass
        assert await gateway.reason(world.asks("alice", "/shop", world.code("alice"))) == "allowed"
        assert await gateway.reason(world.asks("alice", "/quiet?hurry=1")) == "in-a-hurry"
        for amount in _USUAL:
            assert await gateway.reason(world.asks("alice", f"/transfer?amount={amount}")) == "allowed"
    return 2 + len(_USUAL)


def leave_behind(site: Site, ask: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Ask, until the store has what is left behind. What one on a busy machine loses is told, and asked again."""
    for _ in range(_TRIES):
        before = _habits(site)
        count = asyncio.run(ask())
        assert comes(lambda: _settled(site) >= sum(before) + count), _habits(site)  # noqa: B023 - called at once
        if _habits(site)[1] == before[1]:
            return
    pytest.fail(f"the store takes nothing: {_habits(site)}")


def _settled(site: Site) -> float:
    """What became of what was left behind."""
    return sum(_habits(site))


def _habits(site: Site) -> tuple[float, float]:
    """How often the first server has written what a request left behind, and has lost it."""
    text = httpx.get(f"http://{site.replicas[0].said['admin']}/metrics", timeout=15).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    written, lost = (float(values[f'extauthz_habits_total{{result="{result}"}}']) for result in ("written", "lost"))
    return written, lost


async def _proven_devices(
    world: World, site: Site, program: Program
) -> tuple[tuple[dict[str, str], ...], tuple[str, ...]]:
    """The cookies of two browsers that dan has proven something in, and the ids of their devices."""
    browsers: list[dict[str, str]] = []
    devices: list[str] = []
    async with Gateway(site) as gateway:
        for number in range(2):
            browser = Browser.of("dan", gateway, site)
            ticket = await browser.challenged(f"/once/{number}")
            assert await browser.prove(ticket, "totp", world.code("dan")) == 303
            browsers.append(browser.cookies)
            (new,) = listed_devices(world, program) - set(devices)
            devices.append(new)
    return tuple(browsers), tuple(devices)


def listed_devices(world: World, program: Program) -> set[str]:
    """The ids of dan's devices."""
    told = program.says("devices", "list", "dan", "--issuer", ISSUER, "--config", world.config, "--format", "json")
    return {one["id"] for one in json.loads(told)}


async def find_known(world: World, site: Site, known: Known, program: Program) -> None:
    """All of it is known to a server of this program, and what is said and done from here on adds to it."""
    assert listed_devices(world, program) == known.devices
    async with Gateway(site) as gateway:
        await find_habits(world, gateway)
        homes = [Browser(gateway=gateway, cookies=cookies) for cookies in known.browsers]
        for path, reason in (("/home/1", "allowed"), ("/home/secret", "device-not-in-order")):
            assert [await gateway.reason(one.request(path)) for one in homes] == [reason, "unknown-device"]
        assert await gateway.reason(world.asks("bob", "/x")) == "token-revoked"
        assert await gateway.reason(world.asks("carol", "/x")) == "subject-blocked"
        assert push(site, signed({**known.said, "events": {RISC + "account-enabled": {}}})) == 400, "its `jti` was used"
        assert push(site, known.pushed) == 202, "it was taken before"
        say(site, risk("LOW", known.at - 60), iss_sub("alice", ISSUER))
        assert await gateway.reason(world.asks("alice", "/calm")) == "too-risky", "the newest holds"
        say(site, risk("LOW", known.at + 1), iss_sub("alice", ISSUER))
        assert await gateway.reason(world.asks("alice", "/calm")) == "allowed"
        say(site, {RISC + "account-enabled": {"event_timestamp": known.at + 1}}, iss_sub("carol", ISSUER))
        earlier = new_request("/x", authorization=f"Bearer {known.token}")
        assert await gateway.reason(earlier) == "token-revoked", "what carol was given before stays so"


async def find_habits(world: World, gateway: Gateway) -> None:
    """What is usual, and how often it was."""
    assert await gateway.reason(world.asks("alice", "/export")) == "too-often"
    assert await gateway.reason(world.asks("erin", "/export")) == "allowed"
    assert await gateway.reason(world.asks("alice", "/shop")) == "allowed"
    assert await gateway.reason(world.asks("erin", "/shop")) == "proof-required"
    quiet = [await gateway.reason(world.asks(sub, "/quiet")) for sub in ("alice", "erin")]
    assert quiet == ["in-a-hurry", "allowed"]
    assert await gateway.reason(world.asks("alice", "/transfer?amount=2000")) == "far-more-than-usual"
    assert await gateway.reason(world.asks("alice", "/transfer?amount=1000")) == "allowed"
    assert await gateway.reason(world.asks("erin", "/transfer?amount=2000")) == "allowed"
