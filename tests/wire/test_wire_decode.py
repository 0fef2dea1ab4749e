"""CheckRequest bytes to a RequestView."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz._pb.extauthz.check_pb2 import Pieces
from extauthz.errors import MalformedRequest
from extauthz.values.request import HttpRequest, Peer, RequestView
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import Reading


def http_of(payload: bytes) -> HttpRequest:
    http = decode(payload).http
    assert http is not None
    return http


def body_of(*, body: str = "", raw_body: bytes = b"", partial: str | None) -> bytes | None:
    message = CheckRequest.FromString(check_request(host="a.example"))
    http = message.attributes.request.http
    http.body, http.raw_body = body, raw_body
    if partial is not None:
        http.headers["x-envoy-auth-partial-body"] = partial
    return http_of(message.SerializeToString()).body


def test_every_part_of_a_check_is_read() -> None:
    payload = check_request(
        id="42",
        method="POST",
        host="Shop.Example:8443",
        path="/v1/a%20b/?q=1&q=2",
        headers={"Accept": ["text/html", "*/*"], "x-tier": "gold"},
        body=b'{"a": 1}',
        source_ip="203.0.113.9",
        source_port=40312,
        principal="spiffe://prod.example.org/ns/shop/sa/web",
        certificate="-----BEGIN%20CERTIFICATE-----",
        destination=Peer(ip="10.0.0.2", port=8443, principal="spiffe://prod.example.org/ns/pay/sa/api"),
        context={"tenant": "t1"},
        metadata={"envoy.filters.http.jwt_authn": {"payload": {"sub": "u1", "roles": ["a", None, True, 2.5]}}},
        sni="shop.example",
        time=(1_790_000_000, 5),
        raw_headers=True,
    )
    assert decode(payload) == RequestView(
        source=Peer(
            ip="203.0.113.9",
            port=40312,
            principal="spiffe://prod.example.org/ns/shop/sa/web",
            certificate="-----BEGIN%20CERTIFICATE-----",
        ),
        destination=Peer(ip="10.0.0.2", port=8443, principal="spiffe://prod.example.org/ns/pay/sa/api"),
        http=HttpRequest(
            id="42",
            method="POST",
            scheme="https",
            host="shop.example",
            authority="Shop.Example:8443",
            path="/v1/a b/",
            segments=("v1", "a b"),
            raw_path="/v1/a%20b/",
            raw_query="q=1&q=2",
            protocol="HTTP/2",
            headers={
                "accept": ("text/html", "*/*"),
                "x-tier": ("gold",),
                "x-envoy-auth-partial-body": ("false",),
            },
            size=-1,
            body=b'{"a": 1}',
            has_query=True,
        ),
        time=(1_790_000_000, 5),
        sni="shop.example",
        context={"tenant": "t1"},
        metadata={"envoy.filters.http.jwt_authn": {"payload": {"sub": "u1", "roles": ["a", None, True, 2.5]}}},
    )


def test_an_empty_check_and_one_without_http_are_tcp_checks() -> None:
    assert decode(b"") == RequestView()
    tcp = decode(tcp_check_request(source_ip="10.0.0.1", source_port=5, principal="spiffe://a.example/x", sni="db"))
    assert tcp == RequestView(source=Peer(ip="10.0.0.1", port=5, principal="spiffe://a.example/x"), sni="db")


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\x0a", b"\x0a\x7f", b"not protobuf", b"\x0a\x06\x22\x04\x12\x02\x12\xff", json.dumps({}).encode()],
)
def test_bytes_that_are_no_check_request_are_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedRequest) as refused:
        decode(payload)
    assert refused.value.reason == "malformed-check"


def test_text_that_is_no_utf8_is_malformed() -> None:
    payload = check_request(host="a.example", path="/MARK").replace(b"MARK", b"\xff\xfe\xfd\xfc")
    with pytest.raises(MalformedRequest):
        decode(payload)


@pytest.mark.parametrize("method", ["", "get", "Post", "GET ", "GE T", "G\u00c9T", "GET\n", "GET\0"])
def test_a_method_that_is_no_upper_case_token_is_refused(method: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        decode(check_request(host="a.example", method=method))
    assert refused.value.reason == "malformed-method"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "M-SEARCH", "PROPFIND", "BASELINE-CONTROL", "X1"])
def test_any_upper_case_token_is_a_method(method: str) -> None:
    assert http_of(check_request(host="a.example", method=method)).method == method


def test_a_host_header_that_names_another_host_is_refused() -> None:
    assert http_of(check_request(host="a.example", headers={"host": "A.example:80"})).host == "a.example"
    with pytest.raises(MalformedRequest):
        decode(check_request(host="a.example", headers={"host": "b.example"}))


def test_accept_relaxes_single_items_of_the_path() -> None:
    payload = check_request(host="a.example", path="/a;b")
    with pytest.raises(MalformedRequest):
        decode(payload)
    http = decode(payload, Reading(accept=frozenset({"semicolon"}))).http
    assert http is not None
    assert http.segments == ("a;b",)


def test_headers_that_come_in_both_forms_are_refused() -> None:
    message = CheckRequest.FromString(check_request(host="a.example", headers={"x": "1"}, raw_headers=True))
    message.attributes.request.http.headers["x"] = "2"
    with pytest.raises(MalformedRequest) as refused:
        decode(message.SerializeToString())
    assert refused.value.reason == "malformed-check"


@pytest.mark.parametrize("seconds_nanos", [(0, -1), (0, 1_000_000_000), (2**62, 0), (-(2**62), 0)])
def test_a_time_that_is_none_is_refused(seconds_nanos: tuple[int, int]) -> None:
    with pytest.raises(MalformedRequest):
        decode(check_request(host="a.example", time=seconds_nanos))


def test_without_the_partial_body_header_no_body_is_known() -> None:
    assert body_of(partial=None) is None
    assert body_of(body="{}", partial=None) is None
    assert body_of(raw_body=b"{}", partial=None) is None


def test_a_truncated_body_is_not_known() -> None:
    assert body_of(raw_body=b"{}", partial="true") is None
    assert http_of(check_request(host="a.example", body=b"{}", truncated=True)).body is None


@pytest.mark.parametrize("partial", ["", "False", "false ", "false,false", "0", "no"])
def test_only_the_word_false_makes_a_body_known(partial: str) -> None:
    try:
        assert body_of(raw_body=b"{}", partial=partial) is None
    except MalformedRequest:
        assert "," in partial


def test_a_whole_body_is_known_in_either_form() -> None:
    assert body_of(raw_body=b"\xff\0", partial="false") == b"\xff\0"
    assert body_of(body='{"a": "é"}', partial="false") == '{"a": "é"}'.encode()
    assert body_of(partial="false") == b""


def test_a_text_body_in_which_envoy_may_have_replaced_bytes_is_not_known() -> None:
    assert body_of(body='{"a": "!"}', partial="false") is None
    assert body_of(raw_body=b'{"a": "!"}', partial="false") == b'{"a": "!"}'


@pytest.mark.parametrize(("target", "query"), [("/a?b=c", "b=c"), ("/a?", ""), ("/a", "")])
def test_path_holds_the_query_and_the_query_field_is_never_read(target: str, query: str) -> None:
    message = CheckRequest.FromString(check_request(host="a.example", path=target))
    message.attributes.request.http.query = "admin=1"
    message.attributes.request.http.fragment = "x"
    http = http_of(message.SerializeToString())
    assert (http.path, http.raw_query) == ("/a", query)


@pytest.mark.parametrize("target", ["/a!b", "/a?b=c!", "/!", "/a!?b=!"])
def test_a_mark_that_envoy_may_have_written_for_a_byte_is_refused_unless_the_raw_form_has_it(target: str) -> None:
    def sent(path: bytes | None) -> bytes:
        message = CheckRequest.FromString(check_request(host="a.example", path=target, raw_headers=True))
        lines = message.attributes.request.http.header_map.headers
        (line,) = (line for line in lines if line.key == ":path")
        if path is None:
            lines.remove(line)
        else:
            line.raw_value = path
        return message.SerializeToString()

    http = http_of(sent(target.encode()))
    assert f"{http.raw_path}?{http.raw_query}".removesuffix("?") == target
    byte = target.encode().replace(b"!", b"\xff")
    for payload in (sent(byte), sent(None), check_request(host="a.example", path=target)):
        with pytest.raises(MalformedRequest) as refused:
            decode(payload)
        assert refused.value.reason == "malformed-path"


@pytest.mark.parametrize(
    "name",
    [
        "x-forwarded-uri", "x-forwarded-host", "x-forwarded-method", "x-envoy-original-path", "x-original-url",
        "x-rewrite-url", "x-http-method-override", ":path", ":method", ":authority",
    ],
)  # fmt: skip
def test_forwarded_and_original_headers_are_never_an_input(name: str) -> None:
    message = CheckRequest.FromString(check_request(host="a.example", path="/a"))
    message.attributes.request.http.headers[name] = "/admin"
    http = http_of(message.SerializeToString())
    assert (http.method, http.host, http.path, http.raw_path) == ("GET", "a.example", "/a", "/a")


def test_a_trailing_dot_of_the_host_is_ignored() -> None:
    assert http_of(check_request(host="payments.example.com.")).host == "payments.example.com"


@given(st.binary(max_size=200))
def test_any_bytes_give_a_view_or_malformed_request(payload: bytes) -> None:
    with contextlib.suppress(MalformedRequest):
        assert isinstance(decode(payload), RequestView)


SPOILT = check_request(
    host="a.example", path="/a/b?c=d", headers={"x": "y"}, body=b"z", metadata={"n": {"k": [1, {"a": "b"}]}}, sni="s"
)


@given(st.integers(0, len(SPOILT) - 1), st.binary(max_size=4))
def test_a_spoilt_check_gives_a_view_or_malformed_request(at: int, junk: bytes) -> None:
    with contextlib.suppress(MalformedRequest):
        assert isinstance(decode(SPOILT[:at] + junk + SPOILT[at + len(junk) :]), RequestView)


@given(
    method=st.text(max_size=5), host=st.text(max_size=8), path=st.text(max_size=8), name=st.text(max_size=4),
    value=st.text(max_size=4), raw=st.booleans(),
)  # fmt: skip
def test_any_text_in_a_check_gives_a_view_or_malformed_request(
    *, method: str, host: str, path: str, name: str, value: str, raw: bool
) -> None:
    payload = check_request(method=method, host=host, path="/" + path, headers={name: value}, raw_headers=raw)
    with contextlib.suppress(MalformedRequest):
        assert http_of(payload).method == method


def test_the_metadata_of_the_route_are_apart_from_those_of_filters() -> None:
    route = {"shop": {"owner": "payments", "limits": [1, None, {"a": True}]}}
    view = decode(check_request(host="a.example", metadata={"n": {"k": 1}}, route_metadata=route))
    assert (view.metadata, view.route_metadata) == ({"n": {"k": 1.0}}, route)


@pytest.mark.parametrize(
    "field", ["source", "destination", "tls_session", "metadata_context", "route_metadata_context"]
)
@pytest.mark.parametrize("content", [b"\xff", b"\x0a", b"\x0a\x02\x0a", b"\x22\x01\xff\x0a\x01\xff"])
def test_a_part_that_is_no_message_is_malformed(field: str, content: bytes) -> None:
    attributes = Pieces.Attributes.FromString(Pieces.FromString(check_request(host="a.example")).attributes[0])
    getattr(attributes, field)[:] = [content]
    with pytest.raises(MalformedRequest) as refused:
        decode(Pieces(attributes=[attributes.SerializeToString()]).SerializeToString())
    assert refused.value.reason == "malformed-check"


def test_what_one_check_may_cost_is_bounded() -> None:
    metadata = {"n": {"k": "x" * 100_000}}
    peer = Peer(ip="192.0.2.1", certificate="x" * 70_000)
    large = {f"x-{n}": "y" * 20_000 for n in range(7)}
    for payload, reason in (
        (check_request(host="a.example", path="/a?" + "b" * 65_536), "malformed-path"),
        (check_request(host="a.example", path="/" + "%61" * 30_000), "malformed-path"),
        (check_request(host="a.example", headers={f"x-{n}": "" for n in range(5_000)}), "malformed-header"),
        (check_request(host="a.example", headers={"x": [""] * 5_000}, raw_headers=True), "malformed-header"),
        (check_request(host="a.example", context={f"x-{n}": "" for n in range(2_000)}), "malformed-check"),
        (check_request(host="a.example", metadata=metadata), "malformed-check"),
        (check_request(host="a.example", route_metadata=metadata), "malformed-check"),
        (check_request(host="a.example", destination=peer), "malformed-check"),
        (check_request(host="a.example", headers=large), "malformed-header"),
        (check_request(host="a.example", headers=large, raw_headers=True), "malformed-header"),
        (check_request(host="a.example", headers={**large, "": "x"}), "malformed-header"),
        (check_request(host="a.example", headers={"x-0": ["", "y" * 140_000]}, raw_headers=True), "malformed-header"),
        (check_request(host="a.example", body=bytes(2_200_000)), "malformed-check"),
        (check_request(host="a.example", context={"x": "y" * 300_000}), "malformed-check"),
    ):
        with pytest.raises(MalformedRequest) as refused:
            decode(payload)
        assert refused.value.reason == reason


def test_a_websocket_upgrade_is_a_get_that_says_so() -> None:
    headers = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "x"}
    http = http_of(check_request(host="a.example", path="/chat", headers=headers))
    assert (http.method, http.path, http.header("upgrade"), http.body) == ("GET", "/chat", "websocket", None)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    "connection",
    ["Upgrade, x-authz-subject", "upgrade,Authorization", "close, x-a, upgrade", "\tx-a", "upgrade;x-a", "upgrade\vx"],
)
def test_no_header_of_a_request_is_taken_away_behind_the_decision(connection: str, *, raw: bool) -> None:
    headers = {"upgrade": "websocket", "connection": connection, "x-a": "1"}
    with pytest.raises(MalformedRequest) as refused:
        decode(check_request(host="a.example", path="/chat", headers=headers, raw_headers=raw))
    assert refused.value.reason == "malformed-header"


def test_connections_may_say_what_http_says_of_them() -> None:
    for connection in ("Upgrade", "keep-alive, Upgrade", "Upgrade,,HTTP2-Settings", "close", "TE, close", ""):
        decode(check_request(host="a.example", path="/chat", headers={"upgrade": "x", "connection": connection}))


def test_connect_has_a_host_and_no_path_and_an_extended_connect_has_both() -> None:
    http = http_of(check_request(host="db.example:5432", method="CONNECT", path=""))
    assert (http.method, http.host, http.path, http.segments, http.body) == ("CONNECT", "db.example", "", (), None)
    # RFC 8441 section 4: `:protocol` is a pseudo header, and nothing is read from these.
    message = CheckRequest.FromString(check_request(host="a.example", method="CONNECT", path="/chat"))
    message.attributes.request.http.headers[":protocol"] = "websocket"
    http = http_of(message.SerializeToString())
    assert (http.method, http.host, http.segments) == ("CONNECT", "a.example", ("chat",))
    assert ":protocol" not in http.headers


def test_metadata_nests_as_deep_as_protobuf_lets_it() -> None:
    nested: object = "x"
    for _ in range(20):
        nested = {"a": nested}
    assert decode(check_request(host="a.example", metadata={"n": {"k": nested}})).metadata == {"n": {"k": nested}}


def test_what_was_read_does_not_change() -> None:
    view = decode(check_request(host="a.example", headers={"x": "1"}))
    assert view.http is not None
    with pytest.raises(AttributeError):
        view.sni = "b"  # type: ignore[misc]  # this is what must fail
    with pytest.raises(AttributeError):
        view.http.host = "b"  # type: ignore[misc]  # this is what must fail
    with pytest.raises(TypeError):
        view.http.headers["x"] = ("2",)  # type: ignore[index]  # this is what must fail


@pytest.mark.parametrize("length", [0, 60, 98, 99, 100, 5_000, 16_200, 16_300, 16_400])
def test_attributes_that_come_twice_are_refused_whatever_their_size(length: int) -> None:
    """Protobuf joins the two, and of what is bytes here it takes the last: a second reader sees more headers."""
    once = check_request(host="a.example", path="/" + "x" * length)
    assert decode(once).http is not None
    for payload in (once + once, once + b"\x0a\x00", b"\x0a\x00" + once):
        with pytest.raises(MalformedRequest, match="more than once"):
            decode(payload)
