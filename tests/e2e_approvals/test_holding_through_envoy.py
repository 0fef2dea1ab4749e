"""Approvals through a real Envoy: calls that wait, callers who ask again, and what nobody gets by."""

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from e2e.http2 import speaking
from e2e.stage import HOST, SHOP
from e2e_approvals.conftest import World
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

HTML = {"sec-fetch-mode": "navigate", "accept": "text/html"}


def test_a_call_waits_and_goes_on_when_it_is_approved(world: World) -> None:
    woken, call = world.woken, world.call("anton", "/held/pay")
    assert world.answer(world.asked("anton")).status_code == 200
    response = call.result(20)
    assert (response.status_code, world.woken) == (200, woken + 1)
    assert world.stage.service.received[-1].target == "/held/pay"


def test_a_call_waits_and_is_denied(world: World) -> None:
    call = world.call("berta", "/held/pay")
    assert world.answer(world.asked("berta"), "deny").status_code == 200
    response = call.result(20)
    assert (response.status_code, response.json()["reason"]) == (403, "approval-denied")


def test_a_call_that_nobody_answers_is_told_where_to_ask(world: World) -> None:
    response = world.call("caesar", "/held/pay").result(20)
    said = response.json()
    assert (response.status_code, said["reason"], said["approvals"]) == (
        403,
        "approval-required",
        [world.asked("caesar")],
    )
    assert int(response.headers["retry-after"]) == said["retry_after"]
    assert response.headers["location"] == said["approval_uri"]
    cookies = response.headers["set-cookie"].partition(";")[0]
    asked = world.stage.client().get(said["approval_uri"], headers={"cookie": cookies, "accept": "application/json"})
    assert (asked.status_code, asked.json()["state"]) == (200, "pending")
    assert world.stage.client().get(said["approval_uri"]).status_code == 403
    gone = world.stage.client().delete(said["approval_uri"], headers={"cookie": cookies})
    assert gone.json()["state"] == "cancelled"


def test_what_expires_while_it_is_held_is_told_so(world: World) -> None:
    response = world.call("dora", "/held/short").result(20)
    assert (response.status_code, response.json()["reason"]) == (403, "approval-expired")


def test_envoy_waits_for_the_whole_of_a_long_hold_also_of_a_request_without_a_body(world: World) -> None:
    """Beyond the 10 s that Envoy gives a try of its own accord."""
    response = world.call("ludwig", "/held/long", method="POST").result(30)
    assert (response.status_code, response.json()["reason"]) == (403, "approval-required")


def test_a_caller_who_asks_again_joins_and_passes_once(world: World) -> None:
    first, second = sends(world, "emil"), sends(world, "emil")
    assert first.json()["approvals"] == second.json()["approvals"]
    assert world.answer(first.json()["approvals"][0]).status_code == 200
    assert [sends(world, "emil").status_code for _ in range(2)] == [200, 403]


def test_after_a_time_others_are_asked_too(world: World) -> None:
    client, headers = world.stage.client(), world.stage.bearer("friedrich")
    (id_,) = client.get("/escalated", headers=headers).json()["approvals"]
    assert world.answer(id_, "approve", "treasury").status_code in (403, 404)
    time.sleep(1.2)
    assert world.answer(id_, "approve", "board").status_code == 200
    assert client.get("/escalated", headers=headers).status_code == 200


def test_who_is_on_duty_goes_through_and_is_seen(world: World) -> None:
    client = world.stage.client()
    headers = world.stage.bearer("gustav", groups=["on-duty"])
    code = world.stage.enroll("gustav").now()
    glass = {"x-extauthz-break-glass": "the plant is on fire", "x-extauthz-otp": code}
    assert client.get("/gate", headers=headers).status_code == 403
    assert client.get("/gate", headers={**world.stage.bearer("heinrich"), **glass}).status_code == 403
    unsaid = client.get("/gate", headers={**headers, **glass, "x-extauthz-break-glass": ""})
    assert (unsaid.status_code, unsaid.json()["reason"]) == (403, "break-glass-needs-reason")
    assert client.get("/gate", headers={**headers, **glass}).status_code == 200
    listed = world.approvals.get("/v1/approvals", params={"limit": 100}, headers=world.approver("treasury"))
    assert "the plant is on fire" in listed.text


def channel_to(world: World) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(world.stage.authority.certificate.read_bytes())
    return grpc.secure_channel(urlsplit(world.stage.url()).netloc, credentials)


def test_a_grpc_call_waits_and_goes_on_when_it_is_approved(world: World) -> None:
    with channel_to(world) as channel:
        pay: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bank.Payments/Pay")
        woken = world.woken
        call = pay.future(b"5", timeout=20, metadata=tuple(world.stage.bearer("irma").items()))
        assert world.answer(world.asked("irma")).status_code == 200
        assert (call.result(20), world.woken) == (b"5", woken + 1)


def test_a_grpc_caller_is_held_and_then_told_when_to_ask_again(world: World) -> None:
    with channel_to(world) as channel:
        pay: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/bank.Payments/Pay")
        metadata = tuple(world.stage.bearer("ida").items())
        with pytest.raises(grpc.RpcError) as raised:
            pay(b"", timeout=20, metadata=metadata)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    (binary,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status, info, retry = Status.FromString(binary), ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds > 0) == ("APPROVAL_REQUIRED", True)
    assert world.asked("ida") in info.metadata["approvals"]


def test_a_browser_waits_on_its_page_and_hears_of_the_answer(world: World) -> None:
    client = world.stage.client()
    headers = {**world.stage.bearer("julius"), **HTML}
    went = client.get("/held/pay?amount=5", headers=headers)
    assert went.status_code == 302
    cookies = {"cookie": "; ".join(one.partition(";")[0] for one in went.headers.get_list("set-cookie"))}
    page = client.get(went.headers["location"], headers={**cookies, **HTML})
    assert (page.status_code, "Somebody has to approve this" in page.text) == (200, True)
    events = went.headers["location"].replace("/waiting?", "/waiting/events?")
    told: list[str] = []
    with client.stream("GET", events, headers=cookies) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                told.append(line)
                if len(told) == 1:
                    assert world.answer(world.asked("julius")).status_code == 200
    assert '"approved"' in told[-1]
    back = client.get(went.headers["location"], headers={**cookies, **HTML})
    assert (back.status_code, back.headers["location"]) == (303, "/held/pay?amount=5")
    assert client.get("/held/pay?amount=5", headers={**headers, **cookies}).status_code == 200


BODY = b'{"to": "acc-7", "amount": 5}'
TAMPERED: dict[str, dict[str, Any]] = {
    "method": {"method": "PUT"},
    "path": {"url": "/polled/b"},
    "path, one more slash": {"url": "/polled/a/"},
    "query": {"url": "/polled/a?x=2"},
    "query, another order": {"url": "/polled/a?y=1&x=1"},
    "body": {"content": BODY.replace(b"5", b"6")},
    "body, a blank more": {"content": BODY + b" "},
    "content type": {"headers": {"content-type": "text/plain"}},
    "encoding": {"headers": {"content-encoding": "gzip"}},
    "method override": {"headers": {"x-http-method-override": "DELETE"}},
    "chosen header": {"headers": {"x-tenant": "t2"}},
    "host": {"headers": {"host": "other.example.com"}},
    "subject": {"by": "somebody-else"},
    "actor": {"claims": {"act": {"sub": "agent"}}},
    "workload": {"workload": SHOP},
}


def sends(world: World, sub: str, **changed: Any) -> httpx.Response:
    token = world.stage.bearer(changed.pop("by", sub), sid="s1", **changed.pop("claims", {}))
    headers = {**token, "content-type": "application/json", "x-tenant": "t1", **changed.pop("headers", {})}
    client = world.stage.client(changed.pop("workload", None))
    return client.request(headers=headers, **{"method": "POST", "url": "/polled/a?x=1", "content": BODY, **changed})


@pytest.mark.parametrize("part", TAMPERED)
def test_what_was_approved_is_this_very_request(world: World, part: str) -> None:
    sub = "k-" + part.replace(" ", "-").replace(",", "")
    (id_,) = sends(world, sub).json()["approvals"]
    assert world.answer(id_).status_code == 200
    changed = sends(world, sub, **TAMPERED[part])
    assert (changed.status_code, changed.json()["reason"]) == (403, "approval-required"), "it is asked for anew"
    assert changed.json()["approvals"] != [id_]
    assert sends(world, sub).status_code == 200


def test_what_was_approved_of_one_rule_is_not_so_of_another(world: World) -> None:
    first, second = sends(world, "lothar", url="/polled/both").json()["approvals"]
    assert world.answer(first).status_code == 200
    assert sends(world, "lothar", url="/polled/both").json()["approvals"] == [second]
    assert world.answer(second).status_code == 200
    assert sends(world, "lothar", url="/polled/both").status_code == 200


def test_what_was_approved_is_asked_for_by_the_same_scheme(world: World) -> None:
    address, context = urlsplit(world.stage.url()), world.stage.context()
    context.set_alpn_protocols(["h2"])
    token = world.stage.bearer("moritz", sid="s1")["authorization"]

    def asks(scheme: str) -> str:
        connection = socket.create_connection((address.hostname, address.port))
        with speaking(context.wrap_socket(connection, server_hostname="localhost")) as speaker:
            lines = [(":method", "GET"), (":scheme", scheme), (":authority", HOST), (":path", "/held/scheme")]
            return speaker.ask([*lines, ("authorization", token)], end=True)[1]

    assert asks("https") == "403"
    assert world.answer(world.asked("moritz")).status_code == 200
    assert [asks(scheme) for scheme in ("http", "https")] == ["403", "200"]


def test_a_body_that_was_cut_off_can_not_be_approved(world: World) -> None:
    """Envoy passes on 8,192 bytes of it."""
    response = sends(world, "konrad", content=BODY + 8_192 * b" ")
    assert (response.status_code, response.json()["reason"]) == (403, "not-bindable")
