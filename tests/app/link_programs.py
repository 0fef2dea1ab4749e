"""Workers that run little programs instead of a server: they speak over the real link, and behave as a test wants."""

import os
import sys
from pathlib import Path
from typing import cast

from extauthz.app.link import Assignment
from extauthz.app.worker import Launch, Worker
from extauthz.settings import Settings

BEGINS = """
import asyncio, signal, sys, time
from pathlib import Path
from extauthz.app.link import Begin, Failed, InForce, Reload, ServerEnd, Serving, Stop, Stopped

link, assignment = ServerEnd.of_this_process()
told = Path("told")

async def serve(until, first="r1", then="r1"):
    ended, orders = asyncio.Event(), []
    def on_order(order):
        orders.append(type(order).__name__)
        told.write_text(" ".join(orders))
        if isinstance(order, Begin):
            link.report(Serving(f"at {order.revision}"))
        if isinstance(order, Reload):
            link.report(InForce(then))
        if isinstance(order, until):
            ended.set()
    link.follow(asyncio.get_running_loop(), on_order, clean_up=lambda: None)
    link.report(InForce(first))
    await ended.wait()
    link.report(Stopped())
"""
OBEYS = BEGINS + "asyncio.run(serve(Stop))"
OBEYS_WITH_OLD_FILES = BEGINS + "asyncio.run(serve(Stop, first='r0'))"
ENDS_ON_RELOAD = BEGINS + "asyncio.run(serve(Reload))"
ENDS_AT_ONCE = BEGINS + "asyncio.run(serve(Begin))"
STOPS_ITSELF = BEGINS + "import os; asyncio.run(serve(Begin)); os.kill(os.getpid(), signal.SIGSTOP)"
FAILS = BEGINS + "link.report(Failed('policies/site.yaml:7:1: no such name'))"
CRASHES = "import sys; sys.exit(3)"
HANGS = BEGINS + "link.report(InForce('r1')); time.sleep(600)"
SIGNALLED = (
    BEGINS + "told.write_text(str(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))))\n" + "asyncio.run(serve(Stop))"
)


def assignment() -> Assignment:
    """What the programs are told, and have no use for: no settings, which they would import for most of a second."""
    return Assignment(settings=cast("Settings", None), admin=None, environ={}, executable=sys.executable, number=None)


def worker_of(program: str, folder: Path) -> Worker:
    """A worker that runs this program in the folder, where it writes the orders to `told`; to be called on a loop."""
    folder.mkdir(exist_ok=True)
    launch = Launch(
        command=(sys.executable, "-c", program),
        environ=os.environ,
        folder=folder,
        clean_up=lambda: (folder / "cleaned").touch(),
    )
    return Worker(launch, assignment())
