"""Envoy, extauthz and the service read one path, or the request is refused."""

import socket
from urllib.parse import unquote

import pytest
from e2e.stage import HOST, Stage

READABLE = [
    "/files/a",
    "/files/a/",
    "/files/a%20b",
    "/files/%61",
    "/files/a%3Fb=c",
    "/files/a:b@c",
    "/files/caf%C3%A9",
    "/files/a?b=/../c",
    "/files/a?%2F..%2f=1",
    "/files/a/../b",
    "/files/./a",
    "/files/%2e%2e/files/a",
    "/files/a\\b",
]
REFUSED = [
    "/files//a",
    "//files/a",
    "/files/a%2Fb",
    "/files/a%2fb",
    "/files/%5Csecret",
    "/files/public%2F..%2Fsecret/key",
    "/files/%252e%252e/secret",
    "/files/a%00b",
    "/files/a;v=1",
    "/files/a%zz",
    "/files/%ff",
    "/files/%c0%af",
    "/files/a\x80b",
    "/files/a#b",
]


@pytest.mark.parametrize("listener", ["https", "unnormalised"])
@pytest.mark.parametrize("target", READABLE + REFUSED)
def test_what_the_service_gets_is_what_was_decided_on(gateway: Stage, target: str, listener: str) -> None:
    before = len(gateway.service.received)
    status = _get(gateway, target, listener)
    reached = gateway.service.received[before:]
    assert (status == 200) == bool(reached)
    for received in reached:
        path = received.target.partition("?")[0]
        (seen,) = received.all("x-seen-path")
        # Header values are bytes; the service's library reads them as Latin-1, extauthz wrote UTF-8.
        assert seen.encode("latin-1").decode() == unquote(path, errors="strict")
        assert "secret" not in path


@pytest.mark.parametrize("target", REFUSED)
def test_what_two_readers_could_read_differently_is_refused(gateway: Stage, target: str) -> None:
    assert _get(gateway, target, "https") == 400


@pytest.mark.parametrize("target", READABLE[:9])
def test_ordinary_paths_pass(gateway: Stage, target: str) -> None:
    assert _get(gateway, target, "https") == 200


@pytest.mark.parametrize(
    "target", ["/files/secret/key", "/files/./secret/key", "/files/x/../secret/key", "/files/%73ecret/key"]
)
def test_a_guarded_path_is_guarded_in_every_spelling(gateway: Stage, target: str) -> None:
    before = len(gateway.service.received)
    assert _get(gateway, target, "https") == 403
    assert len(gateway.service.received) == before


def _get(gateway: Stage, target: str, listener: str) -> int:
    """The status for exactly these bytes: HTTP clients repair what they send."""
    request = f"GET {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode("latin-1")
    with (
        socket.create_connection(("127.0.0.1", gateway.admin.port(listener)), timeout=15) as connection,
        gateway.context().wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(request)
        answer = secured.makefile("rb").read()
    return int(answer.split(b" ", 2)[1])
