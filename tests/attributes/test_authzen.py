"""Decision points that speak the AuthZEN Authorization API 1.0: what they are asked, and what they tell."""

import asyncio
import json
from typing import Any

import pytest
from attributes.asking_sources import asking, source
from publishing import Page, Site

PATH = "/access/v1/evaluation"
ASK = {
    "subject": "{'type': 'user', 'id': user.sub, 'properties': {'tenant': user.claims.tenant}}",
    "action": "{'name': request.method}",
    "resource": "{'type': 'path', 'id': request.path}",
    "context": "{'ip': client.ip}",
}


def over_authzen(site: Site, **fields: Any) -> dict[str, object]:
    return source(**{"authzen": {"url": site.url + PATH}, "ask": ASK, "fields": {"reason": "string"}, **fields})


def evaluation(body: object) -> Page:
    return Page(body=json.dumps(body), headers={"content-type": "application/json"})


def test_an_evaluation_is_asked_for_as_the_specification_has_it(site: Site) -> None:
    site.pages[PATH] = evaluation({"decision": False, "context": {"reason": "weekend", "other": 1}})

    async def scene() -> None:
        async with asking(over_authzen(site)) as world:
            assert await world.told() == {"decision": False, "reason": "weekend"}

    asyncio.run(scene())
    (got,) = site.asked
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(got.body) == {
        "subject": {"type": "user", "id": "alice", "properties": {"tenant": "t1"}},
        "action": {"name": "GET"},
        "resource": {"type": "path", "id": "/x"},
        "context": {"ip": "192.0.2.1"},
    }


def test_a_decision_alone_is_an_answer(site: Site) -> None:
    site.pages[PATH] = evaluation({"decision": True})

    async def scene() -> None:
        async with asking(over_authzen(site, fields={})) as world:
            assert await world.told() == {"decision": True}

    asyncio.run(scene())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "true"},
        {"decision": 1},
        {"decision": None},
        {"decision": True, "context": []},
        {"decision": True, "context": None},
        {"decision": True, "context": {"reason": 5}},
        {"evaluations": [{"decision": True}]},
    ],
    ids=json.dumps,
)
def test_an_answer_without_a_decision_is_none(site: Site, body: object) -> None:
    site.pages[PATH] = evaluation(body)

    async def scene() -> None:
        async with asking(over_authzen(site)) as world:
            assert await world.told() is None
            assert world.results == {"unusable": 1}

    asyncio.run(scene())


def test_the_context_of_an_answer_does_not_stand_for_its_decision(site: Site) -> None:
    site.pages[PATH] = evaluation({"decision": False, "context": {"decision": True}})

    async def scene() -> None:
        async with asking(over_authzen(site)) as world:
            assert await world.told() == {"decision": False}

    asyncio.run(scene())


@pytest.mark.parametrize(
    "part",
    [
        {"subject": "{'type': 'user'}"},
        {"subject": "user.sub"},
        {"subject": "{'type': 'user', 'id': 5}"},
        {"action": "{'id': 'read'}"},
        {"resource": "{'type': 'path'}"},
        {"context": "'evening'"},
    ],
    ids=str,
)
def test_what_is_no_evaluation_is_not_asked_for(site: Site, part: dict[str, str]) -> None:
    async def scene() -> None:
        async with asking(over_authzen(site, ask={**ASK, **part})) as world:
            assert await world.told() is None

    asyncio.run(scene())
    assert site.asked == []
