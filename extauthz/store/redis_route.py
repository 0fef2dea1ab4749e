"""Which server answers for which key: one server, the master that Sentinels name, or the nodes of a cluster.

The rules: what the route knows is forgotten as soon as a server fails or says that it is not the one, and learned anew
by the next call; a command is sent on only by the word of the server that did not run it (`MOVED`, `ASK`), and once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, ReadOnlyError, RedisError

from extauthz.errors import StateUnavailable
from extauthz.store.redis_address import Host, RedisAddress
from extauthz.store.redis_server import RedisServer, Reply, Words, sentinel_at, server_at

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, and the key by which its server is found."""

    key: str
    words: Words


class Route(Protocol):
    """The way to the servers. Everything raises `redis.RedisError`, `OSError` or `StateUnavailable`."""

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies in the order of the commands: one round trip to each server, in parallel."""

    async def servers(self) -> Sequence[RedisServer]:
        """All servers that keep something, as they are now."""

    async def close(self) -> None:
        """Close all connections."""


def route_to(address: RedisAddress) -> Route:
    """The route that an address asks for. Connects to nothing."""
    match address.kind:
        case "server":
            return _OneServer(server_at(address, address.hosts[0] if address.hosts else None))
        case "sentinel":
            return _Sentinels(address)
        case "cluster":
            return _Cluster(address)


class _OneServer:
    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        return await self._server.exchange([command.words for command in commands])

    async def servers(self) -> Sequence[RedisServer]:
        return (self._server,)

    async def close(self) -> None:
        await self._server.close()


class _Sentinels:
    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._sentinels = [sentinel_at(address, host) for host in address.hosts]
        self._master: RedisServer | None = None
        self._asking = asyncio.Lock()

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        async with self._asking:
            master = self._master if self._master is not None else await self._discover()
        try:
            replies = await master.exchange([command.words for command in commands])
        except BaseException:
            await self._forget(master)
            raise
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._forget(master)
        return replies

    async def servers(self) -> Sequence[RedisServer]:
        """The master by the Sentinels' word of now: who calls this regularly follows a failover that broke nothing."""
        async with self._asking:
            return (await self._discover(),)

    async def close(self) -> None:
        for server in (*self._sentinels, *([] if self._master is None else [self._master])):
            await server.close()

    async def _discover(self) -> RedisServer:
        """The master, by the first Sentinel that names one that says so itself: others may not have heard of it yet."""
        asked: dict[Host, asyncio.Task[RedisServer]] = {}
        master = None
        try:
            master = await _first([partial(self._named_by, sentinel, asked) for sentinel in self._sentinels])
        finally:
            made = [one for one in await _end([*asked.values()]) if isinstance(one, RedisServer)]
            for other in made:
                if other is not master:
                    await other.close()
        if master in made:
            if self._master is not None:
                await self._master.close()
            self._master = master
        return master

    async def _named_by(self, sentinel: RedisServer, asked: dict[Host, asyncio.Task[RedisServer]]) -> RedisServer:
        """The master by the word of one, which is known or is `asked` now; once, whoever else names it, too."""
        host = await _master_of(sentinel, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service))
        if self._master is not None and self._master.host == host:
            return self._master
        if host not in asked:
            asked[host] = asyncio.create_task(self._master_at(host))
        return await asked[host]

    async def _master_at(self, host: Host) -> RedisServer:
        server = server_at(self._address, host)
        (role,) = await server.exchange([("ROLE",)])
        if not isinstance(role, list) or role[0] != b"master":
            await server.close()
            place = f"{host[0]}:{host[1]}"
            raise StateUnavailable(f"the server that the Sentinels name, {place}, is no master yet")
        return server

    async def _forget(self, master: RedisServer) -> None:
        await master.close()
        if self._master is master:
            self._master = None


async def _master_of(sentinel: RedisServer, question: Words) -> Host:
    (reply,) = await sentinel.exchange([question])
    if not isinstance(reply, list) or len(reply) != 2:
        raise StateUnavailable("the Sentinels know no such service")
    host, port = reply
    return (_decoded(host), int(_decoded(port)))


class _Cluster:
    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._nodes = {host: server_at(address, host) for host in address.hosts}
        self._slots: dict[int, RedisServer] = {}
        self._asking = asyncio.Lock()

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        await self._learn()
        replies = await self._send(range(len(commands)), commands)
        moved = [index for index, reply in replies.items() if isinstance(reply, MovedError)]
        if moved:
            self._slots = {}
            await self._learn()
            replies |= await self._send(moved, commands)
        for index, reply in replies.items():
            if isinstance(reply, AskError):
                node = self._node((reply.host, reply.port))
                replies[index] = (await node.exchange([("ASKING",), commands[index].words]))[1]
        return [replies[index] for index in range(len(commands))]

    async def servers(self) -> Sequence[RedisServer]:
        """The nodes that have slots by the cluster's word of now."""
        self._slots = {}
        await self._learn()
        return tuple(dict.fromkeys(self._slots.values()))

    async def close(self) -> None:
        for node in self._nodes.values():
            await node.close()

    async def _send(self, indices: Iterable[int], commands: Sequence[Command]) -> dict[int, Reply]:
        shares: dict[RedisServer, list[int]] = {}
        for index in indices:
            node = self._slots.get(key_slot(commands[index].key.encode()))
            if node is None:
                self._slots = {}
                raise StateUnavailable("no node of the cluster has the slot")
            shares.setdefault(node, []).append(index)
        asking = [
            asyncio.create_task(node.exchange([commands[index].words for index in share]))
            for node, share in shares.items()
        ]
        try:
            answered = await asyncio.gather(*asking)
        except BaseException:
            self._slots = {}
            raise
        finally:
            # Once one node has failed nobody waits for the others: what hangs there would keep its connection.
            await _end(asking)
        replies: dict[int, Reply] = {}
        for share, answers in zip(shares.values(), answered, strict=True):
            replies |= zip(share, answers, strict=True)
        return replies

    async def _learn(self) -> None:
        """Ask who has which slot, if that is not known."""
        async with self._asking:
            if self._slots:
                return
            self._slots = await _first([partial(self._slots_by, node) for node in self._nodes.values()])
            gone = [host for host, node in self._nodes.items() if node not in self._slots.values()]
            for host in gone:
                await self._nodes[host].close()
                if host not in self._address.hosts:
                    del self._nodes[host]

    async def _slots_by(self, node: RedisServer) -> dict[int, RedisServer]:
        (reply,) = await node.exchange([("CLUSTER", "SLOTS")])
        if not isinstance(reply, list) or not reply:
            raise StateUnavailable("a node of the cluster knows no slots")
        slots: dict[int, RedisServer] = {}
        for entry in reply:
            if not (isinstance(entry, list) and isinstance(entry[2], list)):
                raise StateUnavailable("a node of the cluster tells its slots in a form that is not known")
            first, last, (host, port, *_) = entry[0], entry[1], entry[2]
            assert isinstance(first, int)  # noqa: S101 - the reply's form
            assert isinstance(last, int)  # noqa: S101 - the reply's form
            assert isinstance(port, int)  # noqa: S101 - the reply's form
            assert node.host is not None  # noqa: S101 - a cluster has no Unix sockets
            owner = self._node((_decoded(host) or node.host[0], port))
            slots |= dict.fromkeys(range(first, last + 1), owner)
        return slots

    def _node(self, host: Host) -> RedisServer:
        if host not in self._nodes:
            self._nodes[host] = server_at(self._address, host)
        return self._nodes[host]


async def _first(asked: Sequence[Callable[[], Awaitable[_T]]]) -> _T:
    """The first good answer of all who are asked at the same time: one that hangs delays nobody."""

    async def ask(one: Callable[[], Awaitable[_T]]) -> _T:
        return await one()

    asking = [asyncio.create_task(ask(one)) for one in asked]
    problem: Exception = StateUnavailable("there is nobody to ask")
    try:
        for answer in asyncio.as_completed(asking):
            try:
                return await answer
            except (RedisError, OSError, StateUnavailable) as error:
                problem = error
    finally:
        await _end(asking)
    raise problem


async def _end(tasks: Sequence[asyncio.Task[_T]]) -> Sequence[_T | BaseException]:
    """What these have come to."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def _decoded(text: Reply) -> str:
    return text.decode("utf-8") if isinstance(text, bytes) else ""
