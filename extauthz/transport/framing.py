"""gRPC's own layer over HTTP/2, for a transport that speaks HTTP: messages, deadlines, statuses.

After "gRPC over HTTP2" of the gRPC project (PROTOCOL-HTTP2.md). The rule: what is refused here is refused as grpcio
does it, with the same status and words.
"""

import re
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import Final, final
from urllib.parse import quote

from extauthz.transport.methods import MAX_MESSAGE

_PREFIX: Final = Struct(">BI")
"""What is before a message: the compressed flag, and the length."""
_PREFIXES: Final[list[bytes]] = [_PREFIX.pack(0, length) for length in range(1024)]
"""By length, of what most answers have."""


class Code(IntEnum):
    """Status codes of gRPC."""

    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallFailed(Exception):
    """A call ends with a status of gRPC, and no message."""

    def __init__(self, code: Code, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    length = len(message)
    return (_PREFIXES[length] if length < len(_PREFIXES) else _PREFIX.pack(0, length)) + message


def at_once(received: bytes) -> bytes | None:
    """As `unframed`, for a message that came in one: `None` where it is not whole, or is to be refused."""
    if len(received) < 5 or received[0]:
        return None
    length = (received[1] << 24) + (received[2] << 16) + (received[3] << 8) + received[4]
    if length > MAX_MESSAGE or len(received) < 5 + length:
        return None
    return received[5 : 5 + length]


def unframed(received: bytes | bytearray, method: str) -> bytes | None:
    """The first message in what was received by a method, `None` while it is not whole; nothing behind it is looked at.

    Raises:
        CallFailed: it is compressed, or longer than `MAX_MESSAGE`, or what is there can't become a message.
    """
    if len(received) < _PREFIX.size:
        return None
    flag, length = _PREFIX.unpack_from(received)
    if flag:
        if flag == 1:
            raise CallFailed(Code.INTERNAL, "Compression bit set but no encoding configured")
        raise no_message(method)
    if length > MAX_MESSAGE:
        raise CallFailed(
            Code.RESOURCE_EXHAUSTED, f"SERVER: Received message larger than max ({length} vs. {MAX_MESSAGE})"
        )
    end = _PREFIX.size + length
    return None if len(received) < end else bytes(received[_PREFIX.size : end])


def no_message(method: str) -> CallFailed:
    """A call of `method` ended without a whole message."""
    return CallFailed(Code.UNIMPLEMENTED, f'"{method.encode()!r}" requires exactly one request message.')


def refuse_encoding(name: bytes) -> None:
    """Nothing that is compressed is taken: a small message could become any number of bytes.

    Raises:
        CallFailed: messages may be compressed by what is called `name` (the header `grpc-encoding`).
    """
    if name == b"identity":
        return
    if name in {b"gzip", b"deflate"}:
        raise CallFailed(Code.UNIMPLEMENTED, f"Compression algorithm '{name.decode()}' is disabled.")
    raise CallFailed(Code.INTERNAL, "Error parsing 'grpc-encoding' metadata")


_TIMEOUT: Final = re.compile(rb"([0-9]{1,18})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


@final
class _Last:
    """What was said last: an Envoy says the same in all of its calls."""

    def __init__(self) -> None:
        self.said = (b"1S", 1.0)


_last: Final = _Last()


def seconds_of(timeout: bytes) -> float:
    """The seconds that the header `grpc-timeout` gives a call.

    Raises:
        CallFailed: it is malformed, or there are none left.
    """
    text, seconds = _last.said
    if timeout == text:
        return seconds
    seconds = _seconds_of(timeout)
    _last.said = (timeout, seconds)
    return seconds


@lru_cache(maxsize=1024)
def _seconds_of(timeout: bytes) -> float:
    found = _TIMEOUT.fullmatch(timeout)
    if found is None:
        raise CallFailed(Code.INTERNAL, "Error parsing 'grpc-timeout' metadata")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds < _LEAST:
        raise CallFailed(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
    return seconds


_LEAST: Final = 1e-3
"""Seconds within which nobody can be answered: grpcio counts in milliseconds, and this is none of them."""


def status_headers(code: int, details: str) -> list[tuple[bytes, bytes]]:
    """The headers that end a call."""
    headers = [(b"grpc-status", b"%d" % code)]
    if details:
        headers.append((b"grpc-message", quote(details, safe=_UNQUOTED).encode("ascii")))
    return headers


_UNQUOTED: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""What `grpc-message` carries as it is."""
