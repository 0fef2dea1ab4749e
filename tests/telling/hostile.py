"""Receivers on loopback that are no help: raw sockets which say what they are told, as often as they are told."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Hostile:
    """Takes connections on an address of this machine; `behave` has each in a thread of its own."""

    def __init__(self, behave: Callable[[socket.socket, threading.Event], None], address: str = "127.0.0.1") -> None:
        self._behave = behave
        self.over = threading.Event()
        self.connections = 0
        self._taken: list[tuple[socket.socket, threading.Thread]] = []
        self._socket = socket.create_server((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            having = threading.Thread(target=self._have, args=(taken,), daemon=True)
            self._taken.append((taken, having))
            having.start()

    def _have(self, taken: socket.socket) -> None:
        with taken, suppress(OSError):
            self._behave(taken, self.over)

    def close(self) -> None:
        """Let go of everybody. Who waits in `accept` has a descriptor that nobody sees, until it is told to go."""
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._serving.join()
        self._socket.close()
        for taken, having in self._taken:
            with suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)
            having.join()


@contextmanager
def hostile(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[Hostile]:
    """One that is gone afterwards."""
    running = Hostile(behave)
    try:
        yield running
    finally:
        running.close()


def hangs(_: socket.socket, over: threading.Event) -> None:
    """Takes the connection and says nothing."""
    over.wait(60)


def endless(beginning: bytes, again: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Begins, and goes on for ever."""

    def behave(taken: socket.socket, over: threading.Event) -> None:
        taken.recv(65_536)
        taken.sendall(beginning)
        while not over.is_set():
            taken.sendall(again)

    return behave
