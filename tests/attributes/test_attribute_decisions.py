"""Decisions that read external facts, through a whole checker: who is asked, how long, and what a failure comes to."""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attributes.asking_sources import over_http, sources_of, until
from checking import told
from finishing import finished
from kept_records import Records
from policy.making import document, rule
from publishing import Page, Site

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check import gathering
from extauthz.check.checker import Checker
from extauthz.check.finishing import COMMIT_MARGIN
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.lookup.attributes.sources import AttributeSources
from extauthz.policy.attribute_sources import attributes_type
from extauthz.policy.declared import Declared
from extauthz.policy.load import load_text
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.wire.compose import check_request

AGENT = "spiffe://prod.example.org/ns/agents/sa/a1"
PATH = "/agents/a1"
GOLD = rule("gold", "allow", paths=["/gold"], when="attributes.crm.tier == 'gold'")
OPEN = rule("open", "allow", paths=["/open"])


@dataclass
class World:
    """A checker and the sources that it asks, in an event loop that runs."""

    checker: Checker
    sources: AttributeSources
    records: Records

    def start(self, path: str) -> Any:
        """What a Check of a GET by the agent comes to at once."""
        return self.checker.start(
            check_request(host="shop.example.com", path=path, principal=AGENT, source_ip="192.0.2.1")
        )

    async def reason(self, path: str, *, patience: float | None = None) -> str:
        """Why it is answered as it is; its caller waits for so many seconds."""
        opened = self.start(path)
        deadline = None if patience is None else time.monotonic() + patience
        answer = opened if isinstance(opened, bytes) else await finished(self.checker, opened, deadline=deadline)
        return told(CheckResponse.FromString(answer))["reason"]


@asynccontextmanager
async def deciding(source: Mapping[str, object], *rules: dict[str, Any]) -> AsyncIterator[World]:
    settings = sources_of(source)
    sources = AttributeSources(settings, base=Path())
    declared = Declared(attributes=attributes_type(one.declared for one in settings))
    policies = load_text(json.dumps(document("p", *rules)), "p.yaml", declared=declared)
    records = Records()
    checker = Checker(
        Ruling(policies=policies, resolver=Resolver(IdentitySettings(), ClientSettings(), {})),
        Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=MemoryStore(),
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
            recorder=records,
            sources=sources,
        ),
    )
    try:
        yield World(checker, sources, records)
    finally:
        await sources.close()


def crm(site: Site, **fields: Any) -> dict[str, object]:
    fields = {"ask": {"user": "workload.service_account"}, **fields}
    return {**over_http(site.url, **fields), "http": {"url": site.url + "/agents/{user}"}}


def page(**told: object) -> Page:
    return Page(body=json.dumps(told), headers={"content-type": "application/json"})


def test_a_source_is_asked_if_a_rule_that_may_speak_reads_it_and_never_else(site: Site) -> None:
    site.pages[PATH] = page(tier="gold")

    async def scene() -> None:
        async with deciding(crm(site), GOLD, OPEN) as world:
            assert isinstance(world.start("/open"), bytes)
            assert isinstance(world.start("/elsewhere"), bytes)
            assert site.asked == []
            assert await world.reason("/gold") == "allowed"
            site.pages[PATH] = page(tier="free")
            assert await world.reason("/gold") == "no-rule-allows"
            assert site.count(PATH) == 2

    asyncio.run(scene())


def test_what_is_remembered_is_decided_at_once(site: Site) -> None:
    site.pages[PATH] = page(tier="gold")

    async def scene() -> None:
        async with deciding(crm(site, cache={"ttl": "1h"}), GOLD) as world:
            assert not isinstance(world.start("/gold"), bytes)
            assert await world.reason("/gold") == "allowed"
            site.down()
            answer = world.start("/gold")
            assert isinstance(answer, bytes)
            assert told(CheckResponse.FromString(answer))["reason"] == "allowed"
            assert site.count(PATH) == 1

    asyncio.run(scene())


GUARD = rule("blocked", "deny", paths=["/**"], when="has(attributes.crm.blocked) && attributes.crm.blocked")
FIELDS = {"fields": {"tier": "string", "blocked": "bool"}}


@pytest.mark.parametrize(
    ("on_failure", "rules", "reason"),
    [
        ("error", [GOLD], "no-rule-allows"),
        ("error", [GOLD, rule("all", "allow", paths=["/gold"])], "allowed"),
        ("error", [GOLD, rule("all", "allow", paths=["/gold"]), GUARD], "policy-error"),
        ("deny", [GOLD], "state-unavailable"),
        ("deny", [GOLD, rule("all", "allow", paths=["/gold"])], "state-unavailable"),
        ("deny", [rule("all", "allow", paths=["/gold"]), GUARD], "state-unavailable"),
        ("deny", [rule("all", "allow", paths=["/gold"]), {**GUARD, "mode": "shadow"}], "allowed"),
        ("absent", [GOLD], "no-rule-allows"),
        ("absent", [rule("all", "allow", paths=["/gold"]), GUARD], "allowed"),
    ],
)
def test_a_failure_comes_to_what_the_configuration_says(
    site: Site, on_failure: str, rules: list[dict[str, Any]], reason: str
) -> None:
    site.down()

    async def scene() -> None:
        async with deciding(crm(site, on_failure=on_failure, **FIELDS), *rules) as world:
            assert await world.reason("/gold") == reason

    asyncio.run(scene())


def test_a_rule_in_shadow_is_evaluated_and_holds_nothing_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    shadow = {**GUARD, "mode": "shadow"}

    async def scene() -> None:
        async with deciding(crm(site, timeout="30s", **FIELDS), rule("all", "allow", paths=["/gold"]), shadow) as world:
            site.pages[PATH] = page(blocked=True)
            monkeypatch.setattr(gathering, "SHADOW_PATIENCE", 20.0)
            assert await world.reason("/gold") == "allowed"
            monkeypatch.undo()
            site.pages[PATH] = Page(held=held)
            async with asyncio.timeout(20):
                assert await world.reason("/gold") == "allowed"
            held.set()
            shown = [[one.result for one in record.rules] for record in world.records.kept]
            assert shown == [["match", "match"], ["match", "error"]]

    asyncio.run(scene())


def test_the_answer_comes_before_the_caller_is_gone(site: Site) -> None:
    held = threading.Event()
    site.pages[PATH] = Page(held=held)

    async def scene() -> None:
        async with deciding(crm(site, timeout="30s"), GOLD) as world, asyncio.timeout(20):
            assert await world.reason("/gold", patience=COMMIT_MARGIN + 0.1) == "no-rule-allows"
            assert await world.reason("/gold", patience=0.0) == "no-rule-allows"
            held.set()

    asyncio.run(scene())


def test_a_workload_that_is_nobody_asks_nobody(site: Site) -> None:
    async def scene() -> None:
        async with deciding(crm(site), GOLD) as world:
            opened = world.checker.start(check_request(host="shop.example.com", path="/gold", source_ip="192.0.2.1"))
            assert not isinstance(opened, bytes)
            answer = await finished(world.checker, opened, deadline=None)
            assert told(CheckResponse.FromString(answer))["reason"] == "no-rule-allows"
            assert site.asked == []

    asyncio.run(scene())


def test_many_requests_at_a_time_ask_once_and_each_is_answered(site: Site) -> None:
    held = threading.Event()
    site.pages[PATH] = Page(body=page(tier="gold").body, headers=page().headers, held=held)

    async def scene() -> None:
        async with deciding(crm(site, cache={"ttl": "1h"}), GOLD) as world:
            requests = [asyncio.create_task(world.reason("/gold")) for _ in range(50)]
            await until(lambda: site.count(PATH) == 1)
            held.set()
            assert set(await asyncio.gather(*requests)) == {"allowed"}
            assert site.count(PATH) == 1

    asyncio.run(scene())
