"""One event loop for all tests of stores: a connection to a server belongs to the loop that made it."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")

runner = asyncio.Runner()


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`."""
    return runner.run(work)


async def crowd(calls: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results of all these calls, made at the same time."""
    return await asyncio.gather(*calls)
