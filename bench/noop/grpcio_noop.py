"""The grpcio transport as it is shipped, its threads and its options, with nothing behind it."""

import asyncio
import sys
from typing import cast

from bench.noop import answer
from extauthz.check.checker import Checker
from extauthz.transport.grpcio import GrpcioTransport


class _Nothing:
    """Stands in for the checker."""

    holding = None

    def start(self, payload: bytes, *_: object) -> bytes:
        """OK to everything that parses."""
        return answer(payload)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    transport = GrpcioTransport(cast("Checker", _Nothing()), loop, address=sys.argv[1])
    await transport.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
