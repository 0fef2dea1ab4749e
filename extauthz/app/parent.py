"""The process that an operator starts, stops and signals, where the server is in processes of its own."""

import asyncio
from collections.abc import Callable, Sequence

from extauthz.app.orders import Signals
from extauthz.app.worker import Worker
from extauthz.errors import ExtauthzError


class WorkerLost(ExtauthzError):
    """A worker has ended that nobody told to."""


async def watch(make: Callable[[], Sequence[Worker]]) -> None:
    """Run the workers that `make` makes until SIGTERM or SIGINT; SIGHUP lets them read their files again.

    Raises:
        ExtauthzError: they can't be made, one can't serve, or ended by itself. Nothing is left running.
    """
    stopping, workers = asyncio.Event(), list[Worker]()

    def reload() -> None:
        for worker in workers:
            worker.reload()

    Signals().obey(stop=stopping.set, reload=reload)
    workers.extend(make())
    told = asyncio.create_task(stopping.wait())
    starting = asyncio.gather(*(worker.start() for worker in workers))
    ends = [asyncio.create_task(worker.ended()) for worker in workers]
    try:
        await asyncio.wait((told, starting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await asyncio.wait((told, *ends), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            raise WorkerLost("the server ended by itself; its log says why")
    finally:
        starting.cancel()
        told.cancel()
        await asyncio.gather(*(worker.stop() for worker in workers))
        for end in ends:
            end.cancel()
