"""The connections under a `Peer`.

The rule: certificates are verified; redirects, which could lead anywhere, are not followed; nothing is remembered
from one question to the next; and what travels in the clear does not leave this machine, by no proxy either.
"""

import asyncio
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Literal

import httpx

from extauthz.errors import ConfigurationError
from extauthz.lookup.peers import OutOfReach, Reply, TooLong
from extauthz.lookup.trust import Trust

_HEADERS: Final[Mapping[str, str]] = {
    "user-agent": "extauthz",
    # What is compressed has another size when it is read.
    "accept-encoding": "identity",
}


class Connections:
    """What `Peer` says of itself."""

    def __init__(self, trust: Trust, *, timeout: float) -> None:
        self._trust = trust
        self._timeout = timeout
        self._state: object = None
        self._client: httpx.AsyncClient | None = None
        self._retired: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        if trust != Trust():
            trust.context()

    async def ask(
        self,
        method: Literal["GET", "POST"],
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        limit: int,
    ) -> Reply:
        """As `Peer.ask`."""
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._opened()
                async with client.stream(method, url, headers=headers, content=content) as response:
                    body = bytearray()
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) > limit:
                            raise TooLong(f"{url}: the answer is longer than {limit} bytes")
                    return Reply(status=response.status_code, headers=response.headers, body=bytes(body))
        except TimeoutError:
            raise OutOfReach(f"{url}: no whole answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OutOfReach(f"{url}: {str(error) or type(error).__name__}") from error
        except ConfigurationError as error:
            raise OutOfReach(str(error)) from error

    async def open(self) -> None:
        """As `Peer.open`."""
        await self._opened()

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._retired, self._client):
            if client is not None:
                await client.aclose()
        self._retired = self._client = None

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            state = None if self._trust == Trust() else await asyncio.to_thread(self._trust.state)
            if self._client is None or state != self._state:
                trusted = await asyncio.to_thread(self._trust.context)
                # Questions may still be on their way by the one before; they are done long before the next change.
                if self._retired is not None:
                    await self._retired.aclose()
                self._retired, self._client, self._state = self._client, _client(trusted), state
            return self._client


def _client(trusted: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=trusted,
        timeout=None,  # noqa: S113 - `Peer.ask` has one for the whole
        follow_redirects=False,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # Straight, past the proxy of the environment: these are loopback addresses.
        mounts={"http://": httpx.AsyncHTTPTransport(verify=trusted)},
    )
