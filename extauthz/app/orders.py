"""Who tells a server when to begin, to stop and to read its files again: signals, where the process is its own, else
the parent that started it.

The rule of a server with a parent: it answers calls only by the policies that its parent has named, so that all of a
parent's servers begin with the same.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol, assert_never

import structlog

from extauthz.app.link import Begin, InForce, Order, Reload, ServerEnd, Serving, Stop

_log = structlog.get_logger(__name__)


class Orders(Protocol):
    """What a server is told from outside, and tells. Belongs to one event loop."""

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """From now on, call these on the event loop when that is ordered."""

    def in_force(self, revision: str) -> None:
        """Policies of this revision decide from now on."""

    async def begin(self) -> None:
        """Wait until calls may be answered."""

    def serving(self, address: str) -> None:
        """Calls are answered at this address."""


def on_signals(*, stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Call these on the running event loop: `stop` on SIGTERM and SIGINT, `reload` on SIGHUP. For the main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)


class Signals:
    """Signals alone: there is nobody to wait for. For the main thread."""

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """From now on, call these on the event loop when a signal comes. That for workers ends nothing."""
        on_signals(stop=stop, reload=reload)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, _tell_that_none_is_renewed)

    def in_force(self, revision: str) -> None:
        """Nobody needs to know."""

    async def begin(self) -> None:
        """At once."""

    def serving(self, address: str) -> None:
        """Nobody needs to know."""


def _tell_that_none_is_renewed() -> None:
    _log.warning(
        "renewal-refused",
        error="SIGUSR2 replaces workers, and this is one process without any: SIGHUP reads policies and keys again, "
        "and for the configuration restart it, or start it with `--workers`",
    )


class FromParent:
    """A parent, over the link to it."""

    def __init__(self, link: ServerEnd) -> None:
        self._link = link
        self._running: asyncio.Task[None] | None = None
        self._stop: Callable[[], None] | None = None
        self._reload: Callable[[], None] | None = None
        self._revision = ""
        self._named: str | None = None
        self._may_begin = asyncio.Event()

    def follow(self, running: asyncio.Task[None], *, clean_up: Callable[[], None]) -> None:
        """Carry out orders from now on. `running` is the life of the server, cancelled if it is to end before it obeys;
        `clean_up` is called if the parent can't do it any more.
        """
        self._running = running
        self._link.follow(asyncio.get_running_loop(), self._carry_out, clean_up=clean_up)

    def stop(self) -> None:
        """As if the parent had said it."""
        if self._stop is not None:
            self._stop()
        elif self._running is not None:
            self._running.cancel()

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """From now on, call these on the event loop when the parent orders it."""
        self._stop, self._reload = stop, reload

    def in_force(self, revision: str) -> None:
        """Tell the parent."""
        self._revision = revision
        self._link.report(InForce(revision))
        self._compare()

    async def begin(self) -> None:
        """Wait until the parent has named the policies that are in force here."""
        await self._may_begin.wait()

    def serving(self, address: str) -> None:
        """Tell the parent."""
        self._link.report(Serving(address))

    def _carry_out(self, order: Order) -> None:
        match order:
            case Begin():
                self._named = order.revision
                self._compare()
            case Stop():
                self.stop()
            case Reload():
                if self._reload is not None:
                    self._reload()
            case _:
                assert_never(order)

    def _compare(self) -> None:
        if self._revision == self._named:
            self._may_begin.set()
        else:
            self._may_begin.clear()
