"""Connections that become something else through a real Envoy: decided once, by the request that asks for it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h2.connection
import h2.events
import h2.settings
import pytest
from e2e.readings import Readings

HOST = "tunnels.example.com"


def _head(connection: socket.socket) -> bytes:
    """What comes up to the end of the headers, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    return head


@contextmanager
def asking(readings: Readings, *lines: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection on which these lines were sent, and the head of the answer."""
    with readings.connect("plain") as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        yield connection, _head(connection)


def _upgrade(path: str, *headers: str) -> list[str]:
    return [
        *(f"GET {path} HTTP/1.1", f"host: {HOST}", "connection: Upgrade", "upgrade: websocket"),
        *("sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", *headers),
    ]


def test_a_websocket_is_decided_once_and_then_talks_freely(readings: Readings) -> None:
    asked = readings.checks()
    with asking(readings, *_upgrade("/chat/open")) as (connection, head):
        assert head.startswith(b"HTTP/1.1 101 ")
        for frame in (b"\x81\x05hello", b"GET /chat/closed HTTP/1.1\r\n\r\n", b"\x88\x00"):
            connection.sendall(frame)
            assert connection.recv(4096) == frame
    assert readings.checks() == asked + 1
    assert readings.stage.service.received[-1].all("x-room") == ["open"]


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/chat/closed", b"403", b"closed"),
        ("/chat/a/b", b"401", b"no-rule-allows"),
        ("/chat//open", b"400", b"malformed-path"),
    ],
)
def test_a_websocket_that_is_refused_is_none(readings: Readings, path: str, status: bytes, reason: bytes) -> None:
    received = len(readings.stage.service.received)
    with asking(readings, *_upgrade(path, "connection: close")) as (connection, head):
        assert head.startswith(b"HTTP/1.1 " + status)
        assert reason in connection.recv(4096)
    assert len(readings.stage.service.received) == received


def test_only_an_upgrade_gets_what_a_rule_gives_to_upgrades(readings: Readings) -> None:
    answer = readings.ask(["GET /chat/open HTTP/1.1", f"host: {HOST}"])
    assert (answer.status, answer.reason) == (401, "no-rule-allows")


def test_what_a_client_sends_before_it_is_answered_is_no_body(readings: Readings) -> None:
    """Envoy buffers nothing of an upgrade, and a service may read as a body what follows it."""
    for early in ("content-length: 2", "content-length: 0", "transfer-encoding: chunked"):
        with asking(readings, *_upgrade("/words", early)) as (connection, head):
            connection.sendall(b"{}")
            assert head.split(b" ", 2)[1] in (b"400", b"401")


def test_connect_is_decided_by_its_authority(readings: Readings) -> None:
    asked = readings.checks()
    with asking(readings, "CONNECT db.example.com:5432 HTTP/1.1", "host: db.example.com:5432") as (connection, head):
        assert head.startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /through-the-tunnel HTTP/1.1\r\nhost: tunnels.example.com\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert readings.stage.service.received[-1].target == "/through-the-tunnel"
    assert readings.checks() == asked + 1


@pytest.mark.parametrize(
    ("target", "host", "statuses"),
    [
        ("other.example.com:5432", "other.example.com:5432", (b"401",)),
        ("nobody.example.com:5432", "nobody.example.com:5432", (b"401",)),
        # Envoy takes the target for the authority and drops what `host` says.
        ("other.example.com:5432", "db.example.com:5432", (b"400", b"401")),
        ("db.example.com:99999", "db.example.com:99999", (b"400",)),
        ("/db.example.com", "db.example.com", (b"400", b"401", b"404")),
    ],
)
def test_a_tunnel_that_no_rule_allows_is_none(
    readings: Readings, target: str, host: str, statuses: tuple[bytes, ...]
) -> None:
    received = len(readings.stage.service.received)
    with asking(readings, f"CONNECT {target} HTTP/1.1", f"host: {host}", "connection: close") as (_, head):
        assert head.split(b" ", 2)[1] in statuses
    assert len(readings.stage.service.received) == received


@contextmanager
def speaking_h2(readings: Readings) -> Iterator[tuple[socket.socket, h2.connection.H2Connection]]:
    """A connection of HTTP/2 whose other side takes extended CONNECT (RFC 8441 section 3)."""
    with readings.connect("plain") as connection:
        speaker = h2.connection.H2Connection()
        speaker.initiate_connection()
        connection.sendall(speaker.data_to_send())
        while not speaker.remote_settings.enable_connect_protocol:
            speaker.receive_data(connection.recv(65_536))
        connection.sendall(speaker.data_to_send())
        yield connection, speaker


def _next(
    connection: socket.socket, speaker: h2.connection.H2Connection, kind: type[h2.events.Event]
) -> h2.events.Event:
    """The next event of this kind."""
    while True:
        received = connection.recv(65_536)
        assert received, "the connection was closed"
        events = speaker.receive_data(received)
        connection.sendall(speaker.data_to_send())
        for event in events:
            if isinstance(event, kind):
                return event


def _extended(path: str) -> list[tuple[str, str]]:
    return [
        *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)),
        *((":authority", HOST), ("sec-websocket-version", "13")),
    ]


def test_a_websocket_over_http2_is_decided_like_any_other(readings: Readings) -> None:
    asked = readings.checks()
    with speaking_h2(readings) as (connection, speaker):
        stream = speaker.get_next_available_stream_id()
        speaker.send_headers(stream, _extended("/chat/open"))
        connection.sendall(speaker.data_to_send())
        answer = _next(connection, speaker, h2.events.ResponseReceived)
        assert isinstance(answer, h2.events.ResponseReceived)
        assert dict(answer.headers or [])[b":status"] == b"200"
        for frame in (b"\x81\x05hello", b"\x81\x05again"):
            speaker.send_data(stream, frame)
            connection.sendall(speaker.data_to_send())
            data = _next(connection, speaker, h2.events.DataReceived)
            assert isinstance(data, h2.events.DataReceived)
            assert data.data == frame
    assert readings.checks() == asked + 1
    received = readings.stage.service.received[-1]
    assert (received.method, received.target, received.all("x-room")) == ("GET", "/chat/open", ["open"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/chat/closed", b"403"),
        ("/chat/a/b", b"401"),
        ("/chat/open%2f..%2fclosed", b"400"),
    ],
)
def test_a_websocket_over_http2_that_no_rule_allows_is_none(readings: Readings, path: str, status: bytes) -> None:
    received = len(readings.stage.service.received)
    with speaking_h2(readings) as (connection, speaker):
        speaker.send_headers(speaker.get_next_available_stream_id(), _extended(path))
        connection.sendall(speaker.data_to_send())
        answer = _next(connection, speaker, h2.events.ResponseReceived)
        assert isinstance(answer, h2.events.ResponseReceived)
        assert dict(answer.headers or [])[b":status"] == status
    assert len(readings.stage.service.received) == received
