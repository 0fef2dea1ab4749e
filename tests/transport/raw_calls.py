"""Calls frame by frame: what gRPC's own client would never send, and what comes back for it."""

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events

from extauthz.transport.methods import CHECK

Line = tuple[str, str]
QUIET = 1.0
"""Seconds of silence after which nothing more comes."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is sent: the pieces of a body, each in a frame of its own; `ends` says whether that is all."""

    pieces: Sequence[bytes] = ()
    path: str = CHECK
    method: str = "POST"
    headers: Sequence[Line] = (("content-type", "application/grpc"), ("te", "trailers"))
    more_headers: Sequence[Line] = ()
    ends: bool = True


@dataclass
class Outcome:
    """What came back. `status` is gRPC's, `None` if there was none; `ended` says whether the call is over."""

    status: int | None = None
    details: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    @property
    def messages(self) -> list[bytes]:
        """The messages in the body."""
        found, rest = [], self.body
        while rest:
            assert rest[0] == 0, "compressed"
            end = 5 + int.from_bytes(rest[1:5], "big")
            found.append(rest[5:end])
            rest = rest[end:]
        return found


def framed(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A message with its prefix; `length` is what the prefix says."""
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4, "big") + message


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """A connection to `host:port` or `unix:/path`."""
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host, int(port)))
    with connection:
        connection.settimeout(QUIET)
        yield connection


def call(address: str, sent: Call) -> Outcome:
    """What comes back for one call on a connection of its own."""
    with connected(address) as connection:
        return _Speaking(connection).call(sent)


def call_over(connection: ssl.SSLSocket, sent: Call) -> Outcome:
    """What comes back for one call on a connection over TLS, which is there for it alone."""
    return _Speaking(connection).call(sent)


def pings_answered(address: str, *, times: int, rest: float) -> int:
    """How many of so many questions whether the connection is alive get an answer, if each is asked so many seconds
    after the answer to the one before, and nothing else is."""
    with connected(address) as connection:
        return _Speaking(connection).ping(times=times, rest=rest)


class _Speaking:
    def __init__(self, connection: socket.socket | ssl.SSLSocket) -> None:
        self._connection = connection
        configuration = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
        )
        self._h2 = h2.connection.H2Connection(configuration)
        self._h2.initiate_connection()
        self._outcome = Outcome()

    def call(self, sent: Call) -> Outcome:
        lines = [(":method", sent.method), (":scheme", "http"), (":path", sent.path), (":authority", "x")]
        self._h2.send_headers(1, [*lines, *sent.headers, *sent.more_headers], end_stream=sent.ends and not sent.pieces)
        pending = list(sent.pieces)
        while not self._outcome.ended:
            self._send(pending, ends=sent.ends)
            try:
                received = self._connection.recv(65_536)
            except TimeoutError:
                break
            if not received:
                self._outcome.ended = True
                break
            for event in self._h2.receive_data(received):
                self._hear(event)
        return self._outcome

    def ping(self, *, times: int, rest: float) -> int:
        for answered in range(times):
            self._h2.ping(answered.to_bytes(8, "big"))
            events: list[h2.events.Event] = []
            while not any(isinstance(event, h2.events.PingAckReceived) for event in events):
                self._connection.sendall(self._h2.data_to_send())
                received = self._connection.recv(65_536)
                events = self._h2.receive_data(received)
                if not received or any(isinstance(event, h2.events.ConnectionTerminated) for event in events):
                    return answered
            time.sleep(rest)
        return times

    def _send(self, pending: list[bytes], *, ends: bool) -> None:
        while pending and not self._outcome.ended:
            room = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
            piece, rest = pending[0][:room], pending[0][room:]
            if not room:
                break
            pending[:1] = [rest] if rest else []
            self._h2.send_data(1, piece, end_stream=ends and not pending)
        self._connection.sendall(self._h2.data_to_send())

    def _hear(self, event: h2.events.Event) -> None:
        outcome = self._outcome
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                if "grpc-status" in headers:
                    outcome.status = int(headers.pop("grpc-status"))
                    outcome.details = headers.pop("grpc-message", "")
                outcome.headers |= headers
            case h2.events.DataReceived():
                outcome.body += event.data or b""
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            case h2.events.StreamEnded() | h2.events.StreamReset() | h2.events.ConnectionTerminated():
                outcome.ended = True
            case _:
                pass
