"""Connections of an HTTP client on which all waiting ends at one time.

The rule kept here: the client's own timeouts are for each wait, of which a receiver that says a byte now and then has
as many as it wants; these are for all of them together.
"""

import ssl
import time
from collections.abc import Iterable
from math import inf
from typing import Any, Final

import httpcore

_CHUNK: Final = 16_384
"""Bytes that are written at a time."""

_Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Deadline:
    """When all waiting ends, on the monotonic clock; to be set before each request."""

    def __init__(self) -> None:
        self.until = inf

    def left(self, most: float | None) -> float:
        """The seconds until then, `most` so many. Raises `httpcore.ReadTimeout` if there are none."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("no time left")
        return seconds if most is None else min(seconds, most)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK):
            self._stream.write(buffer[start : start + _CHUNK], self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as the client has it
        return self._stream.get_extra_info(info)


class TimedBackend(httpcore.SyncBackend):
    """Opens such connections."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_Option] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, before the deadline."""
        opened = super().connect_tcp(host, port, self._deadline.left(timeout), local_address, socket_options)
        return _Stream(opened, self._deadline)
