"""Everything that an answer can say, through a real Envoy: what the service gets, what the caller gets."""

import copy
import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import httpx
import pytest
from e2e import bootstrap
from e2e.services import Received
from e2e.stage import HOST, Script, Stage, stage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # generated, without types
from identity.possession import new_client

from extauthz.identity.dpop import ALGORITHMS

POLICIES = (Path(__file__).parent / "policies" / "answers.yaml").read_text()
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NAVIGATES = {**BROWSER, "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
GRPC_WEB = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
}
EMPTY_MESSAGE = b"\0\0\0\0\0"


@pytest.fixture(scope="module")
def answering() -> Iterator[Stage]:
    """The shipped gateway, and beside its listener one that translates gRPC-Web before it asks, and one after."""
    with stage(Script(policies=POLICIES, edit=_edit)) as running:
        yield running


def _edit(tree: bootstrap.Tree) -> None:
    manager = bootstrap.connection_manager(tree)
    manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    # Underscores as most proxies let them pass: what keeps a spelling from the service is then the answer alone.
    manager["common_http_protocol_options"]["headers_with_underscores_action"] = "ALLOW"
    log = manager["access_log"][0]["typed_config"]["log_format"]["json_format"]
    log["typed"] = "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:typed)%"
    for name, place in (("translated-before", 0), ("translated-after", 1)):
        listener = copy.deepcopy(tree["static_resources"]["listeners"][0])
        listener["name"] = name
        filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        filters.insert(place, {"name": "envoy.filters.http.grpc_web", "typed_config": GRPC_WEB})
        tree["static_resources"]["listeners"].append(listener)
    validating = copy.deepcopy(tree["static_resources"]["listeners"][0])
    validating["name"] = "validating"
    filters = validating["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    filters[0]["typed_config"]["validate_mutations"] = True
    tree["static_resources"]["listeners"].append(validating)


def _received(answering: Stage, path: str, headers: list[tuple[str, str]] | None = None) -> Received:
    """The request as the service got it."""
    response = answering.client().get(path, headers=headers or [])
    assert response.status_code == 200, response.text
    return answering.service.received[-1]


# --- what an allow changes


def test_what_is_set_takes_the_place_of_every_line_and_spelling_of_the_client(answering: Stage) -> None:
    sent = [("x-authz-subject", "root"), ("X-Authz-Subject", "admin"), ("x_authz_subject", "root"), ("x-empty", "full")]
    received = _received(answering, "/set?note=a%22%20b", sent)
    assert received.all("x-authz-subject") == ["alice"]
    assert received.all("x_authz_subject") == []
    assert received.all("x-note") == ['a" b']
    assert received.all("x-empty") == [""]


@pytest.mark.parametrize("note", ["%20a", "a%20", "a%0d%0ax-admin:%201", "a%00"])
def test_a_value_that_would_be_read_as_another_is_a_denial_and_reaches_nobody(answering: Stage, note: str) -> None:
    """Envoy would answer with 503 or cut blanks away."""
    received = len(answering.service.received)
    response = answering.client().get(f"/set?note={note}")
    assert (response.status_code, response.json()["reason"]) == (403, "policy-error")
    assert len(answering.service.received) == received


def test_what_any_rule_can_set_never_comes_from_the_client(answering: Stage) -> None:
    sent = [("x-authz-subject", "root"), ("x-empty", "a"), ("x-tier", "gold"), ("x_tier", "gold"), ("x-scope", "mine")]
    received = _received(answering, "/plain", sent)
    for name in ("x-authz-subject", "x-empty", "x-tier", "x_tier"):
        assert received.all(name) == []
    assert received.all("x-scope") == ["mine"]  # only appended: it is the client's own


def test_what_is_appended_stands_behind_the_clients_own_lines(answering: Stage) -> None:
    sent = [("x-scope", "own"), ("x-scope", "too"), ("x-note", "spoofed"), ("cookie", "theme=dark")]
    received = _received(answering, "/append", sent)
    assert received.all("x-scope") == ["own, too, read, write, admin"]
    assert received.all("cookie") == ["theme=dark; added=1"]
    # Another rule can set this one: what the client sent never passes, and there is nothing to append to.
    assert received.all("x-note") == ["mine"]


def test_what_is_appended_is_there_without_the_clients(answering: Stage) -> None:
    assert _received(answering, "/append").all("x-scope") == ["read, write, admin"]


def test_what_is_removed_does_not_reach_the_service(answering: Stage) -> None:
    received = _received(
        answering, "/remove", [("x-internal", "1"), ("X_Internal", "1"), ("authorization", "Basic eA==")]
    )
    assert [name for name, _ in received.headers if "internal" in name or name == "authorization"] == []


def test_the_response_gets_headers_set_and_cookies_beside_those_of_the_service(answering: Stage) -> None:
    own = [("x-answer", "set-cookie: s=0"), ("x-answer", "x-upstream: secret"), ("x-answer", "vary: accept")]
    response = answering.client().get("/respond", headers=own)
    assert response.headers["x-seen"] == "/respond"
    assert response.headers.get_list("x-upstream") == ["hidden"]
    assert response.headers.get_list("set-cookie") == ["s=0", "a=1; Path=/", "b=2; Path=/"]
    assert response.headers["vary"].replace(" ", "") == "accept,x-tier"


@pytest.mark.parametrize(
    "query", ["", "?amount=9&amount=8", "?am%6Funt=9&a+b=1&%61%20b=2&debug=1&d%65bug=2", "?x=1&x=2&debug"]
)
def test_query_parameters_are_set_and_removed_in_every_spelling(answering: Stage, query: str) -> None:
    target = _received(answering, f"/query{query}").target
    seen = sorted(httpx.QueryParams(target.partition("?")[2]).multi_items())
    kept = [("x", "1"), ("x", "2")] if "x=" in query else []
    assert seen == [("a b", "\u00e9"), ("amount", "1&admin=true"), *kept]


def test_an_envoy_that_validates_what_it_is_told_takes_no_escaped_parameter(answering: Stage) -> None:
    """Why `validate_mutations` is not shipped: it answers 500, and nothing gets through."""
    received = len(answering.service.received)
    assert answering.client(listener="validating").get("/query").status_code == 500
    assert len(answering.service.received) == received
    assert answering.client(listener="validating").get("/set").status_code == 200


def test_metadata_keeps_its_types(answering: Stage) -> None:
    response = answering.client().get("/metadata")
    assert response.status_code == 200
    assert answering.decided(response)["typed"] == {
        "whole": 3, "half": 0.5, "yes": True, "no": False, "nothing": None, "text": "\u00e9", "list": [1, "a", [False]],
        "map": {"deep": {"er": -1}}, "when": "2026-11-21T10:00:00Z",
    }  # fmt: skip


def test_every_change_is_worked_out_from_the_caller_and_the_request(answering: Stage) -> None:
    claims = {"groups": ["staff", "night"], "tenant": "t&1", "level": 3, "nested": {"ok": True, "list": [1, None, "x"]}}
    sent = [
        ("authorization", f"Bearer {answering.token('alice', **claims)}"),
        ("x-scope", "own"),
        ("x-account", "evil"),
    ]
    response = answering.client().post("/computed/acc-1?tenant=evil&debug=1&x=2", headers=sent, json={"amount": 0.5})
    assert response.status_code == 200, response.text
    received = answering.service.received[-1]
    assert {name: received.all(name) for name in ("x-authz-subject", "x-account", "x-scope", "authorization")} == {
        "x-authz-subject": ["alice"],
        "x-account": ["ACC-1"],
        "x-scope": ["own, group-staff, group-night"],
        "authorization": [],
    }
    query = httpx.QueryParams(received.target.partition("?")[2]).multi_items()
    assert sorted(query) == [("tenant", "t&1"), ("x", "2")]
    assert received.body == b'{"amount":0.5}'
    assert response.headers["x-seen"] == "alice on payments.example.com"
    assert response.headers.get_list("set-cookie") == ["staff=1; Path=/", "night=1; Path=/"]
    assert answering.decided(response)["typed"] == {
        "level": 3,
        "ratio": 1.5,
        "is_low": True,
        "groups": ["staff", "night"],
        "claims": {"tenant": "t&1", "nested": {"ok": True, "list": [1, None, "x"]}},
        "body": {"amount": 0.5},
    }


def test_a_change_that_can_not_be_worked_out_is_a_denial(answering: Stage) -> None:
    received = len(answering.service.received)
    response = answering.client().get("/computed/acc-1", headers=answering.bearer("alice"))
    assert (response.status_code, response.json()["reason"]) == (403, "policy-error")
    assert len(answering.service.received) == received


@pytest.mark.parametrize(
    "path",
    [
        "header", "header-append", "header-remove", "response", "response-append", "query", "query-remove", "metadata",
    ],
)  # fmt: skip
def test_rules_that_disagree_about_any_change_deny(answering: Stage, path: str) -> None:
    received = len(answering.service.received)
    response = answering.client().get(f"/conflict/{path}")
    assert (response.status_code, response.json()["reason"]) == (403, "header-conflict")
    assert len(answering.service.received) == received


# --- how a refusal looks


def test_a_person_gets_a_page_for_a_path_that_can_not_be_read(answering: Stage) -> None:
    for headers in (NAVIGATES, BROWSER):
        response = answering.client().get("/a//b", headers=headers)
        assert (response.status_code, response.headers["content-type"]) == (400, "text/html; charset=utf-8")
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "malformed-path" in response.text


@pytest.mark.parametrize(
    ("accepted", "content_type"),
    [
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("application/json;q=0.5, text/plain", "text/plain; charset=utf-8"),
        ("text/plain;q=0.5, */*;q=0.1", "text/plain; charset=utf-8"),
        ("text/html;q=0.9, application/json", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
        ("image/png", "application/problem+json"),
        # What is malformed names nothing.
        ("", "application/problem+json"),
        ("text/plain;q=2", "application/problem+json"),
        ("text/plain;q=, text/html;q=0.1", "text/html; charset=utf-8"),
        ("plain, ,;;q=1,/", "application/problem+json"),
        ('text/plain;a="', "text/plain; charset=utf-8"),
        ('text/html;q=0.2;a=",text/plain', "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("path", ["/nowhere", "/a//b"])
def test_a_caller_gets_what_it_accepts_most(answering: Stage, path: str, accepted: str, content_type: str) -> None:
    response = answering.client().get(path, headers={"accept": accepted})
    assert response.status_code == (401 if path == "/nowhere" else 400)
    assert response.headers["content-type"] == content_type
    assert response.headers["x-extauthz-decision-id"] in response.text
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("http2", [False, True])
def test_a_head_request_gets_the_headers_of_a_get_and_no_body(answering: Stage, *, http2: bool) -> None:
    client = answering.client(http2=http2)
    got, head = client.get("/nowhere"), client.head("/nowhere")
    assert head.content == b""
    assert got.content
    for name in ("content-type", "content-length", "www-authenticate", "cache-control"):
        assert head.headers[name] == got.headers[name]


def test_a_denial_says_what_its_rule_makes_of_the_request(answering: Stage) -> None:
    response = answering.client().get("/frozen/acc-13")
    assert (response.status_code, response.text) == (404, "account acc-13 is frozen")
    assert (response.headers["x-account"], response.headers["x-plain"]) == ("acc-13", "request.params.account")
    assert (response.headers["retry-after"], response.headers["content-type"]) == ("60", "text/plain; charset=utf-8")
    assert answering.decided(response)["reason"] == "account-frozen"


def test_a_denial_stays_what_it_is_without_a_header_that_can_not_be_said(answering: Stage) -> None:
    response = answering.client().get("/frozen/%20acc")
    assert (response.status_code, response.text) == (404, "account  acc is frozen")
    assert "x-account" not in response.headers
    assert answering.decided(response)["reason"] == "account-frozen"


def _asked_for(response: httpx.Response) -> str:
    assert response.status_code == 401
    return str(response.headers["www-authenticate"])


def test_a_401_asks_for_what_is_taken_and_says_what_was_wrong(answering: Stage) -> None:
    """RFC 6750 section 3, RFC 9449 sections 7.1 and 7.2; as one header, through HTTP/1.1 and HTTP/2."""
    algorithms = 'algs="' + " ".join(ALGORITHMS) + '"'
    mine = new_client()
    bound = answering.token("alice", cnf={"jkt": mine.thumbprint})
    url = f"https://{HOST}/nowhere"
    as_bearer = {"authorization": f"Bearer {bound}"}
    unproven = {"authorization": f"DPoP {bound}"}
    by_another = {**unproven, "dpop": new_client().proof(bound, now=time.time(), htu=url, jti=uuid4().hex)}
    for http2 in (False, True):
        client = answering.client(http2=http2)
        assert _asked_for(client.get("/nowhere")) == f"Bearer, DPoP {algorithms}"
        for headers, expected in (
            ({"cookie": "session=x.y.z"}, f"Bearer, DPoP {algorithms}"),
            ({"authorization": "Bearer x.y.z"}, f'Bearer error="invalid_token", DPoP {algorithms}'),
            (as_bearer, f'Bearer error="invalid_token", DPoP {algorithms}'),
            (unproven, f'Bearer, DPoP error="invalid_dpop_proof", {algorithms}'),
            (by_another, f'Bearer, DPoP error="invalid_token", {algorithms}'),
        ):
            assert _asked_for(client.get("/nowhere", headers=headers)) == expected


CALL: dict[str, Any] = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "export"}}


@pytest.mark.parametrize("given", [7, "a-1", None])
def test_a_denied_tool_call_gets_an_error_with_its_id(answering: Stage, given: object) -> None:
    headers = {"accept": "application/json, text/event-stream"}
    response = answering.client().post("/mcp", json={**CALL, "id": given}, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (403, "application/json")
    answer = response.json()
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", given, -32000)
    assert answer["error"]["data"]["reason"] == "no-export"
    allowed = answering.client().post("/mcp", json={**CALL, "params": {"name": "search"}, "id": given})
    assert allowed.status_code == 200


def test_a_json_rpc_call_on_a_path_that_can_not_be_read_keeps_its_id(answering: Stage) -> None:
    response = answering.client().post("/a//b", json={**CALL, "id": 9})
    assert (response.status_code, response.json()["id"]) == (400, 9)
    assert response.json()["error"]["data"]["reason"] == "malformed-path"


def test_a_batch_gets_an_error_for_each_call(answering: Stage) -> None:
    """A batch matches no rule on `request.json.method`; a guard that errs denies it."""
    response = answering.client().post("/mcp", json=[{**CALL, "id": 1}, CALL, {**CALL, "id": 2}])
    assert response.status_code == 403
    assert [one["id"] for one in response.json()] == [1, 2]


def test_a_connect_client_gets_its_error(answering: Stage) -> None:
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    response = answering.client().post("/limited", content=b"", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (429, "application/json")
    assert response.json()["code"] == "resource_exhausted"


@pytest.mark.parametrize("listener", ["https", "translated-before", "translated-after"])
@pytest.mark.parametrize("variant", ["application/grpc-web+proto", "application/grpc-web-text"])
def test_a_grpc_web_client_finds_its_status_in_the_headers(answering: Stage, listener: str, variant: str) -> None:
    """Wherever Envoy translates, or not at all; `x-grpc-web` is what clients in browsers send."""
    headers = {"content-type": variant, "accept": variant, "x-grpc-web": "1"}
    body = b"AAAAAAA=" if "text" in variant else EMPTY_MESSAGE
    response = answering.client(listener=listener).post("/limited", content=body, headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert (response.headers["grpc-status"], response.headers["grpc-message"]) == ("8", "The request is not allowed.")
    if listener == "translated-before":
        assert response.headers["content-type"].startswith("application/grpc-web")
    binary = response.headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(b64decode(binary + "=" * (-len(binary) % 4)))
    information = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(information)
    assert information.reason == "TOO_MANY"


# --- how often Envoy asks


def _checks(answering: Stage) -> int:
    return answering.counter("cluster.extauthz.upstream_rq_total")


def test_an_upgraded_connection_is_decided_once(answering: Stage) -> None:
    asked = _checks(answering)
    with (
        socket.create_connection(("127.0.0.1", answering.admin.port("https")), timeout=10) as plain,
        answering.context().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        lines = ["GET /upgraded HTTP/1.1", "host: a.example", "connection: upgrade", "upgrade: websocket", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        for number in range(3):
            connection.sendall(b"frame %d" % number)
            assert connection.recv(4096) == b"frame %d" % number
    assert _checks(answering) == asked + 1


def test_an_upgrade_that_is_denied_is_none(answering: Stage) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket"}
    response = answering.client().get("/limited", headers=headers)
    assert (response.status_code, response.json()["reason"]) == (429, "too-many")


def test_every_call_on_one_grpc_connection_is_decided(answering: Stage) -> None:
    credentials = grpc.ssl_channel_credentials(answering.authority.certificate.read_bytes())
    options = [("grpc.ssl_target_name_override", "localhost")]
    asked = _checks(answering)
    with grpc.secure_channel(f"127.0.0.1:{answering.admin.port('https')}", credentials, options) as channel:
        call = channel.unary_unary("/plain", bytes, bytes)
        assert [call(b"1", timeout=15), call(b"2", timeout=15)] == [b"1", b"2"]
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/limited", bytes, bytes)(b"3", timeout=15)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _checks(answering) == asked + 3
