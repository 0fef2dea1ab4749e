"""Read by each Python process of the server under test when it starts, because this folder is on its PYTHONPATH.

It does two things, both by files in the folder that SOAK_INSIDE names. `clock` holds seconds: by so many the wall
clock is wrong that Python tells (`time.time` and `time.time_ns`, the only ones that extauthz reads); clocks that nobody
sets, timers of the kernel and other programs go on as they are. And every few seconds `<pid>.json` tells what only the
process itself can count: its tasks, and the blocks of memory that were in use when its garbage was collected last. By
itself Python collects what is old once a quarter more has come, which may take an hour. (Not by asking the garbage
collector for all objects: CPython fails to build a tuple that somebody else holds half made.)
"""

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Final

TELL_EVERY: Final = 2.0
COLLECT_EVERY: Final = 30.0
LOOK_EVERY: Final = 0.1
_folder = Path(os.environ["SOAK_INSIDE"])
_wrong_by = 0.0
# Under this name since Python 3.12; all tasks of all loops.
_tasks = getattr(asyncio.tasks, "_scheduled_tasks", None) or asyncio.tasks._all_tasks  # type: ignore[attr-defined]  # by version


def _stepped(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + _wrong_by


def _stepped_ns(clock: Callable[[], int]) -> Callable[[], int]:
    return lambda: clock() + int(_wrong_by * 1e9)


def _live() -> None:
    global _wrong_by
    told_at = time.monotonic()
    collected_at, blocks = -COLLECT_EVERY, 0
    while True:
        time.sleep(LOOK_EVERY)
        try:
            _wrong_by = float((_folder / "clock").read_text() or 0)
        except (OSError, ValueError):  # it is being written
            continue
        _spare_transports()
        if time.monotonic() - told_at >= TELL_EVERY:
            told_at = time.monotonic()
            if told_at - collected_at >= COLLECT_EVERY:
                collected_at = told_at
                gc.collect()
                blocks = sys.getallocatedblocks()
            text = json.dumps({"tasks": len(_tasks), "blocks": blocks})
            new = _folder / f"{os.getpid()}.new"
            new.write_text(text)
            new.replace(_folder / f"{os.getpid()}.json")


def _spare_transports() -> None:
    """Deadlines are told by the machine's clock, which is right, by gRPC's core, and by the Envoy around `pyvoy` when a
    call came. What they are compared with must be that, too.
    """
    for name in ("grpc._server", "extauthz.transport.asgi"):
        module = sys.modules.get(name)
        if module is not None and vars(module).get("time") is time:
            vars(module)["time"] = SimpleNamespace(**{**vars(time), "time": _RIGHT})


_RIGHT: Final = time.time
time.time = _stepped(time.time)
time.time_ns = _stepped_ns(time.time_ns)
threading.Thread(target=_live, name="soak", daemon=True).start()
