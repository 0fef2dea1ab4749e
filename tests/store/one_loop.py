"""One event loop for all tests of stores: a connection to a server belongs to the loop that made it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

runner = asyncio.Runner()


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`."""
    return runner.run(work)
