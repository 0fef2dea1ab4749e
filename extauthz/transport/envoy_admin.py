"""What is asked of the Envoy that the `pyvoy` transport runs in, over the socket of its admin interface."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import httpx

_LOOK: Final = 0.02
"""Seconds between two looks at what Envoy does by itself."""
_PATIENCE: Final = 5.0


class EnvoyAdmin:
    """The admin interface on the socket at `path`. Belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://admin", timeout=_PATIENCE
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def address(self) -> str:
        """Where the listener is; waits until it is."""
        while True:
            try:
                found = (await self._client.get("/listeners", params={"format": "json"})).json()
            except httpx.TransportError:  # not there yet
                found = {}
            for listener in found.get("listener_statuses", ()):
                return _address(listener["local_address"])
            await asyncio.sleep(_LOOK)

    async def drain(self, seconds: float) -> None:
        """Ask callers to go elsewhere, and after so many seconds take nothing new; returns then, or when all have gone.

        Raises `httpx.HTTPError` if Envoy does not answer.
        """
        await self._client.post("/drain_listeners", params={"graceful": ""})
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._connections():  # noqa: ASYNC110 - Envoy tells nobody by itself
                    await asyncio.sleep(_LOOK)

    async def quit(self) -> None:
        """End Envoy. Raises `httpx.HTTPError` if it does not answer."""
        await self._client.post("/quitquitquit")

    async def _connections(self) -> int:
        stats = (await self._client.get("/stats", params={"filter": "^http.grpc.downstream_cx_active$"})).text
        return int(stats.rpartition(":")[2])


def _address(found: dict[str, Any]) -> str:
    if "pipe" in found:
        return f"unix:{found['pipe']['path']}"
    address, port = found["socket_address"]["address"], found["socket_address"]["port_value"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
