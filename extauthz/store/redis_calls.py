"""Calls to a Redis: how long they may take, and what becomes of everything that can go wrong.

The rules: every call ends in time, connecting included, with replies or as `StateUnavailable`; nothing is
tried again; a server that could forget what was burned, or that could be anybody's, is not used.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from extauthz.errors import ConfigurationError, StateUnavailable, failure_of
from extauthz.store.redis_address import RedisAddress
from extauthz.store.redis_route import Command, route_to
from extauthz.store.redis_rows import texts_in, understood
from extauthz.store.redis_scripts import REVOKE, Run, run_all
from extauthz.store.redis_server import RedisServer, Reply

CALL_SECONDS: Final = 0.08
"""Envoy waits 200 ms for a whole Check by default: a Redis that hangs must leave time to answer."""
_PROBE_SECONDS: Final = 60
_KEYS_AT_ONCE: Final = 500
_LONGEST_TOLD: Final = 300
_REPLICA: Final = "it is a replica, which may not know what was used up and revoked; name the master"

_T = TypeVar("_T")


class RedisCalls:
    """Calls to the Redis at this address. Connects when it is first called, in the event loop that calls.

    Each call may take `patience` seconds, CALL_SECONDS if it is `None`.
    """

    def __init__(self, address: RedisAddress, patience: float | None) -> None:
        self._patience = CALL_SECONDS if patience is None else patience
        self._place = address.shown
        self._is_single = address.kind == "server"
        self._secrets = [secret for secret in (address.password, address.sentinel_password) if secret]
        self._prefix = address.prefix
        self._route = route_to(address)
        self._fault: str | None = None
        self._turn = 0
        self._closed = False

    async def exchange(self, *commands: Command) -> list[Reply]:
        """The replies, in one round trip to each server. Raises `StateUnavailable`."""
        return await self._usable(lambda: self._route.exchange(commands))

    async def run(self, *asked: Run | Command) -> list[Reply]:
        """The results of these scripts and commands, in one round trip to each server. Raises `StateUnavailable`."""
        return await self._usable(lambda: run_all(self._route, asked))

    async def all_keys(self, last: str) -> AsyncIterator[list[str]]:
        """The keys of all subjects that end like this, some at a time; one that is there all along is among them."""
        for server in await self._usable(self._route.servers):
            cursor = b"0"
            while True:
                scan = ("SCAN", cursor, "MATCH", f"{self._prefix}:{{*}}:{last}", "COUNT", _KEYS_AT_ONCE)
                (reply,) = await self._usable(partial(_asked, server, scan))
                if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], bytes)):
                    raise StateUnavailable(f"store: {self._place}: no list of keys, but {type(reply).__name__}")
                with understood():
                    names = [key.decode("utf-8") for key in texts_in(reply[1])]
                yield names
                cursor = reply[0]
                if cursor == b"0":
                    break

    async def subscribed(self, channel: str) -> AbstractConnection:
        """A connection of the caller's own that hears what is published. Raises `StateUnavailable`."""
        servers = await self._usable(self._route.servers)
        self._turn += 1  # another node of a cluster each time: one may be cut off from the others
        server = servers[self._turn % len(servers)]
        return await self._usable(lambda: server.subscribed(channel))

    async def check(self) -> None:
        """Whether it can be written to, and is set up so that it may be used; until it is, no call is made.

        Raises:
            ConfigurationError: it must not be used as it is set up.
            StateUnavailable: it is out of reach.
        """
        try:
            fault = await self._find_fault()
        except StateUnavailable as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            fault = f"it refuses us ({self._told(refusal)}); check user and password, and allow all commands"
        self._fault = fault
        if fault == _REPLICA:
            raise StateUnavailable(f"store: {self._place}: {fault}")
        if fault is not None:
            raise ConfigurationError(f"store: {self._place}: {fault}")

    async def close(self) -> None:
        """Let go of it; closing twice is fine."""
        self._closed = True
        await self._route.close()

    async def _find_fault(self) -> str | None:
        """What is wrong with the first server that must not be used; `None` if all is well."""
        for server in await self._within(self._route.servers):
            flaw = _flaw(await self._info(server, "memory"))
            if flaw is not None:
                return flaw
            # Sentinels and clusters say themselves who is a master.
            if self._is_single and (await self._info(server, "replication")).get("role") == "slave":
                return _REPLICA
        probe = f"{self._prefix}:{{probe}}"
        written = Command(key=probe, words=("SET", probe, "", "EX", _PROBE_SECONDS))
        await self._answered(lambda: self._route.exchange([written]))
        # A script that does nothing: whoever may not run scripts may do nothing here.
        ran = Run(script=REVOKE, keys=(probe, probe), arguments=())
        await self._answered(lambda: run_all(self._route, [ran]))
        return None

    async def _info(self, server: RedisServer, section: str) -> dict[str, str]:
        (told,) = await self._within(partial(_asked, server, ("INFO", section)))
        lines = told.decode("utf-8", "replace").splitlines() if isinstance(told, bytes) else []
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _told(self, error: BaseException) -> str:
        """What went wrong, on a line, without our passwords: a server may repeat what it was sent, also in part."""
        text = _in_words(error).partition(", with args beginning with")[0]
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_TOLD])

    async def _usable(self, call: Callable[[], Awaitable[_T]]) -> _T:
        if self._fault is not None:
            raise StateUnavailable(f"store: {self._place}: {self._fault}")
        return await self._answered(call)

    async def _answered(self, call: Callable[[], Awaitable[_T]]) -> _T:
        result = await self._within(call)
        if isinstance(result, list):
            for error in result:
                if isinstance(error, ResponseError):
                    raise StateUnavailable(f"store: {self._place}: {self._told(error)}") from error
        return result

    async def _within(self, call: Callable[[], Awaitable[_T]]) -> _T:
        if self._closed:
            raise StateUnavailable(f"store: {self._place}: it is closed")
        try:
            async with asyncio.timeout(self._patience):
                return await call()
        except TimeoutError as error:
            raise StateUnavailable(f"store: {self._place}: no answer within {self._patience * 1000:.0f} ms") from error
        except Exception as error:
            # Whatever it is, the state is not known.
            raise StateUnavailable(f"store: {self._place}: {self._told(error)}") from error


def _in_words(error: BaseException) -> str:
    """What an error says; of a connection that was not made, why the system has not made it."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, socket.gaierror):
        return failure_of(cause)
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return str(error)


async def _asked(server: RedisServer, words: Sequence[str | bytes | int]) -> list[Reply]:
    replies = await server.exchange([words])
    if isinstance(replies[0], ResponseError):
        raise replies[0]
    return replies


def _refusal(error: BaseException) -> BaseException | None:
    """The server's refusal that led to this error; redis-py wraps that of a login on a Unix socket once more."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, (AuthenticationError, NoPermissionError)):
        cause = cause.__cause__
    return cause


def _flaw(memory: Mapping[str, str]) -> str | None:
    """What is wrong with the settings that `INFO memory` tells."""
    policy = memory.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return None
    return f"its maxmemory-policy is `{policy}`, which may forget burned codes; set `maxmemory-policy noeviction`"
