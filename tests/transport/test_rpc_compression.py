"""A small message that unfolds, sent to the gRPC server beside that of Checks: it is refused before it does."""

import asyncio

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2

from extauthz.transport.methods import HEALTH_CHECK
from extauthz.transport.rpc_server import MAX_REQUEST, RpcServer

UNFOLDED = 40 * 1024 * 1024
"""Bytes of which gzip makes some forty thousand: less than a message may have."""


def test_nothing_that_is_compressed_is_taken() -> None:
    async def scene() -> tuple[grpc.StatusCode, str | None]:
        server = RpcServer([], service="test.Service", address="127.0.0.1:0", key="listen.approvals_grpc")
        await server.start()
        try:
            async with aio.insecure_channel(server.address, compression=grpc.Compression.Gzip) as channel:
                ask: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
                try:
                    await ask(health_pb2.HealthCheckRequest(service="a" * UNFOLDED).SerializeToString())
                except aio.AioRpcError as error:
                    return error.code(), error.details()
        finally:
            await server.stop(0)
        raise AssertionError("it was taken")

    assert UNFOLDED > 100 * MAX_REQUEST
    assert asyncio.run(scene()) == (grpc.StatusCode.UNIMPLEMENTED, "Compression algorithm 'gzip' is disabled.")
