"""The server inside of Envoy's process: the ASGI application that pyvoy loads, and the life of the server behind it.

pyvoy asks for the application in Envoy's first thread, makes an event loop, and runs it in a thread of its own. The
rules: Envoy listens only after the policies were found good, for the start of the application ends before that; it
pushes aside whoever has its socket, so it may only if nobody has, and until it listens nobody else may; and nothing
here makes use of signals, which are Envoy's.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import structlog
import uvloop

from extauthz.app.link import Assignment, Failed, ServerEnd, Stopped
from extauthz.app.logs import configure_logs
from extauthz.app.orders import FromParent
from extauthz.app.server import run
from extauthz.check.checker import Checker
from extauthz.errors import ConfigurationError, ExtauthzError
from extauthz.lookup.names import NamesByHost
from extauthz.transport import unix_sockets
from extauthz.transport.asgi import AsgiTransport, Scope
from extauthz.transport.asgi_checks import Check, Receive, Send
from extauthz.transport.envoy_admin import EnvoyAdmin, NoAnswer
from extauthz.transport.methods import LEAVING

_LOOK: Final = 0.01
"""Seconds between two looks at what Envoy does by itself."""
_PARTING: Final = 0.5
"""Seconds for callers to leave the last connections, once nothing new is taken."""

Carry = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger(__name__)


class _Loop(NamesByHost, uvloop.Loop):  # type: ignore[misc] # uvloop's annotations are not quite those of asyncio
    """uvloop's event loop, which is quicker than Python's own, but for how names are looked up."""


class _Loops(asyncio.DefaultEventLoopPolicy):
    """What pyvoy makes its event loop by."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = _Loop()
        loop.set_task_factory(_task)
        return loop


def _task(loop: asyncio.AbstractEventLoop, call: Any, **settings: Any) -> Any:  # noqa: ANN401 - of whatever is called
    """What carries a call. Checks do so themselves: a task costs as much as half of a decision."""
    return call if isinstance(call, Check) else asyncio.Task(call, loop=loop, **settings)


def application_of_this_process() -> Carry:
    """The application, made of what the parent says; blocks until it does.

    It is a method: to call an object that has a `__call__` takes Python three times as long.
    """
    link, assignment = ServerEnd.of_this_process()
    _be_as(assignment)
    configure_logs(assignment.settings.logs, worker=assignment.number)
    return Application(link, assignment).carry


def _be_as(assignment: Assignment) -> None:
    """Be what the parent is: what Envoy was started with is for Envoy, and not for processes that are started here."""
    os.environ.clear()
    os.environ.update(assignment.environ)
    sys.executable = assignment.executable
    sys.path[:] = [entry for entry in sys.path if entry != "."]  # pyvoy's addition: whatever lies in the folder
    asyncio.set_event_loop_policy(_Loops())


class Application:
    """What pyvoy calls: once for the life of the server, and then for every call."""

    def __init__(self, link: ServerEnd, assignment: Assignment) -> None:
        self._link = link
        self._assignment = assignment
        self._carry: Carry = self._live

    def carry(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine itself, which would be one more for each call."""
        return self._carry(scope, receive, send)

    # pyvoy takes what is no coroutine function for an ASGI 2 application.
    carry._asgi_single_callable = True  # type: ignore[attr-defined]

    async def _live(self, _: Scope, receive: Receive, send: Send) -> None:
        """The lifespan protocol."""
        await receive()
        life = _Life(self._link, self._assignment)
        transport = await life.begin()
        if transport is None:  # the parent was told why; Envoy would only say in many words that it can't go on
            sys.stderr.flush()
            os._exit(1)
        self._carry = transport.__call__
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await life.end()
        await send({"type": "lifespan.shutdown.complete"})


class _Life:
    """One server from its beginning to its end."""

    def __init__(self, link: ServerEnd, assignment: Assignment) -> None:
        self._link = link
        self._assignment = assignment
        assert assignment.admin is not None  # noqa: S101 - of a server in an Envoy it is always told
        self._admin = EnvoyAdmin(assignment.admin)
        self._folder = assignment.admin.parent
        self._orders = FromParent(link)
        self._transport: AsgiTransport | None = None
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()

    async def begin(self) -> AsgiTransport | None:
        """Start, until it is ready to listen; `None` if it can't be."""
        self._running = asyncio.create_task(self._run())
        self._orders.follow(self._running, clean_up=self._clean_up)
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((self._running, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        return self._transport if self._ready.is_set() else None

    async def end(self) -> None:
        """Stop, if that has not happened yet."""
        self._ending.set()
        self._orders.stop()
        await asyncio.wait((self._running,))

    async def _run(self) -> None:
        """Serve until the end, and then end Envoy: without a server it is of no use."""
        try:
            await run(self._assignment.settings, self._assignment.environ, carry=self._make, orders=self._orders)
            self._link.report(Stopped())
        except ExtauthzError as error:
            self._link.report(Failed(str(error)))
        except Exception as error:  # noqa: BLE001 - nobody else would say it
            _log.error("server-failed", exc_info=error)
            self._link.report(Failed("the server inside of Envoy failed; the log says why"))
        finally:
            if self._ready.is_set() and not self._ending.is_set():  # otherwise it has not begun and won't, or ends
                await self._end_envoy()

    async def _end_envoy(self) -> None:
        with suppress(NoAnswer):
            await self._admin.quit()

    def _make(self, checker: Checker) -> AsgiTransport:
        tls = self._assignment.settings.tls
        self._transport = AsgiTransport(checker, self, callers=None if tls is None else tls.callers)
        return self._transport

    async def open(self) -> str:
        """Let Envoy listen; returns the address.

        Raises:
            ConfigurationError: it can't.
        """
        listen = self._assignment.settings.listen
        with listen.made_sockets.reserved(listen.grpc, key="listen.grpc"):
            self._ready.set()
            listening, ending = asyncio.create_task(self._listening()), asyncio.create_task(self._ending.wait())
            await asyncio.wait((listening, ending), return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if not listening.done():
                listening.cancel()
                raise ConfigurationError(
                    f"listen.grpc: can't listen on `{listen.grpc}`; is it in use, or not an address of this machine?"
                )
            return listening.result()

    async def _listening(self) -> str:
        """The address, as soon as Envoy answers there: what it has bound it knows before it listens."""
        address = await self._admin.address()
        while True:
            try:
                _, writer = await _connected(address)
            except ConnectionRefusedError:
                await asyncio.sleep(_LOOK)
            else:
                writer.close()
                return address

    async def close(self) -> None:
        """Let Envoy take nothing new, once callers have had time to hear of it; returns when all have gone."""
        try:
            await self._admin.drain(LEAVING, _PARTING)
        except NoAnswer as error:
            _log.error("drain-failed", error=str(error))

    def _clean_up(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


async def _connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path = unix_sockets.path_of(address)
    if path is not None:
        return await asyncio.open_unix_connection(path)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))
