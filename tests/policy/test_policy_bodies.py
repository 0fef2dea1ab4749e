"""What conditions see of bodies: JSON-RPC, gRPC, forms with files; and that each body is looked into once."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from described import descriptors, framed, message
from hypothesis import given
from hypothesis import strategies as st
from policy.making import NOW, caller, compiled, document, evaluate, http, rule, tcp

from extauthz import cel
from extauthz.policy import json_body
from extauthz.policy.context import NAMES, Inputs, RequestScope
from extauthz.policy.json_body import MAX_VALUES
from extauthz.policy.load import load_text
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.messages import MessageTypes
from extauthz.wire.reading import Reading

BANK = Reading(messages=MessageTypes.of(descriptors(), "bank.pb"))


def value(source: str, request: RequestView) -> Any:
    inputs = Inputs(request=request, identity=Identity(), facts=Facts(), now=NOW)
    return cel.compile(source, variables=NAMES, nan_ordering_is_error=True)(RequestScope(inputs))


def posted(body: bytes, content_type: str = "application/json", path: str = "/") -> RequestView:
    return http(path, method="POST", body=body, headers={"content-type": content_type})


def call(
    body: bytes | None,
    *,
    content_type: str = "application/grpc",
    path: str = "/bank.Ledger/Book",
    reading: Reading = BANK,
    **more: Any,
) -> RequestView:
    headers = {"content-type": content_type, "te": "trailers", **more.pop("headers", {})}
    return decode(
        check_request(host="ledger.example", method="POST", path=path, headers=headers, body=body, **more), reading
    )


BOOKING = framed(message(account="a1", amount="5000", serial="7", due="2026-11-21T10:00:00Z", fee={"units": "1"}))


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "Application/GRPC; x=y"])
def test_a_condition_sees_the_message_of_a_grpc_call(content_type: str) -> None:
    request = call(BOOKING, content_type=content_type)
    for source in (
        "request.grpc.account == 'a1' && request.grpc.amount > 1000 && request.grpc.serial == 7u",
        "request.grpc.due < timestamp('2027-01-01T00:00:00Z') && request.grpc.fee.units == 1",
        "has(request.grpc.fee) && !has(request.grpc.limit) && request.grpc.labels.size() == 0",
        "request.grpc[?'priority'].orValue(3) == 3",
    ):
        assert value(source, request) is True, source


UNREADABLE = {
    "json": call(BOOKING, content_type="application/grpc+json"),
    "web": call(BOOKING, content_type="application/grpc-web+proto"),
    "web-text": call(BOOKING, content_type="application/grpc-web-text"),
    "proto": call(BOOKING, content_type="application/proto"),
    "encoded": call(BOOKING, headers={"content-encoding": "gzip"}),
    "compressed": call(framed(BOOKING[5:], flag=1), headers={"grpc-encoding": "gzip"}),
    "cut": call(BOOKING[:-1]),
    "two": call(BOOKING + BOOKING),
    "truncated": call(BOOKING, truncated=True),
    "unread": call(None),
    "stream": call(BOOKING, path="/bank.Ledger/Import"),
    "unknown": call(BOOKING, path="/bank.Ledger/Unknown"),
    "deeper": call(BOOKING, path="/x/bank.Ledger/Book"),
    "undescribed": call(BOOKING, reading=Reading()),
}


@pytest.mark.parametrize("request_", UNREADABLE.values(), ids=UNREADABLE)
def test_a_grpc_body_that_is_not_one_known_message_is_an_error(request_: RequestView) -> None:
    with pytest.raises(cel.EvalError):
        value("request.grpc.amount == 5000", request_)
    with pytest.raises(cel.EvalError):
        value("has(request.grpc)", request_)


def test_a_tool_call_of_an_agent_is_matched_by_its_json_rpc() -> None:
    exporting = "request.json.method == 'tools/call' && request.json.params.name == 'export'"
    policies = compiled(
        document(
            "mcp", rule("calls", "allow", paths=["/mcp"]), rule("no-export", "deny", paths=["/mcp"], when=exporting)
        )
    )

    def decided(body: Any) -> str:
        evaluation = evaluate(policies, posted(json.dumps(body).encode(), path="/mcp"))
        return f"{type(evaluation.decision).__name__} {evaluation.decision.reason}"

    def tool(name: str) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}}

    assert decided(tool("export")) == "Deny denied"
    assert decided(tool("search")) == "Allow allowed"
    assert decided({"jsonrpc": "2.0", "id": 1, "method": "ping"}) == "Allow allowed"
    # A batch is a list, which has no method: the guard can't tell, so it denies.
    assert decided([tool("search"), tool("export")]) == "Deny policy-error"
    assert evaluate(policies, posted(b'{"method": "x", "method": "tools/call"}', path="/mcp")).decision.reason == (
        "policy-error"
    )


PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
(SHOWN,) = re.findall(r"^```yaml\n(apiVersion:.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
PAGES_POLICY = load_text(SHOWN, "requests.md")


@pytest.mark.parametrize(
    ("call", "decided"),
    [
        ({"method": "tools/call", "params": {"name": "search"}}, "allowed"),
        ({"method": "tools/call", "params": {"name": "export"}}, "approval-required"),
        ({"method": "tools/call", "params": {"name": "delete"}}, "no-rule-allows"),
        ({"method": "tools/list"}, "allowed"),
        ([{"method": "tools/call", "params": {"name": "search"}}], "policy-error"),
        ("tools/call", "policy-error"),
    ],
)
def test_the_policy_of_the_page_decides_as_the_page_says(call: object, decided: str) -> None:
    request = http(
        "/mcp",
        method="POST",
        host="mcp.example.com",
        body=json.dumps(call).encode(),
        headers={"content-type": "application/json"},
    )
    agent = caller(workload="spiffe://prod.example.org/ns/agents/sa/writer")
    assert evaluate(PAGES_POLICY, request, agent).decision.reason == decided


def test_a_batch_of_json_rpc_is_a_list_that_a_condition_can_walk() -> None:
    batch = json.dumps([{"method": "a"}, {"method": "b"}]).encode()
    assert value("request.json.all(call, call.method in ['a', 'b'])", posted(batch)) is True
    assert value("type(request.json) == list", posted(batch)) is True


def test_a_form_with_files_is_read_by_its_fields() -> None:
    body = (
        b'--X\r\nContent-Disposition: form-data; name="amount"\r\n\r\n5\r\n--X\r\nContent-Disposition: form-data;'
        b' name="doc"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--X--\r\n'
    )
    request = posted(body, "multipart/form-data; boundary=X")
    assert value("request.multipart.amount == '5' && request.multipart.doc.filename == 'a.pdf'", request) is True
    assert value("request.multipart.doc.content_type == 'application/pdf'", request) is True
    assert value("request.multipart.doc.size == 4 && !has(request.multipart.other)", request) is True
    with pytest.raises(cel.EvalError):
        value("request.multipart.amount == '5'", posted(body[:-9], "multipart/form-data; boundary=X"))
    with pytest.raises(cel.EvalError):
        value("request.form.amount == '5'", request)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8; charset=utf-8",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; charset="utf\\-8"',
        "application/json charset=utf-8",
        "application/json; charset",
        "application/json; =utf-8",
        "json",
        "application/",
        "application/json/x",
        "",
    ],
)
def test_a_content_type_that_two_readers_could_read_differently_is_an_error(content_type: str) -> None:
    with pytest.raises(cel.EvalError):
        value("request.json.a == 1", posted(b'{"a": 1}', content_type))


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json;", "APPLICATION/JSON ; Charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_a_content_type_is_read_as_its_grammar_has_it(content_type: str) -> None:
    assert value("request.json.a == 1", posted(b'{"a": 1}', content_type)) is True


@pytest.mark.parametrize("body", [b"\xef\xbb\xbfamount=5", "amount=5".encode("utf-16"), b"amount=\xff", b"amount=%ff"])
def test_a_form_that_is_no_plain_utf8_is_an_error(body: bytes) -> None:
    with pytest.raises(cel.EvalError):
        value("has(request.form.amount)", posted(body, "application/x-www-form-urlencoded"))


@pytest.mark.parametrize("coding", ["gzip", "identity", "br, gzip", ""])
def test_an_encoded_body_is_not_read(coding: str) -> None:
    request = http(method="POST", body=b"{}", headers={"content-type": "application/json", "content-encoding": coding})
    with pytest.raises(cel.EvalError, match="encoded"):
        value("request.json == {}", request)


@pytest.mark.parametrize("unit", ["[],", '{"":0},', "1,"])
def test_json_with_more_values_than_anybody_sends_is_not_read(unit: str) -> None:
    body = f"[{unit * MAX_VALUES}0]".encode()
    with pytest.raises(cel.EvalError, match=f"more than {MAX_VALUES} values"):
        value("request.json.size() > 0", posted(body))


def test_a_body_is_looked_into_once_by_all_rules_together_also_if_it_can_not_be_read() -> None:
    policies = compiled(
        document("p", *(rule(f"r{number}", "allow", when=f"request.json.a == {number}") for number in range(20)))
    )
    for body in (b'{"a": 3}', b'{"a": 3, "a": 4}', b"\xff"):
        with patch.object(json_body, "value_of", side_effect=json_body.value_of) as looked:
            evaluate(policies, posted(body))
        assert looked.call_count <= 1
    evaluation = evaluate(policies, posted(b'{"a": 3, "a": 4}'))
    assert {one.error for one in evaluation.rules} == {"1:1: the JSON body has a key twice, or in two cases"}


def test_a_route_tells_its_metadata() -> None:
    request = http(route_metadata={"shop": {"owner": "payments", "tier": 1, "tags": ["a", None]}})
    assert value("route.metadata.shop.owner == 'payments' && route.metadata.shop.tier == 1.0", request) is True
    assert value("route.metadata['shop'].tags == ['a', null] && !has(route.metadata.other)", request) is True
    assert value("has(route.metadata)", http()) is False
    assert value("metadata == {}", request) is True
    with pytest.raises(cel.EvalError):
        value("route.metadata.shop.owner == 'payments'", http())


@pytest.mark.parametrize("view", ["json", "form", "multipart", "grpc", "body"])
def test_a_tcp_check_has_no_body(view: str) -> None:
    assert value(f"has(request.{view})", tcp()) is False


TYPES = [
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=X", "application/grpc",
    "text/plain", "application/json; charset=x", ";", 'a/b; c="',
]  # fmt: skip


def is_plain(seen: object) -> bool:
    """Whether conditions can work with it, all the way down."""
    match seen:
        case Mapping():
            return all(isinstance(name, str | int) and is_plain(seen[name]) for name in seen)
        case list() | tuple():
            return all(map(is_plain, seen))
        case _:
            return seen is None or isinstance(seen, str | bytes | int | float | cel.Timestamp | cel.Duration)


@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]",:1aA\\u00d8 -X\r\n=&;%', max_size=60).map(str.encode)
    | st.binary(max_size=40).map(framed),
    st.sampled_from(TYPES),
    st.sampled_from(["json", "form", "multipart", "grpc"]),
)
def test_any_body_has_one_plain_value_or_is_an_error(body: bytes, content_type: str, view: str) -> None:
    request = call(body, content_type=content_type)
    with contextlib.suppress(cel.EvalError):
        assert is_plain(value(f"request.{view}", request))
