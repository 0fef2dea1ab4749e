"""Calls that come whether or not earlier ones were answered, as callers of a mesh do; and what became of each.

h2load waits for answers, so it can't ask for more than a server can do, and it does not look into answers. This speaks
just enough HTTP/2 (RFC 9113) for one gRPC method, a message to a call. Times count from the moment when a call was due,
not from when it was sent, so that nothing is left out that a caller would have waited.
"""

import gc
import random
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from bench.harness.cores import pinned
from bench.harness.h2load import LoadFailed
from bench.noop import PREFIX

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_STREAMS, _INITIAL_WINDOW = 0x1, 0x2, 0x3, 0x4
_WIDE: Final = 2**31 - 1
_FIRST_WINDOW: Final = 65_535
_FRAME = struct.Struct(">HBBBI")
"""Length (16 and 8 bits), type, flags, stream."""
_STRAY: Final = 2.0
"""Seconds that are waited for answers after the last call's deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A call: seconds from when it was due until its end, and the message; `None` for an error without one."""

    seconds: float
    message: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the calls. `asked` were due; those neither `answered` nor `held_back` never ended."""

    asked: int
    answered: list[Answered]
    late: float
    """Seconds at most between when a call was due and when this program got to it: its own limit shows here."""
    held_back: int = 0
    """Calls that were not sent, because as many as may be were under way."""


def header_block(headers: Mapping[str, str]) -> bytes:
    """HPACK (RFC 7541) without compression: each field is a literal without indexing (§6.2.2), which keeps no state.

    Names and values must be shorter than 127 bytes.
    """
    block = bytearray()
    for name, value in headers.items():
        for text in (name, value):
            if len(text) >= 127:
                raise ValueError(f"`{text}` is too long for a length of one byte")
        block += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return bytes(block)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame (RFC 9113 §4.1)."""
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def run(
    address: str,
    headers: Mapping[str, str],
    bodies: Iterator[bytes],
    *,
    rate: float,
    seconds: float,
    deadline: float,
    connections: int,
    core: int | None,
    most: int | None = None,
) -> Outcome:
    """Ask `rate` times a second, each time for the next of `bodies`, at random moments that are the same in each run (a
    Poisson process).

    What comes while `most` calls are under way is held back, as by a circuit breaker of Envoy (`max_requests`).

    Raises:
        LoadFailed: the server can't be reached, or ends a connection.
    """
    chance = random.Random(1)  # noqa: S311  traffic, not a secret
    due, moment = [], 0.0
    while (moment := moment + chance.expovariate(rate)) < seconds:
        due.append(moment)
    block = header_block(headers)
    with pinned(core), ExitStack() as closing:
        try:
            sockets = [closing.enter_context(_connected(address)) for _ in range(connections)]
            closing.enter_context(_uncollected())
            return _drive([_Connection(one, block, bodies) for one in sockets], due, deadline, most)
        except OSError as error:
            raise LoadFailed(f"{address}: the connection broke: {error}") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for meanwhile: among all that was answered that would take longer than calls may be late."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connected = socket.create_connection((host, int(port)), timeout=5.0)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setblocking(False)
    return connected


def _drive(lines: list["_Connection"], due: list[float], deadline: float, most: int | None) -> Outcome:
    selector = selectors.DefaultSelector()
    for line in lines:
        selector.register(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
    began, at, late, held_back = time.perf_counter(), 0, 0.0, 0
    last = due[-1] + deadline + _STRAY
    while (now := time.perf_counter() - began) < last:
        late = max(late, now - due[at]) if at < len(due) else late
        under_way = sum(line.under_way for line in lines)
        while at < len(due) and due[at] <= now:
            if most is None or under_way < most:
                lines[at % len(lines)].waiting.append(due[at])
                under_way += 1
            else:
                held_back += 1
            at += 1
        if at == len(due) and not under_way:
            break
        for line in lines:
            line.send()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.unsent else 0)
            if selector.get_key(line.socket).events != wanted:
                selector.modify(line.socket, wanted, line)
        patience = max(due[at] - now, 0) if at < len(due) else 0.01
        for key, events in selector.select(patience):
            if events & selectors.EVENT_READ:
                key.data.receive(began)
    answered = [one for line in lines for one in line.answered]
    return Outcome(asked=len(due), answered=answered, late=late, held_back=held_back)


@dataclass(slots=True)
class _Open:
    due: float
    data: bytearray = field(default_factory=bytearray)


class _Connection:
    """One connection; calls wait here while its window or the server's limit of streams is used up."""

    def __init__(self, connected: socket.socket, block: bytes, bodies: Iterator[bytes]) -> None:
        self.socket = connected
        self.waiting: deque[float] = deque()
        self.answered: list[Answered] = []
        self.unsent = bytearray()
        settings = struct.pack(">HIHIHI", _HEADER_TABLE_SIZE, 0, _ENABLE_PUSH, 0, _INITIAL_WINDOW, _WIDE)
        self.unsent += PREFACE + frame(_SETTINGS, 0, 0, settings)
        self.unsent += frame(_WINDOW, 0, 0, (_WIDE - _FIRST_WINDOW).to_bytes(4, "big"))
        self._block, self._bodies = block, bodies
        self._body = next(bodies)
        self._received = bytearray()
        self._open: dict[int, _Open] = {}
        self._next = 1
        self._window = _FIRST_WINDOW
        self._most = _WIDE

    @property
    def under_way(self) -> int:
        """Calls that wait or are on their way."""
        return len(self.waiting) + len(self._open)

    def send(self) -> None:
        """Send what waits, as far as the server takes it."""
        while self.waiting and self._window >= len(self._body) and len(self._open) < self._most:
            stream, self._next = self._next, self._next + 2
            self._window -= len(self._body)
            self._open[stream] = _Open(self.waiting.popleft())
            self.unsent += frame(_HEADERS, _END_HEADERS, stream, self._block)
            self.unsent += frame(_DATA, _END_STREAM, stream, self._body)
            self._body = next(self._bodies)
        if self.unsent:
            with suppress(BlockingIOError):
                del self.unsent[: self.socket.send(self.unsent)]

    def receive(self, began: float) -> None:
        """Take what has come."""
        try:
            arrived = self.socket.recv(262_144)
        except BlockingIOError:
            return
        if not arrived:
            raise ConnectionResetError("the server ended it")
        self._received += arrived
        now = time.perf_counter() - began
        for kind, flags, stream, payload in self._frames():
            self._take(kind, flags, stream, payload, now)

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        at, received = 0, bytes(self._received)
        while len(received) - at >= _FRAME.size:
            high, low, kind, flags, stream = _FRAME.unpack_from(received, at)
            end = at + _FRAME.size + (high << 8 | low)
            if end > len(received):
                break
            yield kind, flags, stream, received[at + _FRAME.size : end]
            at = end
        del self._received[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind in (_HEADERS, _DATA):
            call = self._open.get(stream)
            if call is None:
                return
            if kind == _DATA:
                call.data += payload
            if flags & _END_STREAM:
                self._end(stream, now)
        elif kind == _RESET:
            self._end(stream, now)
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == _PING and not flags & _ACK:
            self.unsent += frame(_PING, _ACK, 0, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                self._most = value if name == _MAX_STREAMS else self._most
            self.unsent += frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _GOAWAY:
            raise ConnectionResetError("the server goes away")

    def _end(self, stream: int, now: float) -> None:
        call = self._open.pop(stream, None)
        if call is not None:
            message = bytes(call.data[PREFIX:]) if len(call.data) >= PREFIX else None
            self.answered.append(Answered(seconds=now - call.due, message=message))
