"""grpc.health.v1 over ASGI: what `grpc_health` of grpcio does for the other transport."""

import asyncio
from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.transport.framing import CallFailed, Code

LOOK_AFTER: Final = 10.0
"""Seconds without news after which it is looked whether a watcher is still there."""

_Status = health_pb2.HealthCheckResponse
_SERVING: Final = _Status(status=_Status.SERVING).SerializeToString()
_NOT_SERVING: Final = _Status(status=_Status.NOT_SERVING).SerializeToString()
_UNKNOWN: Final = _Status(status=_Status.SERVICE_UNKNOWN).SerializeToString()


class Health:
    """What is said of services. Belongs to one event loop."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._said = _NOT_SERVING
        self._changed = asyncio.Event()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether nothing will ever change again."""
        return self._over

    def serving(self) -> None:
        """Say that all of them serve."""
        self._say(_SERVING)

    def drain(self) -> None:
        """Say that none of them serves any more, and never will."""
        self._over = True
        self._say(_NOT_SERVING)

    def check(self, request: bytes) -> bytes:
        """The answer to `Check`.

        Raises:
            CallFailed: the request is malformed, or asks for a service that is not known.
        """
        if _service(request) not in self._services:
            raise CallFailed(Code.NOT_FOUND, "")
        return self._said

    def status(self, request: bytes) -> bytes:
        """What `Watch` tells now; raises `CallFailed` if the request is malformed."""
        return self._said if _service(request) in self._services else _UNKNOWN

    async def other_than(self, told: bytes, request: bytes) -> bytes | None:
        """What `Watch` tells as soon as it is something else than was `told`; `None` if it is not for `LOOK_AFTER`."""
        try:
            async with asyncio.timeout(LOOK_AFTER):
                await self._changed.wait()
        except TimeoutError:
            return None
        now = self.status(request)
        return None if now == told else now

    def _say(self, status: bytes) -> None:
        self._said = status
        self._changed.set()
        self._changed = asyncio.Event()


def _service(request: bytes) -> str:
    try:
        return health_pb2.HealthCheckRequest.FromString(request).service
    except DecodeError as error:
        raise CallFailed(Code.INTERNAL, "Exception deserializing request!") from error
