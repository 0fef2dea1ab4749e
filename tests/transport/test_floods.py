"""Frames of HTTP/2 without end, which cost whoever sends them little: others are decided, and memory is bounded.

Rapid resets are CVE-2023-44487, and CONTINUATION frames without an end CVE-2024-27316.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import grpc
import hpack
import pytest
from patience import comes
from serving import Served
from transport.calling import OPEN, decided
from transport.raw_calls import connected

from extauthz.transport.methods import CHECK

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RESET, SETTINGS, PING, CONTINUATION = 1, 3, 4, 6, 9
END_OF_HEADERS = 4
SECONDS = 1.5
"""For which each flood goes on, if it is not ended."""
MOST = 256 * 1024 * 1024
"""Bytes of memory that a flood may take."""
CALL = [(":method", "POST"), (":scheme", "http"), (":path", CHECK), (":authority", "x"), ("te", "trailers")]


def frame(kind: int, stream: int, content: bytes = b"", flags: int = 0) -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def rapid_resets() -> Iterator[bytes]:
    """Calls that are taken back as soon as they are made."""
    headers = hpack.Encoder().encode(CALL)
    for stream in range(1, 2**31, 2):
        yield frame(HEADERS, stream, headers, END_OF_HEADERS) + frame(RESET, stream, b"\0\0\0\x08")


def headers_without_end(content: bytes) -> Iterator[bytes]:
    yield frame(HEADERS, 1, b"\x82")
    while True:
        yield frame(CONTINUATION, 1, content)


def headers_that_unfold() -> Iterator[bytes]:
    """A long field that is sent once, and then a thousand times by its number in each call: 4 MB, of which `grpcio`
    unfolds all. So there are few: who can make many calls fills a server in any way."""
    encoder = hpack.Encoder()
    long = ("x-long", "a" * 3_900)
    for stream in range(1, 50, 2):
        yield frame(HEADERS, stream, encoder.encode([*CALL, *[long] * 1000]), END_OF_HEADERS)


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "rapid resets": rapid_resets,
    "headers without an end": partial(headers_without_end, b"\x00\x01x\x7f\x81\x7d" + b"a" * 16_000),
    "headers without an end and without content": partial(headers_without_end, b""),
    "headers that unfold": headers_that_unfold,
    "settings": lambda: iter(partial(frame, SETTINGS, 0), None),
    "pings": lambda: iter(partial(frame, PING, 0, b"12345678"), None),
}


def memory(served: Served) -> int:
    """Bytes that the process and its children take."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, parent = status.parent.name, status.read_text().rpartition(")")[2].split()[1]
            if str(served.process.pid) in {pid, parent}:
                pages += int((status.parent / "statm").read_text().split()[1])
    return pages * 4096


def is_decided(served: Served) -> bool:
    """Whether another's call is. Of calls that come with the flood one may be sent away, as if it were of the flood."""
    try:
        return decided(served, OPEN) == "allowed"
    except grpc.RpcError:
        return False


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_keeps_nobody_waiting_and_takes_no_memory(
    served: Served, flood: Callable[[], Iterator[bytes]]
) -> None:
    before, until = memory(served), time.monotonic() + SECONDS
    with connected(served.said["grpc"]) as line, suppress(OSError):  # it may be ended, or nobody reads on
        line.sendall(HELLO + frame(SETTINGS, 0))
        for one in flood():
            line.sendall(one)
            if time.monotonic() > until:
                break
        assert comes(partial(is_decided, served))
    # What is left of the flood may take some time yet, and a call of another with it.
    assert comes(lambda: all(is_decided(served) for _ in range(3)))
    assert memory(served) - before < MOST
