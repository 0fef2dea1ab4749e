"""Ports for servers that must be told theirs, below those that systems give to whoever asks for any.

A port that the system gave, and that is free again, may be some client's a moment later: with many tests at a time, it
is, now and then.
"""

import os
import socket
from collections.abc import Iterator
from itertools import cycle

FIRST, LAST = 10_240, 20_240
"""The bus of a Redis cluster is 10,000 ports higher: there, too, nobody is given one (Linux: from 32,768 on)."""


def _own() -> Iterator[int]:
    """Those of this process: workers of the tests share them out, and begin somewhere, as other runs may be beside."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(FIRST + 2 * number, LAST, 2 * workers)  # the one behind each is for those who need two in a row
    start = 97 * os.getpid() % len(ports)
    return cycle([*ports[start:], *ports[:start]])


_ports = _own()


def free_port() -> int:
    """A port of loopback that nobody listens on, nor on its cluster's bus, and that nobody else is given soon."""
    return next(port for port in _ports if _is_free(port) and _is_free(port + 10_000))


def free_pair() -> range:
    """Two such ports in a row."""
    first = next(port for port in _ports if _is_free(port) and _is_free(port + 1))
    return range(first, first + 2)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers have it: who is gone is gone
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
