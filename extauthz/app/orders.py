"""Who tells a server to stop or to read its files again: signals, where the process is its own."""

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol


class Orders(Protocol):
    """What a server is told from outside. Belongs to one event loop."""

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """From now on, call these on the event loop when that is ordered."""


class Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads. For the main thread alone."""

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """From now on, call these on the event loop when a signal comes."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, reload)
