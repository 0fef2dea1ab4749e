"""Listening sockets for the web parts, bound before anything starts, so that an address in use stops the start."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from extauthz.app.web_connections import WebConnection, at_once
from extauthz.errors import ConfigurationError, failure_of
from extauthz.transport import ports, unix_sockets
from extauthz.transport.unix_sockets import AS_ALWAYS, Sockets


class WebServer:
    """One Starlette application on one address, run inside an event loop that somebody else owns."""

    def __init__(self, application: Starlette, *, address: str, key: str, sockets: Sockets = AS_ALWAYS) -> None:
        """Bind `address`; `key` is the setting that names it, `sockets` how it is made if it is a Unix socket.

        Raises:
            ConfigurationError: it can't be listened on.
        """
        self._socket = _bind(address, key, sockets)
        self._address = address
        self._path = unix_sockets.path_of(address)
        self._bound = unix_sockets.inode(self._path) if self._path is not None else None
        config = uvicorn.Config(
            application,
            http=WebConnection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            backlog=at_once(),  # what waits there is taken all at once
            timeout_graceful_shutdown=5,
        )
        self._server = _EmbeddedServer(config)

    @property
    def address(self) -> str:
        """Where it listens, with the port that was given if 0 was asked for."""
        if self._path is not None:
            return self._address
        return f"{self._address.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no new connections, finish the requests on their way, end `serve`."""
        self._server.should_exit = True

    def close(self) -> None:
        """Release the address."""
        self._socket.close()
        if self._path is not None and self._bound is not None:
            unix_sockets.remove(self._path, self._bound)


class _EmbeddedServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they stop the whole server, in order."""
        yield


def _bind(address: str, key: str, sockets: Sockets) -> socket.socket:
    path = unix_sockets.path_of(address)
    if path is None:
        return ports.bound(address, key=key, backlog=at_once())
    try:
        with sockets.around(address, key=key):
            return _bind_unix(path)
    except OSError as error:
        raise ConfigurationError(f"{key}: can't listen on `{address}`: {failure_of(error)}") from error


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        listener.listen(at_once())
    except OSError:
        listener.close()
        raise
    return listener
