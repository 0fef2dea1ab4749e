"""Ports of TCP: bound here, or tried before somebody else binds them, who would tell a failure in words of his own."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Final

from extauthz.errors import ConfigurationError, failure_of

PATIENCE: Final = 5.0
"""Seconds for another server that starts at the same address to listen there."""
LOOK: Final = 0.01


def bound(address: str, *, key: str, backlog: int = 1) -> socket.socket:
    """A socket that listens on `host:port`, which `key` of the configuration names.

    Raises:
        ConfigurationError: it can't.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=backlog)
    except OSError as error:
        # Python adds the address to what the system says.
        failure = failure_of(error) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
        raise ConfigurationError(f"{key}: can't listen on `{address}`: {failure}; free it, or name another") from error


@contextlib.contextmanager
def alone(port: int) -> Iterator[None]:
    """Around the time between a look at a port and somebody else's listening on it: until then any number of servers
    can have it. They come one after the other, as far as they ask here. Whoever else has the name of the port, which is
    one of Linux's abstract sockets, delays a start, and prevents none.
    """
    with socket.socket(socket.AF_UNIX) as name:
        end = time.monotonic() + PATIENCE
        while port and not _named(name, port) and time.monotonic() < end:
            time.sleep(LOOK)
        yield


def _named(name: socket.socket, port: int) -> bool:
    try:
        name.bind(f"\0extauthz/{port}")
    except OSError:
        return False
    return True
