"""Bodies as a real Envoy buffers them, or doesn't: what a condition reads of them, and what it can't."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from described import framed, message
from e2e.readings import LIMIT, Answer, Readings

HOST = "bodies.example.com"
JSON = "content-type: application/json"
FORM = "content-type: application/x-www-form-urlencoded"
UPLOAD = "content-type: multipart/form-data; boundary=XX"
FILE = (
    b'--XX\r\nContent-Disposition: form-data; name="amount"\r\n\r\n5\r\n--XX\r\nContent-Disposition: form-data;'
    b' name="doc"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\xff\r\n--XX--\r\n'
)


def outcome(answer: Answer) -> tuple[int, str | None]:
    """The status, and the reason of a refusal."""
    return answer.status, answer.reason


ALLOWED = (200, None)
ERRS = (401, "no-rule-allows")  # the condition of the one allow has an error, and nobody is known
BODIES = {
    "json": ("/json", b'{"amount": 5}', JSON, ALLOWED),
    "json-more": ("/json", b'{"amount": 500}', JSON, ERRS),
    "json-twice": ("/json", b'{"amount": 500, "amount": 5}', JSON, ERRS),
    "json-cases": ("/json", b'{"Amount": 500, "amount": 5}', JSON, ERRS),
    "json-nan": ("/json", b'{"amount": NaN}', JSON, ERRS),
    "json-huge": ("/json", b'{"amount": -1e999}', JSON, ERRS),
    "json-deep": ("/json", b'{"amount": 5, "x": ' + b"[" * 100 + b"]" * 100 + b"}", JSON, ERRS),
    "json-mark": ("/json", b'\xef\xbb\xbf{"amount": 5}', JSON, ERRS),
    "json-utf16": ("/json", '{"amount": 5}'.encode("utf-16"), JSON, ERRS),
    "json-charset": ("/json", b'{"amount": 5}', JSON + "; charset=utf-7", ERRS),
    "json-gzip": ("/json", b'{"amount": 5}', JSON + "\r\ncontent-encoding: gzip", ERRS),
    "json-as-text": ("/json", b'{"amount": 5}', "content-type: text/plain", ERRS),
    "form": ("/form", b"amount=5&note=a+b%21", FORM, ALLOWED),
    "form-twice": ("/form", b"amount=5&amount=500", FORM, ERRS),
    "form-semicolon": ("/form", b"amount=5;amount=500", FORM, ERRS),
    "form-as-json": ("/form", b"amount=5", JSON, ERRS),
    "upload": ("/upload", FILE, UPLOAD, ALLOWED),
    "upload-twice": ("/upload", FILE.replace(b"doc", b"amount"), UPLOAD, ERRS),
    "upload-two-names": ("/upload", FILE.replace(b"filename=", b'filename="a.exe"; filename='), UPLOAD, ERRS),
    "upload-two-boundaries": ("/upload", FILE, UPLOAD + "; boundary=YY", ERRS),
    "bytes": ("/bytes", b"\xff!\x00", "content-type: application/octet-stream", ALLOWED),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "header", "expected"), BODIES.values(), ids=BODIES)
def test_a_condition_reads_a_buffered_body_in_one_way_or_not_at_all(
    readings: Readings, path: str, body: bytes, header: str, expected: tuple[int, str | None]
) -> None:
    answer = readings.post(HOST, path, body, header)
    assert outcome(answer) == expected
    assert [received.body for received in answer.received] == ([body] if expected == ALLOWED else [])


@pytest.mark.parametrize("listener", ["plain", "joined", "whole"])
def test_what_is_known_of_a_body_does_not_depend_on_how_headers_are_sent(readings: Readings, listener: str) -> None:
    assert outcome(readings.post(HOST, "/json", b'{"amount": 5}', JSON, listener=listener)) == ALLOWED
    assert outcome(readings.post(HOST, "/json", b'{"amount": 500}', JSON, listener=listener)) == ERRS


def padded(length: int) -> bytes:
    """A JSON body of so many bytes."""
    start, end = b'{"amount": 5, "x": "', b'"}'
    return start + b"x" * (length - len(start) - len(end)) + end


@pytest.mark.parametrize("claim", ["x-envoy-auth-partial-body: false", "x-envoy-auth-partial-body: true"])
def test_a_truncated_body_satisfies_no_content_rule_whatever_the_client_claims(readings: Readings, claim: str) -> None:
    fits, truncated = padded(LIMIT - 1), padded(LIMIT * 4)
    assert outcome(readings.post(HOST, "/json", fits, JSON, claim)) == ALLOWED
    assert outcome(readings.post(HOST, "/json", truncated, JSON, claim)) == ERRS
    for body, word in ((fits, "false"), (truncated, "true")):
        answer = readings.post(HOST, "/told", body, JSON, claim)
        assert (answer.status, answer.told("x-truncated")) == (200, word)
        assert [received.body for received in answer.received] == [body]
    # A guard on content that can't be seen denies.
    call = json.dumps(tool("search") | {"x": "x" * LIMIT * 2}).encode()
    assert outcome(readings.post(HOST, "/mcp", call, JSON, claim)) == (403, "policy-error")


def test_nothing_is_bound_to_a_request_whose_body_is_truncated(readings: Readings) -> None:
    """A proof for this very request can't be asked for where the request is not known whole."""
    headers = (JSON, f"authorization: {readings.stage.bearer('alice')['authorization']}")
    assert readings.post(HOST, "/bound", padded(LIMIT - 1), *headers).reason == "proof-required"
    assert readings.post(HOST, "/bound", padded(LIMIT * 2), *headers).reason == "not-bindable"
    assert readings.post(HOST, "/bound", b"{}", *headers, listener="unbuffered").reason == "not-bindable"


def test_a_limit_that_is_none_of_partial_bodies_is_held_by_envoy(readings: Readings) -> None:
    asked = readings.checks()
    answer = readings.post(HOST, "/told", padded(LIMIT * 2), JSON, listener="whole")
    assert (answer.status, answer.received, readings.checks()) == (413, [], asked)


def test_a_text_body_is_known_unless_envoy_may_have_replaced_bytes(readings: Readings) -> None:
    for end, expected in ((b"}", ALLOWED), (b', "x": "\xff"}', ERRS), (b', "x": "!"}', ERRS)):
        body = b'{"amount": 5' + end
        assert outcome(readings.post(HOST, "/json", body, JSON, listener="text")) == expected
    assert readings.post(HOST, "/told", b"a!", JSON, listener="text").told("x-truncated") == "true"
    assert readings.post(HOST, "/told", b"a!", JSON).told("x-truncated") == "false"


def test_without_buffering_no_body_is_known_and_none_is_empty(readings: Readings) -> None:
    for body in (b'{"amount": 5}', b""):
        for path in ("/json", "/without"):
            assert outcome(readings.post(HOST, path, body, JSON, listener="unbuffered")) == ERRS
        answer = readings.post(HOST, "/told", body, JSON, listener="unbuffered")
        assert (answer.status, answer.told("x-truncated")) == (200, "true")


def test_no_body_is_an_empty_one_only_where_the_route_says_that_it_buffers(readings: Readings) -> None:
    for path, expected in (("/declared", ALLOWED), ("/without", ERRS)):
        assert outcome(readings.ask([f"DELETE {path} HTTP/1.1", f"host: {HOST}"])) == expected
    chunked = b"2\r\n{}\r\n0\r\n\r\n"
    for header, body in (("content-length: 2", b"{}"), ("transfer-encoding: chunked", chunked)):
        lines = ["POST /declared HTTP/1.1", f"host: {HOST}", header]
        assert outcome(readings.ask(lines, body=body)) == ERRS
    # The declaration is wrong: what is announced is believed over it, and so is that a gRPC call has a body.
    for header, body in (("content-length: 2", b"{}"), ("content-type: application/grpc", b"")):
        lines = ["POST /declared HTTP/1.1", f"host: {HOST}", header]
        assert readings.ask(lines, body=body, listener="unbuffered").received == []
    # A tunnel has no body that could be known.
    upgrade = ["GET /declared HTTP/1.1", f"host: {HOST}", "upgrade: websocket", "connection: upgrade"]
    with readings.connect("plain") as connection:
        connection.sendall("\r\n".join([*upgrade, "", ""]).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


# --- tools of agents


def tool(name: str, **arguments: object) -> dict[str, Any]:
    """A tool call of MCP."""
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


CALLS = {
    "another-tool": (tool("search", text="export"), ALLOWED),
    "the-tool": (tool("export"), (403, "no-export")),
    "another-method": ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, ALLOWED),
    "a-batch": ([tool("search"), tool("export")], (403, "policy-error")),
    "a-call-without-a-name": ({"method": "tools/call", "params": {}}, (403, "policy-error")),
    "no-object": ("tools/call", (403, "policy-error")),
}


@pytest.mark.parametrize(("call", "expected"), CALLS.values(), ids=CALLS)
def test_a_tool_call_of_an_agent_is_matched(readings: Readings, call: object, expected: tuple[int, str | None]) -> None:
    answer = readings.post(HOST, "/mcp", json.dumps(call).encode(), JSON, "accept: application/json, text/event-stream")
    if expected == ALLOWED:
        assert (answer.status, len(answer.received)) == (200, 1)
        return
    assert (answer.status, answer.received) == (expected[0], [])
    assert f'"{expected[1]}"' in answer.content.decode()


def test_an_agent_is_told_why_its_call_is_refused(readings: Readings) -> None:
    answer = readings.post(HOST, "/mcp", json.dumps(tool("export")).encode(), JSON)
    refusal = json.loads(answer.content)
    assert (refusal["id"], refusal["error"]["data"]["reason"]) == (1, "no-export")


@pytest.mark.parametrize(
    "body",
    [
        b'{"method": "tools/call", "params": {"name": "search", "name": "export"}}',
        b'{"method": "tools/call", "params": {"name": "search", "Name": "export"}}',
        b'{"method": "tools/call", "params": {"name": "search"}} {"method": "tools/call"}',
        b'{"method": "tools/call", "params": {"name": "\xff"}}',
    ],
)
def test_a_tool_call_that_two_readers_could_read_differently_is_denied(readings: Readings, body: bytes) -> None:
    answer = readings.post(HOST, "/mcp", body, JSON)
    assert (answer.status, answer.received) == (403, [])
    assert b"policy-error" in answer.content


# --- gRPC


@contextmanager
def ledger(readings: Readings, listener: str = "plain") -> Iterator[grpc.Channel]:
    """A channel to the host of the bank."""
    options = [("grpc.default_authority", "ledger.example.com")]
    with grpc.insecure_channel(f"127.0.0.1:{readings.ports[listener]}", options) as channel:
        yield channel


def code(call: Any) -> grpc.StatusCode:
    """The status of a call that is made."""
    try:
        call()
    except grpc.RpcError as refused:
        status: grpc.StatusCode = refused.code()
        return status
    return grpc.StatusCode.OK


SMALL, LARGE = message(account="a1", amount="5"), message(account="a1", amount="500")


@pytest.mark.parametrize("listener", ["plain", "joined"])
def test_a_unary_call_is_decided_by_its_message(readings: Readings, listener: str) -> None:
    with ledger(readings, listener) as channel:
        book = channel.unary_unary("/bank.Ledger/Book", bytes, bytes)
        assert book(SMALL, timeout=15) == SMALL
        for refused in (LARGE, b"", b"\xff", SMALL + b"\xf8\x07\x01", message(amount="5")):
            assert code(lambda: book(refused, timeout=15)) is grpc.StatusCode.UNAUTHENTICATED  # noqa: B023 - called at once


def test_a_compressed_message_and_one_that_envoy_truncates_are_not_read(readings: Readings) -> None:
    with ledger(readings) as channel:
        book = channel.unary_unary("/bank.Ledger/Book", bytes, bytes)
        compressed = message(account="a" * 500, amount="5")
        assert code(lambda: book(compressed, timeout=15)) is grpc.StatusCode.OK
        assert (
            code(lambda: book(compressed, timeout=15, compression=grpc.Compression.Gzip))
            is grpc.StatusCode.UNAUTHENTICATED
        )
        long = message(account="a" * LIMIT * 2, amount="5")
        assert code(lambda: book(long, timeout=15)) is grpc.StatusCode.UNAUTHENTICATED


def test_a_call_that_is_not_buffered_has_no_message_that_is_known(readings: Readings) -> None:
    """The shipped route for gRPC buffers nothing."""
    with ledger(readings) as channel:
        book = channel.unary_unary("/unbuffered.Ledger/Book", bytes, bytes)
        assert code(lambda: book(SMALL, timeout=15)) is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_is_never_read_and_passes_where_no_condition_looks_into_it(readings: Readings) -> None:
    with ledger(readings) as channel:
        stream = channel.stream_stream("/bank.Ledger/Import", bytes, bytes)
        for messages in ([SMALL], [SMALL, LARGE]):
            read = partial(lambda sent: list(stream(iter(sent), timeout=15)), messages)
            assert code(read) is grpc.StatusCode.UNAUTHENTICATED
        passing = channel.stream_stream("/bank.Ledger/Follow", bytes, bytes)
        assert list(passing(iter([SMALL, LARGE]), timeout=15)) == [SMALL, LARGE]


def test_two_messages_in_the_body_of_a_unary_call_are_none(readings: Readings) -> None:
    """What no gRPC library sends."""
    for body, allowed in ((framed(SMALL), True), (framed(SMALL) + framed(LARGE), False), (framed(SMALL)[:-1], False)):
        headers = ("content-type: application/grpc", "te: trailers")
        answer = readings.post("ledger.example.com", "/bank.Ledger/Book", body, *headers)
        assert (answer.headers["grpc-status"] == "16") != allowed
