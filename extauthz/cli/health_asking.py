"""One question to a server: does it serve, or what does it decide? (gRPC over HTTP/2 with prior knowledge.)

This asks by itself what gRPC's library would ask: it starts some times faster, prints nothing of its own, and can hold
a server to its very certificate, whatever names are in that. The rule: only the library of Python, and little of it.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.transport.methods import CHECK, HEALTH_CHECK

STATUSES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
"""What a server says of itself, by its number on the wire."""
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_LONGEST: Final = 16_384
"""Bytes of a frame: RFC 9113 section 4.2, as long as nobody has said that more may come."""

_Stream: TypeAlias = "socket.socket | ssl.SSLSocket"


class NotAsked(ExtauthzError):
    """Nobody answers, or not to this question; the message says what to do."""


class _Failed(Exception):
    """As `NotAsked`, without the address."""


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that the server must show, and its key, in PEM; and what we show for ourselves, a certificate and
    its key, if not these."""

    certificate: Path
    key: Path
    own: tuple[Path, Path] | None = None


def ask(address: str, *, seconds: float, pinned: Pinned | None = None) -> str:
    """The status that the server at `host:port` or `unix:/path` gives itself, one of `STATUSES`.

    Without `pinned` it is asked in plaintext. Raises `NotAsked` if there is no answer within so many seconds.
    """
    with _failing(address, seconds):
        answer, _ = _called(address, HEALTH_CHECK, b"", seconds=seconds, pinned=pinned)
        return STATUSES.get(_status(answer), "UNKNOWN")


def decide(address: str, check: bytes, *, seconds: float, pinned: Pinned | None = None) -> tuple[bytes, float]:
    """The answer to a CheckRequest, and how many seconds it took once there was a connection; otherwise as `ask`."""
    with _failing(address, seconds):
        answer, took = _called(address, CHECK, check, seconds=seconds, pinned=pinned)
        if len(answer) < 5 or answer[0]:
            raise _Failed(
                "gives an error of gRPC for an answer; where `listen.tls` names `callers`, is the certificate that asks"
                " one of them?"
            )
        return answer[5 : 5 + int.from_bytes(answer[1:5])], took


@contextmanager
def _failing(address: str, seconds: float) -> Iterator[None]:
    """Whatever goes wrong as `NotAsked`."""
    try:
        yield
    except _Failed as error:
        raise NotAsked(f"{address}: {error}") from None
    except TimeoutError:
        raise NotAsked(
            f"{address}: no answer within {seconds:g} s; is it an address for gRPC, or is the server too busy?"
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise NotAsked(
            f"{address}: no TLS with the server: {reason}; where `listen.tls` names `callers`, its authorities must"
            " have signed the server's own certificate, too"
        ) from None
    except OSError as error:
        raise NotAsked(f"{address}: {failure_of(error)}; is the server running, and does it listen there?") from None


def _called(address: str, method: str, message: bytes, *, seconds: float, pinned: Pinned | None) -> tuple[bytes, float]:
    deadline = time.monotonic() + seconds
    with (
        _connected(address, deadline) as plain,
        plain if pinned is None else _encrypted(plain, pinned) as stream,
    ):
        began = time.monotonic()
        answer = _asked(stream, deadline, _request(method, message, secure=pinned is not None))
        return answer, time.monotonic() - began


def _connected(address: str, deadline: float) -> socket.socket:
    if address.startswith("unix:"):
        plain = socket.socket(socket.AF_UNIX)
        try:
            plain.settimeout(_left(deadline))
            plain.connect(address.removeprefix("unix:"))
        except OSError:
            plain.close()
            raise
        return plain
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_left(deadline))


def _encrypted(plain: socket.socket, pinned: Pinned) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared below, byte by byte
    own = pinned.own or (pinned.certificate, pinned.key)
    for path in dict.fromkeys((pinned.certificate, *own)):
        _require_file(path)
    try:
        context.load_cert_chain(*own, password=lambda: "")  # nobody is asked for one
    except ssl.SSLError:
        raise NotAsked(f"{own[0]}: `{own[1]}` is not its key, in PEM and without a password; name the pair") from None
    stream = context.wrap_socket(plain)
    if stream.getpeercert(binary_form=True) != _first_of(pinned.certificate):
        stream.close()
        raise _Failed(
            f"the server's certificate is not that of `{pinned.certificate}`; does another server listen there?"
        )
    return stream


def _require_file(path: Path) -> None:
    try:
        open_file(path).close()
    except OSError as error:
        raise NotAsked(
            f"{path}: can't be read: {failure_of(error)}; name a file of PEM that is there and this user may read"
        ) from None


def _first_of(certificate: Path) -> bytes:
    chain = certificate.read_text(encoding="ascii", errors="replace")
    first, end, _ = chain[chain.find(ssl.PEM_HEADER) :].partition(ssl.PEM_FOOTER)
    return ssl.PEM_cert_to_DER_cert(first + end)


def _asked(stream: _Stream, deadline: float, request: bytes) -> bytes:
    """What comes for a request: the message behind its prefix, or nothing where an error does."""
    stream.settimeout(_left(deadline))
    stream.sendall(_PREFACE + _frame(_SETTINGS, b"") + request)
    answer = b""
    for kind, flags, payload in _frames(stream, deadline):
        if kind == _SETTINGS and not flags & _ACK:
            stream.sendall(_frame(_SETTINGS, b"", flags=_ACK))
        elif kind == _DATA:
            answer += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
        elif kind in {_RST_STREAM, _GOAWAY}:
            raise _Failed("the server ends the call; does it stop just now?")
        if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            return answer
    raise _Failed("the server ends the connection; does it want TLS? `--config extauthz.yaml` says by which files")


def _request(method: str, message: bytes, *, secure: bool) -> bytes:
    """The headers of a call and its message, which is no longer than a frame; an empty one asks for the health of the
    server as a whole."""
    fields = {
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    # RFC 7541: 6.1, POST and the scheme out of the static table; 6.2.2, each other field without an index.
    block = bytes([0x83, 0x87 if secure else 0x86])
    for name, value in fields.items():
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    headers = _frame(_HEADERS, block, flags=_END_HEADERS, stream=1)
    return headers + _frame(_DATA, struct.pack(">BI", 0, len(message)) + message, flags=_END_STREAM, stream=1)


def _frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _frames(stream: _Stream, deadline: float) -> Iterator[tuple[int, int, bytes]]:
    received = b""
    while True:
        while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3]):
            if len(received) > 3 and int.from_bytes(received[:3]) > _LONGEST:
                raise _Failed("the server does not speak HTTP/2; is it an address for gRPC?")
            stream.settimeout(_left(deadline))
            more = stream.recv(_LONGEST)
            if not more:
                return
            received += more
        length = int.from_bytes(received[:3])
        yield received[3], received[4], received[9 : 9 + length]
        received = received[9 + length :]


def _status(answer: bytes) -> int:
    """The status in what has come: HealthCheckResponse has one field of one byte, which is left out for 0."""
    message = answer[5 : 5 + int.from_bytes(answer[1:5])]
    if len(answer) < 5 or answer[0] or message[:1] not in {b"", b"\x08"}:
        raise _Failed("the server knows no `grpc.health.v1`; is it another one's address?")
    return message[1] if len(message) > 1 else 0


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
