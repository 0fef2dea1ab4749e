"""What is asked of the Envoy that the `pyvoy` transport runs in, over the socket of its admin interface.

By Python's own client of HTTP, in threads: a few requests in the life of a server are no reason to import another one.
"""

import asyncio
import json
import socket
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from extauthz.errors import ExtauthzError

_LOOK: Final = 0.02
"""Seconds between two looks at what Envoy does by itself."""
_PATIENCE: Final = 5.0


class NoAnswer(ExtauthzError):
    """Envoy does not answer, or is not there."""


class EnvoyAdmin:
    """The admin interface on the socket at `path`. Each method raises `NoAnswer` if Envoy gives none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def address(self) -> str:
        """Where the listener is; waits until it is, and until Envoy is there."""
        while True:
            found: dict[str, Any] = {}
            with suppress(NoAnswer):  # not there yet
                found = json.loads(await self._ask("GET", "/listeners?format=json"))
            for listener in found.get("listener_statuses", ()):
                return _address(listener["local_address"])
            await asyncio.sleep(_LOOK)

    async def drain(self, leaving: float, parting: float) -> None:
        """Ask callers to go elsewhere, and take what comes for `leaving` seconds, which Envoy was started to take to
        drain; returns then, when all have gone, or after `parting` seconds more. At once if nobody ever called.

        That nobody is there does not end it: a caller leaves a connection when it is asked to, and makes another one
        for its next call unless it has heard that this server goes.
        """
        if not await self._count("downstream_rq_total"):
            return
        await self._ask("POST", "/drain_listeners?graceful")
        await asyncio.sleep(leaving)
        with suppress(TimeoutError):
            async with asyncio.timeout(parting):
                while await self._count("downstream_cx_active"):  # noqa: ASYNC110 - Envoy tells nobody by itself
                    await asyncio.sleep(_LOOK)

    async def quit(self) -> None:
        """End Envoy."""
        await self._ask("POST", "/quitquitquit")

    async def _count(self, name: str) -> int:
        stat = f"http.grpc.{name}"
        count = (await self._ask("GET", f"/stats?filter=^{stat}$")).rpartition(":")[2].strip()
        if not count.isdecimal():
            raise NoAnswer(f"Envoy tells no number for `{stat}`")
        return int(count)

    async def _ask(self, method: str, target: str) -> str:
        return await asyncio.to_thread(self._exchange, method, target)

    def _exchange(self, method: str, target: str) -> str:
        with closing(_Connection(self._path)) as connection:
            try:
                connection.request(method, target)
                return connection.getresponse().read().decode()
            except (OSError, HTTPException) as error:
                raise NoAnswer(str(error) or type(error).__name__) from error


class _Connection(HTTPConnection):
    """HTTP over the socket at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Instead of one over TCP."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _address(found: dict[str, Any]) -> str:
    if "pipe" in found:
        return f"unix:{found['pipe']['path']}"
    address, port = found["socket_address"]["address"], found["socket_address"]["port_value"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
