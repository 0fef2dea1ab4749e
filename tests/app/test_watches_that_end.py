"""A watch that is over leaves nothing behind, in whichever way its event loop runs."""

import asyncio
import gc
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import WeakSet

import pytest

from extauthz.app import watching
from extauthz.app.watching import Watched

LOOKS = 5


def test_watches_that_end_are_gone_without_a_search_for_circles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a loop that runs for ever, as pyvoy's does; there a search for circles comes once in hours."""
    monkeypatch.setattr(watching, "STARTING", 0.01)
    monkeypatch.setattr(watching, "LOOK_ANYWAY", 0.01)
    folder = tmp_path / "policies"
    folder.mkdir()
    watched = Watched(policies=(folder,), files=())
    loop, tasks = asyncio.new_event_loop(), WeakSet[asyncio.Task[Any]]()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **more)
        tasks.add(task)
        return task

    async def play() -> int:
        for _ in range(LOOKS):
            await watching._something_happens(watched, watched.fingerprint())
            await asyncio.sleep(0)
        return len(tasks) - 1  # this one is there

    loop.set_task_factory(make)
    thread = Thread(target=loop.run_forever)
    thread.start()
    gc.disable()
    try:
        left = asyncio.run_coroutine_threadsafe(play(), loop).result(60)
    finally:
        gc.enable()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert left <= 2, f"{left} watches are left of {LOOKS} looks"  # those of the last one may be just ending
