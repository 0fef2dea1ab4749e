"""A worker: a process that serves one address on one transport, as the parent that started it has it.

The rules: nothing but its parent ends a worker, for a signal to a whole group of processes would break off calls; its
parent kills one that answers calls and then says nothing any more; and no worker outlives its parent.
"""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Final, assert_never

from extauthz.app.link import (
    Alive,
    Ask,
    Assignment,
    Begin,
    Failed,
    Heard,
    InForce,
    Reload,
    Said,
    Serving,
    Stop,
    Stopped,
)
from extauthz.errors import ConfigurationError, failure_of

GRACE: Final = 20.0
"""Seconds that a worker may take to answer what is on its way and to close."""
ASKING: Final = 5.0
"""Seconds between two questions whether a worker that answers calls is still there."""
PATIENCE: Final = 6
"""Questions in a row without an answer after which it is killed. They are counted, and not the time: a parent that was
stopped for a while has not asked meanwhile."""
_PARENTS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a worker is started: what runs, with which environment, in which folder; and what is left to do after it."""

    command: Sequence[str | Path]
    environ: Mapping[str, str] = field(repr=False)  # it has secrets
    folder: Path
    clean_up: Callable[[], None]


class Worker:
    """One worker, which is told what to serve over its standard input. For the event loop of the main thread."""

    def __init__(self, launch: Launch, assignment: Assignment) -> None:
        self._launch = launch
        self._assignment = assignment
        self._link, self._servers_end = Pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready, self._serving, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._failure: str | None = None
        self._named: str | None = None
        self._on_news: Callable[[], None] | None = None
        self._unanswered = 0
        self._asking: asyncio.Task[None] | None = None
        self.revision: str | None = None
        """Of the policies that it has in force; `None` before there are any, and when it has ended."""
        self.address = ""
        """Where it answers calls, once it does."""

    async def start(self, on_news: Callable[[], None]) -> None:
        """Start it; returns when its policies are good. `on_news` is called whenever `revision` changes.

        Raises:
            ConfigurationError: it can't serve, and has ended.
        """
        self._on_news = on_news
        self._process = self._spawn()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._link.fileno(), self._hear)
        self._tell(self._assignment)
        self._waiting = asyncio.create_task(self._wait(self._process))
        await self._comes(self._ready)

    def begin(self) -> None:
        """Let it answer calls, by the policies that it has in force; once is enough."""
        if self.revision is not None and self.revision != self._named and not self._serving.is_set():
            self._named = self.revision
            self._tell(Begin(self.revision))

    async def serves(self) -> None:
        """Wait until it answers calls.

        Raises:
            ConfigurationError: it can't, and has ended.
        """
        await self._comes(self._serving)

    def reload(self) -> None:
        """Let it read its files again."""
        self._tell(Reload())

    async def stop(self) -> None:
        """Let it answer what is on its way, and end; it is killed if that takes too long."""
        if self._process is None:
            if not self._ended.is_set():
                self._launch.clean_up()
                self._ended.set()
            return
        self._tell(Stop())
        try:
            async with asyncio.timeout(GRACE):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    @property
    def end(self) -> str:
        """How it ended, for a person."""
        if self._failure is not None:
            return self._failure
        code = None if self._process is None else self._process.returncode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    async def _comes(self, event: asyncio.Event) -> None:
        events = [asyncio.create_task(one.wait()) for one in (event, self._ended)]
        try:
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in events:
                one.cancel()
        if not event.is_set():
            raise ConfigurationError(self._failure or "the server ended before it served; its log says why")

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

    async def _keep_asking(self) -> None:
        while self._unanswered < PATIENCE:
            self._unanswered += 1
            self._tell(Ask())
            await asyncio.sleep(ASKING)
        self._failure = f"it hung: no answer for {ASKING * PATIENCE:g} s, so it was killed"
        assert self._process is not None  # noqa: S101 - it has spoken
        self._process.kill()

    async def _wait(self, process: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(process.wait)
        if self._asking is not None:
            self._asking.cancel()
        self._hear()  # its last words may still lie there
        asyncio.get_running_loop().remove_reader(self._link.fileno())
        self._link.close()
        self._launch.clean_up()
        self._ended.set()
        self._has(None)

    def _has(self, revision: str | None) -> None:
        self.revision = revision
        if self._on_news is not None:
            self._on_news()

    def _hear(self) -> None:
        try:
            while self._link.poll():
                self._heard(self._link.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._link.fileno())

    def _heard(self, report: Heard) -> None:
        match report:
            case Alive():
                self._unanswered = 0
            case InForce():
                self._ready.set()
                self._has(report.revision)
            case Serving():
                self.address = report.address
                self._serving.set()
                self._asking = asyncio.create_task(self._keep_asking())
            case Failed():
                self._failure = report.message
            case Stopped():
                pass
            case _:
                assert_never(report)

    def _tell(self, said: Said) -> None:
        with suppress(OSError):  # it may be gone
            self._link.send(said)
