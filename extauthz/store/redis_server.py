"""One Redis server: some connections to it, and exchanges of commands for replies.

The rules: an exchange is one round trip on one connection; a connection on which one was cut off is closed, so that
no reply is ever taken for another's; nothing is sent twice; no more than CONNECTIONS are open.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from extauthz.store.redis_address import Host, RedisAddress

CONNECTIONS: Final = 32

Words = Sequence[str | bytes | int]
"""A command as it is sent."""
Reply = bytes | int | list["Reply"] | ResponseError | None


class RedisServer:
    """The server that `connect` makes connections to; `host` is where it is, `None` on a Unix socket."""

    def __init__(self, connect: Callable[[], AbstractConnection], host: Host | None) -> None:
        self.host = host
        self._connect = connect
        self._idle: list[AbstractConnection] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def exchange(self, commands: Sequence[Words]) -> list[Reply]:
        """The replies to these commands, in their order; a command that was refused has its error as reply.

        Raises:
            redis.RedisError, OSError: the server can't be reached, or it was lost meanwhile.
        """
        if not commands:
            return []
        async with self._turns:
            connection = await self._borrow()
            try:
                await connection.send_packed_command(connection.pack_commands(commands))
                replies = [await _reply(connection) for _ in commands]
            except BaseException:
                await connection.disconnect(nowait=True)
                await self.close()  # the others lead to the same server
                raise
            self._idle.append(connection)
            return replies

    async def subscribed(self, channel: str) -> AbstractConnection:
        """A connection of the caller's own that hears what is published on a channel; no limit counts it.

        Raises:
            redis.RedisError, OSError: the server can't be reached, or refuses.
        """
        connection = await self._connected()
        try:
            await connection.send_packed_command(connection.pack_command("SUBSCRIBE", channel))
            await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _borrow(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            # What the server has closed meanwhile is readable: there is nothing that it could have to say.
            if connection.is_connected and not await connection.can_read():
                return connection
            await connection.disconnect(nowait=True)
        return await self._connected()

    async def _connected(self) -> AbstractConnection:
        connection = self._connect()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py declares no return
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection


async def _reply(connection: AbstractConnection) -> Reply:
    try:
        reply: Reply = await connection.read_response()
    except ResponseError as error:
        return error
    return reply


def server_at(address: RedisAddress, host: Host | None) -> RedisServer:
    """The Redis at `host` with the login of the address; at its Unix socket for `None`."""
    login = {"username": address.username, "password": address.password, "db": address.database}
    return _server(address, host, login)


def sentinel_at(address: RedisAddress, host: Host) -> RedisServer:
    """The Sentinel at `host`, which has a password of its own."""
    return _server(address, host, {"password": address.sentinel_password})


def _server(address: RedisAddress, host: Host | None, login: dict[str, str | int | None]) -> RedisServer:
    common: dict[str, Any] = {
        **login,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,  # the store's own deadline is around all of it
        "driver_info": None,
    }

    def connect() -> AbstractConnection:
        if host is None:
            return UnixDomainSocketConnection(path=address.socket, **common)
        if address.tls:
            return SSLConnection(
                host=host[0],
                port=host[1],
                ssl_ca_certs=_text(address.ca),
                ssl_certfile=_text(address.cert),
                ssl_keyfile=_text(address.key),
                ssl_cert_reqs="required",
                ssl_check_hostname=True,
                **common,
            )
        return Connection(host=host[0], port=host[1], **common)

    return RedisServer(connect, host)


def _text(path: object) -> str | None:
    return None if path is None else str(path)
