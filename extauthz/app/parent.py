"""The process that an operator starts, stops and signals, where the servers are in processes of their own.

The rules: one worker's end is no other's; a worker that ends is replaced, later each time that it does not last; and
none begins to answer calls by other policies than the rest.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from extauthz.app.orders import on_signals
from extauthz.app.worker import Worker
from extauthz.errors import ExtauthzError
from extauthz.settings import Settings
from extauthz.transport.methods import LEAVING

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds between the end of a worker and the start of the next: twice as many each time, between these."""
LASTING: Final = 60.0
"""Seconds of answering calls after which the end of a worker is taken for its first."""
SETTLING: Final = 2.0
"""Seconds that the revisions of workers may differ while each reloads by itself; then they are told to."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: `count` workers, each made by `make` of the settings, which `read` reads, and its number from 0."""

    count: int
    read: Callable[[], Settings]
    make: Callable[[Settings, int], Worker]


async def watch(plan: Plan) -> None:
    """Run workers until SIGTERM or SIGINT. SIGHUP lets them read their files again; SIGUSR2 reads the configuration
    again and replaces them by new ones, one after the other.

    Raises:
        ExtauthzError: they can't be made, or one can't serve from the beginning. Nothing is left running.
    """
    stopping = asyncio.Event()
    crew = _Crew(plan, plan.read())
    on_signals(stop=stopping.set, reload=crew.reload)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, crew.renew)
    told = asyncio.create_task(stopping.wait())
    working = asyncio.create_task(crew.work())
    try:
        await asyncio.wait((told, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        told.cancel()
        working.cancel()
        await crew.stop()


class _Crew:
    """All workers together."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self._plan = plan
        self._settings = settings
        self._seats = [_Seat(number, self._made, self._compare) for number in range(plan.count)]
        self._all_ready = False
        self._aligning: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def work(self) -> None:
        """Start all at the same time, and keep them. Raises `ExtauthzError` if one can't serve at first."""
        for seat in self._seats:
            seat.take()
        await asyncio.gather(*(seat.worker.start(self._compare) for seat in self._seats))
        self._all_ready = True
        self._compare()
        await asyncio.gather(*(seat.worker.serves() for seat in self._seats))
        if self._plan.count > 1:
            _log.info(
                "workers-serving",
                grpc=[seat.worker.address for seat in self._seats],
                revision=self._seats[0].worker.revision,
            )
        await asyncio.gather(*(seat.keep() for seat in self._seats))

    def reload(self) -> None:
        """Let all read their files again."""
        for worker in self._present():
            worker.reload()

    def renew(self) -> None:
        """Read the configuration again, and replace the workers one after the other."""
        try:
            self._settings = self._plan.read()
        except ExtauthzError as error:
            _log.error("renewal-refused", error=str(error))
            return
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._renew())

    async def stop(self) -> None:
        """Let all answer what is on its way, and end."""
        for task in (self._aligning, self._renewing):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(seat.stop() for seat in self._seats))

    async def _renew(self) -> None:
        for seat in self._seats:
            await seat.renew()
            await asyncio.sleep(LEAVING)  # until callers know that it is there again
        _log.info("renewed")

    def _made(self, number: int) -> Worker:
        return self._plan.make(self._settings, number)

    def _present(self) -> Sequence[Worker]:
        return [seat.worker for seat in self._seats if seat.worker.revision is not None]

    def _compare(self) -> None:
        """Let those begin who wait, if all have the same policies; else see to it that they have."""
        if not self._all_ready:
            return
        revisions = {seat.worker.revision for seat in self._seats} - {None}
        if len(revisions) > 1 and (self._aligning is None or self._aligning.done()):
            self._aligning = asyncio.create_task(self._align())
        elif len(revisions) == 1:
            for worker in self._present():
                worker.begin()

    async def _align(self) -> None:
        """Let all read their files again until they have the same."""
        pause = SETTLING
        while True:
            await asyncio.sleep(pause)
            revisions = [seat.worker.revision for seat in self._seats]
            if len(set(revisions) - {None}) < 2:
                return
            _log.warning("revisions-differ", revisions=revisions)
            self.reload()
            pause = min(2 * pause, LONGEST_PAUSE)


class _Seat:
    """Where one worker is after the other."""

    def __init__(self, number: int, make: Callable[[int], Worker], on_news: Callable[[], None]) -> None:
        self._number = number
        self._make = make
        self._on_news = on_news
        self._renewing = False
        self._serving = asyncio.Event()
        self._taken: Worker | None = None

    @property
    def worker(self) -> Worker:
        """The worker that was made last."""
        assert self._taken is not None  # noqa: S101 - nobody asks before
        return self._taken

    def take(self) -> None:
        """Make a worker. Raises `ExtauthzError` if that fails."""
        self._taken = self._make(self._number)

    async def keep(self) -> None:
        """Replace each worker that ends, for ever."""
        pause = FIRST_PAUSE
        self._serving.set()
        since = time.monotonic()
        end: str | None = None
        while True:
            if end is None:
                await self.worker.ended()
                end = self.worker.end
                if time.monotonic() - since > LASTING:
                    pause = FIRST_PAUSE
            if self._renewing:
                self._renewing, pause = False, FIRST_PAUSE
            else:
                _log.error("worker-ended", worker=self._number, end=end, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            end = await self._replace()
            since = time.monotonic()

    async def _replace(self) -> str | None:
        """Have another worker that answers calls; what is wrong if there is none."""
        self._serving.clear()
        try:
            self.take()
            await self.worker.start(self._on_news)
            await self.worker.serves()
        except ExtauthzError as error:
            await self.worker.stop()
            return str(error)
        self._serving.set()
        _log.info("worker-serving", worker=self._number, grpc=self.worker.address, revision=self.worker.revision)
        return None

    async def renew(self) -> None:
        """Stop the worker; returns when another one answers calls in its place."""
        if self._serving.is_set():
            self._renewing = True
            self._serving.clear()
            await self.worker.stop()
        await self._serving.wait()

    async def stop(self) -> None:
        """End the worker, if there is one."""
        if self._taken is not None:
            await self._taken.stop()
