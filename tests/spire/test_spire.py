"""SVIDs of a real SPIRE, from a real agent, taken for what they are."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from identity.checks import build_request
from lookup.deciding import SLOW, Asking, asking
from spiffe import WorkloadApiClient
from spire.running import DOMAIN, WEB, Spire

from extauthz.app.wiring import make_resolver
from extauthz.errors import InvalidCredential
from extauthz.identity.lookups import Awaiting
from extauthz.settings import Settings, load_settings
from extauthz.values.identity import Identity

POLICY = f"""
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: site}}
spec:
  rules:
    - {{name: web, paths: ["/**"], workloads: ["{WEB}"], effect: allow}}
"""


def settings_of(folder: Path, **workload: object) -> Settings:
    block = {"trust_domains": [DOMAIN], **workload}
    config = {"policies": ["policies/"], "store": "memory:", "identity": {"workload": block}}
    (folder / "extauthz.yaml").write_text(json.dumps(config))
    return load_settings(folder / "extauthz.yaml")


def jwt_svid(spire: Spire, audience: str = "extauthz") -> str:
    with WorkloadApiClient(spire.agent_address, default_timeout=10) as client:
        return client.fetch_jwt_svid({audience}).token


def certificate(spire: Spire) -> str:
    """The leaf of the X.509-SVID that the agent hands out, as Envoy copies it."""
    with WorkloadApiClient(spire.agent_address, default_timeout=10) as client:
        leaf = client.fetch_x509_svid().leaf
    return quote(leaf.public_bytes(Encoding.PEM).decode(), safe="")


def play(settings: Settings, scene: Callable[[Asking], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        # It asks by itself only at the start: whatever comes later, the agent has streamed.
        async with asking(settings, pace=SLOW, policy=POLICY) as server:
            await scene(server)

    asyncio.run(run())


def identified(settings: Settings, headers: Mapping[str, str], certificate: str = "") -> Identity:
    request = build_request(headers, certificate=certificate)
    known = make_resolver(settings).identify(request, now=time.time())
    assert not isinstance(known, Awaiting)
    return known


def test_an_x509_svid_of_spire_is_its_workload(spire: Spire, tmp_path: Path) -> None:
    bundles = {}
    for form in ("spiffe", "pem"):
        (tmp_path / form).write_text(spire.bundle(form))
        bundles[form] = settings_of(
            tmp_path, sources=["peer_certificate"], peer_certificate={"bundles": {DOMAIN: form}}
        )
    for settings in (*bundles.values(), settings_of(tmp_path, sources=["peer_certificate"])):
        workload = identified(settings, {}, certificate(spire)).workload
        assert workload is not None
        assert (workload.id, workload.verified_by) == (WEB, "peer_certificate")


def test_an_x509_svid_of_another_spire_is_refused(spire: Spire, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"keys": []}')
    settings = settings_of(
        tmp_path, sources=["peer_certificate"], peer_certificate={"bundles": {DOMAIN: "bundle.json"}}
    )
    with pytest.raises(InvalidCredential):
        identified(settings, {}, certificate(spire))


def test_a_jwt_svid_of_spire_is_its_workload_by_the_bundle_in_a_file(spire: Spire, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(spire.bundle())
    svids = {"audiences": ["extauthz"], "bundles": {DOMAIN: "bundle.json"}}
    settings = settings_of(tmp_path, sources=["jwt_svid"], jwt_svid=svids)
    workload = identified(settings, {"authorization": f"Bearer {jwt_svid(spire)}"}).workload
    assert workload is not None
    assert (workload.id, workload.verified_by) == (WEB, "jwt_svid")
    with pytest.raises(InvalidCredential):
        identified(settings, {"authorization": f"Bearer {jwt_svid(spire, 'somebody')}"})


def by_agent(folder: Path, address: str) -> Settings:
    return settings_of(
        folder, sources=["jwt_svid"], jwt_svid={"audiences": ["extauthz", "new"], "workload_api": address}
    )


def test_the_keys_come_from_the_agent_and_follow_its_stream(spire: Spire, tmp_path: Path) -> None:
    async def scene(server: Asking) -> None:
        old = await asyncio.to_thread(jwt_svid, spire)
        assert await server.reason(old) == "allowed"
        assert server.answers_at_once(old)
        assert await server.reason(await asyncio.to_thread(jwt_svid, spire, "somebody")) == "invalid-token"
        await asyncio.to_thread(spire.rotate_jwt_authority)
        name = f"spiffe://{DOMAIN}"
        while server.result(name)["changed"] < 2:  # noqa: ASYNC110 - what it waits for is the agent
            await asyncio.sleep(0.05)
        new = await asyncio.to_thread(jwt_svid, spire, "new")  # one that the agent has not made yet
        assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
        assert await server.reason(new) == "allowed"
        assert await server.reason(old) == "allowed"

    play(by_agent(tmp_path, spire.agent_address), scene)


def test_without_an_agent_nobody_is_known(spire: Spire, tmp_path: Path) -> None:
    token = jwt_svid(spire)

    async def scene(server: Asking) -> None:
        assert await server.reason(token) == "issuer-unavailable"
        (error,) = {standing.error for standing in server.informants.keys.standings.values()}
        assert error is not None
        assert "nowhere.sock" in error

    play(by_agent(tmp_path, f"unix:{tmp_path}/nowhere.sock"), scene)
