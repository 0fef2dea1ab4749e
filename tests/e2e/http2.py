"""A client of HTTP/2 that sends the headers that it is given: libraries repair them, or refuse to send them."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Line = tuple[str, str] | tuple[bytes, bytes]


class Speaker:
    """One connection, and the streams on it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        configuration = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None
        )
        self._speaker = h2.connection.H2Connection(configuration)
        self._speaker.initiate_connection()
        self._flush()

    def wait_for_extended_connect(self) -> None:
        """Until the other side has said that it takes extended CONNECT (RFC 8441 section 3)."""
        while not self._speaker.remote_settings.enable_connect_protocol:
            self._receive()

    def ask(self, lines: Sequence[Line], *, end: bool = False) -> tuple[int, str]:
        """The stream of a request with these headers, and the status of the answer; `reset` if there is none."""
        stream = self._speaker.get_next_available_stream_id()
        self._speaker.send_headers(stream, lines, end_stream=end)
        self._flush()
        while True:
            for event in self._receive():
                if isinstance(event, h2.events.ResponseReceived):
                    return stream, dict(event.headers)[b":status"].decode()
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return stream, "reset"

    def echo(self, stream: int, data: bytes) -> bytes:
        """What comes back for these bytes."""
        self._speaker.send_data(stream, data)
        self._flush()
        while True:
            for event in self._receive():
                if isinstance(event, h2.events.DataReceived):
                    return event.data or b""

    def _receive(self) -> list[h2.events.Event]:
        try:
            received = self._connection.recv(65_536)
            if not received:
                return [h2.events.ConnectionTerminated()]
            events = self._speaker.receive_data(received)
        except (ConnectionResetError, h2.exceptions.ProtocolError):  # the latter for an answer after it was given up
            return [h2.events.ConnectionTerminated()]
        self._flush()
        return events

    def _flush(self) -> None:
        self._connection.sendall(self._speaker.data_to_send())


@contextmanager
def speaking(connection: socket.socket) -> Iterator[Speaker]:
    """A speaker on this connection, which is closed with it."""
    with connection:
        yield Speaker(connection)
