"""Requests that are as those before them, on a connection or by their path: what is known of these is known of nothing
else.
"""

import pytest

from extauthz.errors import MalformedRequest
from extauthz.values.request import RequestView
from extauthz.wire import decode as decoding
from extauthz.wire import path as targets
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import STRICT, Reading

PORT = 9_700
PARTIAL = "x-envoy-auth-partial-body"


def nth(
    number: int, headers: dict[str, str] | None = None, *, reading: Reading = STRICT, context: str = ""
) -> RequestView:
    """One of many requests on a connection, in the raw form; Envoy's own headers come as if it had sent them."""
    sent = check_request(
        id=str(number),
        method="GET",
        host="shop.example.com",
        path=f"/orders/{number}",
        headers={"te": "trailers", "x-id": str(number), **(headers or {})},
        source_ip="10.0.3.1",
        source_port=PORT,
        context={"extauthz.buffered": context} if context else {},
        raw_headers=True,
        body=b"" if headers is not None and PARTIAL in headers else None,
    )
    return decode(sent, reading)


def test_a_host_header_is_compared_in_each_request() -> None:
    for number in range(6):
        nth(number, {"host": "shop.example.com"})
    for number in range(6):
        with pytest.raises(MalformedRequest, match="name different hosts"):
            nth(number, {"host": "evil.example.com"})


def test_the_header_that_tells_of_a_body_is_looked_at_in_each_request() -> None:
    for number in range(6):
        view = nth(number, {PARTIAL: "false"})
        assert view.http is not None
        assert view.http.body == b""


def test_whether_a_route_buffers_is_asked_for_each_request() -> None:
    for number in range(6):
        view = nth(number, context=("true", "false")[number % 2])
        assert view.http is not None
        assert view.http.body == (b"", None)[number % 2]
    for number in range(6):
        view = nth(number, reading=(Reading(buffered=True), STRICT)[number % 2])
        assert view.http is not None
        assert view.http.body == (b"", None)[number % 2]


def test_a_host_that_is_none_is_refused_each_time() -> None:
    for _ in range(6):
        with pytest.raises(MalformedRequest) as refused:
            decode(check_request(host="a..b", path="/", headers={"te": "1", "x-id": "2"}, raw_headers=True))
        assert refused.value.reason == "malformed-host"


def test_of_the_connections_the_last_ones_are_kept() -> None:
    for number in range(600):
        decode(check_request(host="a.example", path="/", source_ip="10.0.3.2", source_port=number))
        assert len(decoding._connections) <= 512
    kept = [*decoding._connections]
    decode(check_request(host="a.example", path="/", source_ip="10.0.3.2", source_port=599))
    assert [*decoding._connections] == kept


def test_what_was_read_with_another_word_of_the_operator_is_read_anew() -> None:
    relaxed, strict = frozenset({"semicolon"}), frozenset[str]()
    for _ in range(2):
        assert targets.canonical("/a;b", "GET", "a", relaxed) == ("/a;b", ("a;b",))
        with pytest.raises(MalformedRequest):
            targets.canonical("/a;b", "GET", "a", strict)


def test_not_too_much_is_kept_of_what_was_read() -> None:
    targets._kept.clear()
    for number in range(5_000):
        assert targets.canonical(f"/{number}", "GET", "a") == (f"/{number}", (str(number),))
        assert len(targets._kept) <= 4_096
    assert targets.canonical("/4999", "GET", "a")[1] is targets.canonical("/4999", "GET", "a")[1]
    targets.canonical("/" + "x" * 300, "GET", "a")
    assert all(len(path) <= 256 for path in targets._kept)
