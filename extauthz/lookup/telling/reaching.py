"""Connections to webhooks, made only to addresses that may be reached.

The rule: a name is looked up once for each connection, and the connection is made to an address that was looked at, not
to the name. So there is no second answer of a name server to lead it elsewhere. Proxies of the environment are not
used: what they connect to nobody could look at.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from extauthz.approval.telling.reach import Reach
from extauthz.errors import ExtauthzError

MOST_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""
_MOST_HEARD: Final = 65_536
_LONGEST_ENDING: Final = 1.0
_HEADERS: Final = {
    "user-agent": "extauthz",
    "accept-encoding": "identity",
    "connection": "close",
}


class Astray(ExtauthzError):
    """The name leads to no address that may be reached. The message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status, and `Retry-After` if it was there. The rest of an answer says nothing."""

    status: int
    retry_after: str = ""


async def post(
    url: str, *, headers: Mapping[str, str], content: bytes, trusted: ssl.SSLContext, reach: Reach, seconds: float
) -> Answer:
    """The answer to one request on a connection of its own, from one of the addresses that may be reached.

    Raises:
        Astray: there is none.
        TimeoutError: there is no answer within `seconds`.
        OSError: there is no connection.
        httpcore.NetworkError, httpcore.ProtocolError: it came to nothing, or what came back is no HTTP.
    """
    backend = _Reaching(reach, seconds=seconds)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.close)
        async with asyncio.timeout(seconds):
            connections = await stack.enter_async_context(
                httpcore.AsyncConnectionPool(ssl_context=trusted, network_backend=backend, max_connections=1)
            )
            sent = list({**_HEADERS, **headers}.items())
            asking = connections.stream("POST", url, headers=sent, content=content)
            response = await stack.enter_async_context(asking)
        await _hear_out(response)
    found = {name.lower(): value for name, value in response.headers}
    return Answer(status=response.status, retry_after=found.get(b"retry-after", b"").decode("latin-1"))


async def _hear_out(response: httpcore.Response) -> None:
    """Let the receiver finish what it says, which nobody needs; one that goes on is cut off."""
    heard = 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_LONGEST_ENDING):
            async for chunk in response.aiter_stream():
                heard += len(chunk)
                if heard > _MOST_HEARD:
                    return


class _Reaching(httpcore.AsyncNetworkBackend):
    def __init__(self, reach: Reach, *, seconds: float) -> None:
        self._reach = reach
        self._seconds = seconds
        self._connections = httpcore.AnyIOBackend()
        self._made: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the signature is httpcore's; all of it has one time
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        allowed = await self._allowed(host, port)
        for number, address in enumerate(allowed, 1):
            try:
                stream = await self._connections.connect_tcp(
                    address,
                    port,
                    # One address that is silent leaves time for the others.
                    timeout=self._seconds / (len(allowed) + 1),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(allowed):
                    raise
            else:
                self._made.append(stream)
                return stream
        raise AssertionError("there is an address, or `_allowed` has raised")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the signature is httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.AsyncNetworkStream:
        raise Astray(f"{path}: a webhook is not on a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close what was opened: a handshake that was cut off leaves its connection to nobody."""
        for stream in self._made:
            await stream.aclose()

    async def _allowed(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise Astray(f"`{host}` is no name of a host") from None
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        allowed = [address for address in addresses if self._reach.allows(address)]
        if not allowed:
            raise Astray(
                f"`{host}` is at {', '.join(addresses[:MOST_ADDRESSES])}, which is not on the internet; if it is meant,"
                " name its network in `addresses`"
            )
        return allowed[:MOST_ADDRESSES]
