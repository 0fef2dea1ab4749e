"""What is served on one address is served on no other: every route of every listener is tried on all of them."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from hardening.secret_settings import plant
from hardening.starting import Orders
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from extauthz.app import approvers, server
from extauthz.app.listening import WebServer
from extauthz.app.server import run
from extauthz.errors import ExtauthzError
from extauthz.settings import load_settings
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.methods import CHECK
from extauthz.transport.rpc_server import RpcServer

APPROVALS_HOST = "approvals.example.com"
APPROVALS_LIST = "/extauthz.v1.Approvals/List"
ADMIN = {"/metrics", "/live", "/ready"}
FACTORS = {("listen.approvals", f"/.extauthz/{name}") for name in ("challenge", "done", "enroll", "oidc")}
"""Who approves may be asked for a second factor, at the origin of the approvers' pages."""
DESCRIBED = {(key, "/openapi.json") for key in ("listen.admin", "listen.approvals")}
"""Each has an API of its own, and says which."""


@dataclass(frozen=True)
class Place:
    """A route as it can be asked for."""

    path: str
    methods: frozenset[str]


def places(routes: list[BaseRoute], before: str = "") -> Iterator[Place]:
    for one in routes:
        if isinstance(one, Mount):
            yield from places(list(one.routes), before + one.path)
        else:
            assert isinstance(one, Route)
            path = before + one.path
            for name in one.param_convertors:
                path = path.replace(f"{{{name}}}", "x").replace(f"{{{name}:path}}", "x")
            yield Place(path, frozenset(one.methods or {"GET"}))


Bound = dict[str, tuple[WebServer, list[Place]]]
"""What is bound, by the setting of its address."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the gRPC API for approvals is served."""
    found: list[str] = []
    start = RpcServer.start

    async def started(self: RpcServer) -> None:
        await start(self)
        found.append(self.address)

    monkeypatch.setattr(RpcServer, "start", started)
    return found


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Bound:
    found: Bound = {}

    class Watched(WebServer):
        def __init__(self, application: Starlette, *, key: str, **others: Any) -> None:
            super().__init__(application, key=key, **others)
            found[key] = self, list(places(list(application.routes)))

    monkeypatch.setattr(server, "WebServer", Watched)
    monkeypatch.setattr(approvers, "WebServer", Watched)
    return found


def test_no_path_is_served_on_two_addresses(tmp_path: Path, bound: Bound, api: list[str]) -> None:
    planted = plant(tmp_path)
    settings = load_settings(planted.config)

    async def walk() -> tuple[dict[tuple[str, str, str], int], dict[str, grpc.StatusCode]]:
        orders, loop = Orders(), asyncio.get_running_loop()
        transport: list[GrpcioTransport] = []

        def carry(checker: Any) -> GrpcioTransport:
            transport.append(GrpcioTransport(checker, loop, address="127.0.0.1:0"))
            return transport[0]

        serving = asyncio.create_task(run(settings, planted.environ, carry=carry, orders=orders))
        await asyncio.wait({serving, asyncio.create_task(orders.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            answers = await _asked_everywhere(bound)
            calls = await asyncio.to_thread(_called, transport[0].address, api[0], tmp_path)
        finally:
            orders.stop()
            await serving
        return answers, calls

    answers, calls = asyncio.run(walk())
    assert bound.keys() == {"listen.web", "listen.admin", "listen.approvals"}
    paths = {key: {place.path for place in found} for key, (_, found) in bound.items()}
    assert paths["listen.admin"] > ADMIN
    assert min(len(found) for found in paths.values()) > len(ADMIN)
    assert {(key, path) for (key, _, path), status in answers.items() if status != 404} == FACTORS | DESCRIBED
    assert calls == dict.fromkeys((APPROVALS_LIST, CHECK), grpc.StatusCode.UNIMPLEMENTED)


async def _asked_everywhere(bound: Bound) -> dict[tuple[str, str, str], int]:
    """The status of each route on each listener that is not its own."""
    answers = {}
    async with httpx.AsyncClient() as client:
        for key, (web, _) in bound.items():
            for other, (_, found) in bound.items():
                for place in found if other != key else ():
                    for method in place.methods:
                        headers = {"host": APPROVALS_HOST, "accept": "application/json"}
                        url = f"http://{web.address}{place.path}"
                        answer = await client.request(method, url, headers=headers, follow_redirects=False)
                        answers[key, method, place.path] = answer.status_code
    return answers


def _called(checks: str, api: str, folder: Path) -> dict[str, grpc.StatusCode]:
    """The status of calls of each API where the other one is served."""
    statuses = {}
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    port = api.rpartition(":")[2]
    with grpc.insecure_channel(checks) as plain, grpc.secure_channel(f"localhost:{port}", credentials) as secure:
        for method, channel in ((APPROVALS_LIST, plain), (CHECK, secure)):
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=10)
            statuses[method] = caught.value.code()
    return statuses


@pytest.mark.parametrize("one", ["grpc", "web", "admin", "approvals", "approvals_grpc"])
def test_two_listeners_with_one_address_are_refused_with_a_line(tmp_path: Path, one: str) -> None:
    (tmp_path / "policies").mkdir()
    other = "web" if one == "grpc" else "grpc"
    for address in ("127.0.0.1:7001", "unix:/run/extauthz/one.sock"):
        listen = json.dumps({one: address, other: address})
        (tmp_path / "extauthz.yaml").write_text(f"listen: {listen}\npolicies: [policies/]\n")
        with pytest.raises(ExtauthzError) as caught:
            load_settings(tmp_path / "extauthz.yaml")
        assert str(caught.value).endswith(
            f":1:9: `{address}` is the address of two; each of those under `listen` needs its own"
        )
