"""A worker: a process that serves one address on one transport, as the parent that started it has it.

The rules: nothing but its parent ends a worker, for a signal to a whole group of processes would break off calls; and
no worker outlives its parent.
"""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Final, assert_never

from extauthz.app.link import Assignment, Failed, Order, Reload, Report, Serving, Stop, Stopped
from extauthz.errors import ConfigurationError, failure_of

GRACE: Final = 20.0
"""Seconds that a worker may take to answer what is on its way and to close."""
_PARENTS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a worker is started: what runs, with which environment, in which folder; and what is left to do after it."""

    command: Sequence[str | Path]
    environ: Mapping[str, str]
    folder: Path
    clean_up: Callable[[], None]


class Worker:
    """One worker, which is told what to serve over its standard input. For the event loop of the main thread."""

    def __init__(self, launch: Launch, assignment: Assignment) -> None:
        self._launch = launch
        self._assignment = assignment
        self._link, self._servers_end = Pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._serving = asyncio.Event()
        self._failure: str | None = None
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """Start it; returns when it serves.

        Raises:
            ConfigurationError: it can't serve, and has ended.
        """
        self._process = self._spawn()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._link.fileno(), self._hear)
        self._tell(self._assignment)
        self._waiting = asyncio.create_task(self._wait(self._process))
        events = [asyncio.create_task(event.wait()) for event in (self._serving, self._ended)]
        try:
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for event in events:
                event.cancel()
        if self._ended.is_set():
            raise ConfigurationError(self._failure or "the server ended before it served; its log says why")

    def reload(self) -> None:
        """Let it read its files again."""
        self._tell(Reload())

    async def stop(self) -> None:
        """Let it answer what is on its way, and end; it is killed if that takes too long."""
        if self._process is None:
            self._launch.clean_up()
            return
        self._tell(Stop())
        try:
            async with asyncio.timeout(GRACE):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # What is blocked here stays so in the worker: it is told by the link, and a terminal or a service manager that
        # signals all processes of a service leaves it to its parent.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
        try:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                self._launch.command,
                stdin=self._servers_end.fileno(),
                env=self._launch.environ,
                cwd=self._launch.folder,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigurationError(f"can't start `{self._launch.command[0]}`: {failure_of(error)}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._servers_end.close()

    async def _wait(self, process: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(process.wait)
        self._hear()  # its last words may still lie there
        asyncio.get_running_loop().remove_reader(self._link.fileno())
        self._link.close()
        self._launch.clean_up()
        self._ended.set()

    def _hear(self) -> None:
        try:
            while self._link.poll():
                self._heard(self._link.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._link.fileno())

    def _heard(self, report: Report) -> None:
        match report:
            case Serving():
                self._serving.set()
            case Failed():
                self._failure = report.message
            case Stopped():
                pass
            case _:
                assert_never(report)

    def _tell(self, order: Order | Assignment) -> None:
        with suppress(OSError):  # it may be gone
            self._link.send(order)
