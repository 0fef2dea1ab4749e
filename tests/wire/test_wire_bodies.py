"""Which body of a request is known: Envoy's word, the operator's word, and nothing else."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.wire.body import BUFFERED
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import Reading

EVERYWHERE = Reading(buffered=True)
DECLARED = {BUFFERED: "true"}
NOTHING: Mapping[str, str] = {}


def body_of(
    reading: Reading = EVERYWHERE,
    *,
    method: str = "GET",
    headers: Mapping[str, str] = NOTHING,
    context: Mapping[str, str] = NOTHING,
    text: str = "",
    raw: bytes = b"",
) -> bytes | None:
    """The body of a request about which Envoy says nothing but what is given."""
    message = CheckRequest.FromString(
        check_request(host="a.example", method=method, headers=headers, context=context, raw_headers=True)
    )
    message.attributes.request.http.body, message.attributes.request.http.raw_body = text, raw
    http = decode(message.SerializeToString(), reading).http
    assert http is not None
    return http.body


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "POST"])
def test_on_a_route_that_buffers_no_body_is_an_empty_body(method: str) -> None:
    assert body_of(method=method) == b""
    assert body_of(Reading(), method=method, context=DECLARED) == b""
    assert body_of(method=method, headers={"content-length": "0"}) == b""


def test_without_a_declaration_no_body_may_be_any_body() -> None:
    assert body_of(Reading()) is None
    assert body_of(Reading(), headers={"content-length": "0"}) is None


@pytest.mark.parametrize("word", ["false", "True", "TRUE", "1", "yes", "", " true", "true "])
def test_a_route_has_the_last_word_and_only_true_says_that_it_buffers(word: str) -> None:
    assert body_of(EVERYWHERE, context={BUFFERED: word}) is None
    assert body_of(Reading(), context={BUFFERED: word}) is None


def test_a_body_that_came_without_envoys_word_stays_unknown_on_a_route_that_buffers() -> None:
    assert body_of(text="{}", method="POST") is None
    assert body_of(raw=b"{}", method="POST") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "5"},
        {"content-length": "00"},
        {"content-length": ""},
        {"transfer-encoding": "chunked"},
        {"transfer-encoding": "identity"},
        {"upgrade": "websocket", "connection": "upgrade"},
        {"upgrade": "h2c"},
        {"content-type": "application/grpc"},
        {"content-type": "Application/gRPC-web+proto"},
    ],
)
def test_what_announces_a_body_or_a_tunnel_is_believed_over_the_declaration(headers: dict[str, str]) -> None:
    assert body_of(headers=headers, method="POST") is None
    assert body_of(Reading(), headers=headers, context=DECLARED) is None


def test_a_tunnel_has_no_body_that_could_be_known() -> None:
    assert body_of(method="CONNECT") is None


@pytest.mark.parametrize("partial", ["true", "", "False"])
def test_a_declaration_makes_no_truncated_body_whole(partial: str) -> None:
    message = CheckRequest.FromString(check_request(host="a.example", context=DECLARED))
    message.attributes.request.http.headers["x-envoy-auth-partial-body"] = partial
    http = decode(message.SerializeToString(), EVERYWHERE).http
    assert http is not None
    assert http.body is None


@given(
    st.sampled_from(["GET", "POST", "CONNECT"]),
    st.dictionaries(
        st.sampled_from(["content-length", "upgrade", "transfer-encoding", "x-envoy-auth-partial-body", "te"]),
        st.sampled_from(["", "0", "5", "true", "false"]),
    ),
    st.dictionaries(st.just(BUFFERED), st.sampled_from(["true", "false"])),
    st.binary(max_size=2),
    st.booleans(),
)
def test_a_known_body_is_one_that_envoy_or_the_operator_vouches_for(
    method: str, headers: dict[str, str], context: dict[str, str], raw: bytes, buffered: bool
) -> None:
    message = CheckRequest.FromString(check_request(host="a.example", method=method, context=context))
    message.attributes.request.http.headers.update(headers)
    message.attributes.request.http.raw_body = raw
    http = decode(message.SerializeToString(), Reading(buffered=buffered)).http
    assert http is not None
    vouched_by_envoy = headers.get("x-envoy-auth-partial-body") == "false"
    vouched_by_operator = context.get(BUFFERED, str(buffered).lower()) == "true"
    if http.body is not None:
        assert http.body == raw
        assert vouched_by_envoy or (vouched_by_operator and raw == b"")
    elif vouched_by_envoy:
        raise AssertionError("Envoy has all of it")
