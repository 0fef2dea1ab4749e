"""A gRPC server beside that of Checks, on an address of its own: what it serves is handed in.

On asyncio, unlike the one for Checks: its calls are few, may last for hours and cost no thread. The rule: it is not on
the path of a Check; neither its load nor its end is felt there.
"""

from collections.abc import Sequence
from typing import Final

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz.transport.grpc_listening import listen
from extauthz.transport.tls import Tls
from extauthz.transport.unix_sockets import AS_ALWAYS, Sockets

MAX_REQUEST: Final = 65_536
"""Bytes of a message that is taken."""
MOST_CALLS: Final = 1024
"""Calls at a time, streams among them; more are refused by gRPC itself."""
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls without anybody noticing
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_metadata_size", 32_768),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: a small message could become any number of bytes
)


class RpcServer:
    """Serves `handlers` and grpc.health.v1 for `service` on one address; `key` is the setting that names it. Belongs to
    one event loop."""

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        service: str,
        address: str,
        key: str,
        tls: Tls | None = None,
        sockets: Sockets = AS_ALWAYS,
    ) -> None:
        self._server = aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MOST_CALLS)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._service = service
        self.address = address
        """Where it listens; once it does, with the port that it got if 0 was asked for."""
        self._key = key
        self._tls = tls
        self._sockets = sockets

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises:
            ConfigurationError: the address can't be listened on, or the certificate can't be used.
        """
        self.address = listen(self._server, self.address, key=self._key, tls=self._tls, sockets=self._sockets)
        await self._server.start()
        for name in ("", self._service):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Report NOT_SERVING, take no new calls, and give those on their way `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
