"""Checks and answers as protobuf JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.answers import answer

from extauthz.errors import ExtauthzError
from extauthz.values.decisions import Deny
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.jsonform import check_request_from_json, check_response_to_json

REQUEST = {
    "attributes": {
        "source": {"address": {"socketAddress": {"address": "203.0.113.9", "portValue": 40312}}},
        "request": {
            "time": "2026-11-21T10:00:00.000000005Z",
            "http": {
                "method": "POST",
                "host": "a.example",
                "path": "/x?y=z",
                "scheme": "https",
                "protocol": "HTTP/2",
                "size": "-1",
                "headers": {"x-tier": "gold", "x-envoy-auth-partial-body": "false"},
                "rawBody": "e30=",
            },
        },
        "contextExtensions": {"tenant": "t1"},
        "metadataContext": {"filterMetadata": {"n": {"k": [1, None]}}},
        "tlsSession": {"sni": "a.example"},
    }
}


def test_a_check_reads_from_json_as_from_the_wire() -> None:
    expected = check_request(
        method="POST",
        host="a.example",
        path="/x?y=z",
        headers={"x-tier": "gold"},
        body=b"{}",
        source_ip="203.0.113.9",
        source_port=40312,
        context={"tenant": "t1"},
        metadata={"n": {"k": [1, None]}},
        sni="a.example",
        time=(1_795_255_200, 5),
    )
    assert decode(check_request_from_json(json.dumps(REQUEST))) == decode(expected)


def test_field_names_may_be_those_of_the_proto_files() -> None:
    text = '{"attributes": {"context_extensions": {"a": "b"}, "tls_session": {"sni": "s"}}}'
    view = decode(check_request_from_json(text))
    assert (view.context, view.sni) == ({"a": "b"}, "s")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "1", "null", '"x"', '{"attribute": {}}',
        '{"attributes": {"request": {"http": {"methods": "GET"}}}}',
        '{"attributes": 1}', '{"attributes": {}, "attributes": {}}', '{"attributes": {"request": {"time": "now"}}}',
        '{"attributes": {"contextExtensions": {"a": "\\ud800"}}}', "[" * 100_000, '{"a":' * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_check_is_one_line_of_error(text: str) -> None:
    with pytest.raises(ExtauthzError) as error:
        check_request_from_json(text)
    message = str(error.value)
    assert message.startswith("no CheckRequest in protobuf JSON: ")
    assert "\n" not in message
    assert not message.endswith((".", " "))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"request": {}}', "unknown field `request`; it knows `attributes`"),
        (
            '{"attributes": {"source": {"address": {"pipe": {"file": "x"}}}}}',
            "unknown field `file` in `attributes.source.address.pipe`; it knows `path`",
        ),
    ],
)
def test_an_unknown_field_is_told_with_those_that_are_known(text: str, told: str) -> None:
    with pytest.raises(ExtauthzError) as error:
        check_request_from_json(text)
    assert str(error.value) == f"no CheckRequest in protobuf JSON: {told}"


@given(
    st.text(max_size=20)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["attributes", "request", "http", "time", "source", "x"]), inner, max_size=2
            )
        ),
    ).map(json.dumps)
)
def test_any_text_is_a_check_or_an_error(text: str) -> None:
    try:
        payload = check_request_from_json(text)
    except ExtauthzError:
        return
    assert check_request_from_json(text) == payload


def test_an_answer_is_shown_as_protobuf_json() -> None:
    said = answer(Deny(reason="x")).message.SerializeToString()
    shown = check_response_to_json(said)
    assert shown["status"] == {"code": 7}
    assert shown["deniedResponse"]["status"] == {"code": "Forbidden"}
    assert shown["dynamicMetadata"]["extauthz"]["reason"] == "x"
    assert json.loads(json.dumps(shown)) == shown
    assert check_response_to_json(b"") == {}


def test_bytes_that_are_no_answer_are_an_error() -> None:
    with pytest.raises(ExtauthzError, match="the bytes are no CheckResponse"):
        check_response_to_json(b"\xff")
