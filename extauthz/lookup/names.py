"""An event loop that looks names up in threads of their own, host by host.

The rule: a name server that hangs for one host holds up nobody who asks for another one, and no other work that is done
in threads: a look-up can't be ended, only no longer be waited for, and its thread is gone until then.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

THREADS: Final = 4
"""Look-ups of one host that may be on their way."""
MOST_HOSTS: Final = 256
"""Hosts that are kept apart: more than a configuration names. The others share the threads of all other work."""


class NamesByHost(asyncio.AbstractEventLoop):
    """How names are looked up, for an event loop to inherit before all else."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: dict[object, ThreadPoolExecutor] = {}

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name is asyncio's
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """The addresses of `host`, as `socket.getaddrinfo` gives them."""
        if host not in self._threads and len(self._threads) < MOST_HOSTS:
            self._threads[host] = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="extauthz-names")
        threads = self._threads.get(host)
        return await self.run_in_executor(threads, socket.getaddrinfo, host, port, family, type, proto, flags)

    def close(self) -> None:
        """Close the loop; what is still being looked up is not waited for."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)
        super().close()


class NamesApart(NamesByHost, asyncio.SelectorEventLoop):
    """The usual event loop, but for how names are looked up."""
