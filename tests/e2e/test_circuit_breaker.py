"""The circuit breaker of `envoy/gateway.yaml`: what there is no room for is refused at once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from e2e import bootstrap
from e2e.stage import HOST, Script, Stage, stage

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: open}
spec:
  rules:
    - {name: anyone, paths: ["/open"], effect: allow}
"""
ROOM = 256
TOO_MANY = 40
CERTAIN = 20
"""So many find no room at least: the threads of an Envoy may let a few more in than there is room for."""
CLIENTS = 3
"""Each has at most a hundred requests under way."""


def _patient(tree: bootstrap.Tree) -> None:
    bootstrap.ext_authz(tree)["grpc_service"]["timeout"] = "30s"


@pytest.fixture
def patient() -> Iterator[Stage]:
    """An Envoy that waits for answers until the test lets them come."""
    with stage(Script(policies=POLICIES, edit=_patient)) as running:
        yield running


def _client(running: Stage) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=running.context(),
        base_url=running.url(),
        headers={"host": HOST},
        http2=True,
        timeout=30,
        trust_env=False,
    )


async def _asked_at_once(running: Stage) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """What is answered while extauthz stands still, and all that was answered in the end."""
    async with AsyncExitStack() as closing:
        clients = [await closing.enter_async_context(_client(running)) for _ in range(CLIENTS)]
        running.extauthz.signal(signal.SIGSTOP)
        try:
            asked = [asyncio.create_task(clients[n % CLIENTS].get("/open")) for n in range(ROOM + TOO_MANY)]
            while sum(one.done() for one in asked) < CERTAIN:
                await asyncio.wait([one for one in asked if not one.done()], return_when=asyncio.FIRST_COMPLETED)
            at_once = {one for one in asked if one.done()}
        finally:
            running.extauthz.signal(signal.SIGCONT)
        answers = await asyncio.gather(*asked)
    return [one.result() for one in at_once], answers


def _says_who(response: httpx.Response) -> tuple[int, bool]:
    """Its status, and whether it is a decision of extauthz's."""
    return response.status_code, "x-extauthz-decision-id" in response.headers


def test_what_there_is_no_room_for_is_refused_at_once_and_the_others_are_decided(patient: Stage) -> None:
    assert patient.client().get("/open").status_code == 200
    at_once, answers = asyncio.run(_asked_at_once(patient))
    assert {_says_who(response) for response in at_once} == {(503, False)}
    told = Counter(map(_says_who, answers))
    refused = patient.counter("cluster.extauthz.upstream_rq_active_overflow")
    assert CERTAIN <= refused <= TOO_MANY
    assert told.pop((503, False)) == refused
    # Of so many at once extauthz refuses some itself, and says so.
    assert told.keys() <= {(200, True), (503, True)}
    assert told[200, True] > 0
