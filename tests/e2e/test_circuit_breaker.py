"""The circuit breaker of `envoy/gateway.yaml`: what there is no room for is refused at once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator

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

HEARD = 0.3
"""Seconds in which so many requests are sent, on a machine that is not busy."""


def _patient(tree: bootstrap.Tree) -> None:
    asking = bootstrap.ext_authz(tree)["grpc_service"]
    asking["timeout"] = "30s"
    del asking["retry_policy"]  # it would give up each try after ten seconds
    del tree["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]  # handshakes take long
    for cluster in tree["static_resources"]["clusters"]:
        # A server that stands still does not say that its connection is alive.
        for options in cluster.get("typed_extension_protocol_options", {}).values():
            options["explicit_http_config"]["http2_protocol_options"].pop("connection_keepalive", None)


@pytest.fixture
def patient() -> Iterator[Stage]:
    """An Envoy that waits for answers until the test lets them come."""
    with stage(Script(policies=POLICIES, edit=_patient)) as running:
        yield running


async def _answer(port: int) -> tuple[int, bool]:
    """What a request gets on a connection of its own: the status, and whether it is a decision of extauthz's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split()[1]), b"\r\nx-extauthz-decision-id:" in head.lower()


async def _asked_at_once(running: Stage, *, connected: bool) -> tuple[set[tuple[int, bool]], Counter[tuple[int, bool]]]:
    """What is answered while extauthz stands still, and all that was answered in the end.

    Unless Envoy is `connected` to extauthz, all requests lie there before it begins to connect.
    """
    port = running.admin.port("https")
    if connected:
        assert await _answer(port) == (200, True)
    running.extauthz.signal(signal.SIGSTOP)
    try:
        if not connected:
            running.envoy.signal(signal.SIGSTOP)
        asked = [asyncio.create_task(_answer(port)) for _ in range(ROOM + TOO_MANY)]
        if not connected:
            await asyncio.sleep(HEARD)
            running.envoy.signal(signal.SIGCONT)
        while sum(one.done() for one in asked) < CERTAIN:
            await asyncio.wait([one for one in asked if not one.done()], return_when=asyncio.FIRST_COMPLETED)
        at_once = {one.result() for one in asked if one.done()}
    finally:
        running.extauthz.signal(signal.SIGCONT)
    return at_once, Counter(await asyncio.gather(*asked))


@pytest.mark.parametrize("connected", [True, False])
def test_what_there_is_no_room_for_is_refused_at_once_and_the_others_are_decided(
    patient: Stage, connected: bool
) -> None:
    at_once, told = asyncio.run(_asked_at_once(patient, connected=connected))
    assert at_once == {(503, False)}
    # Envoy counts apart what waits for a connection, and has a limit of its own for that.
    under_way = patient.counter("cluster.extauthz.upstream_rq_active_overflow")
    pending = patient.counter("cluster.extauthz.upstream_rq_pending_overflow")
    if connected:
        assert pending == 0
    refused = under_way + pending
    assert CERTAIN <= refused <= TOO_MANY
    assert told.pop((503, False)) == refused
    # Of so many at once extauthz refuses some itself, and says so.
    assert told.keys() <= {(200, True), (503, True)}
    assert told[200, True] > 0
