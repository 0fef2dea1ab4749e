"""One run of the quickstart, from an empty folder to the last process gone.

Rule kept here: whichever way it ends, everything that it started ends with it, and so does its folder unless the user
named one.
"""

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Never

from rich.console import Console

from extauthz.cli.interrupts import INTERRUPTED
from extauthz.cli.policy_options import make_console
from extauthz.cli.quickstart.demo import Demo, start
from extauthz.cli.quickstart.invitation import Invitation
from extauthz.cli.quickstart.layout import prepare
from extauthz.cli.quickstart.processes import STOPPING_SIGNALS, Processes, ProcessFailed, stop_signals_ignored
from extauthz.cli.quickstart.steps import STEPS
from extauthz.cli.quickstart.table import differences, show_walk
from extauthz.cli.quickstart.walk import Walker
from extauthz.errors import ConfigurationError, failure_of

SUCCESS, DIFFERENT = 0, 1
WATCH_SECONDS = 0.25


def run(*, check: bool, folder: Path | None) -> int:
    """Start, walk, and stay up until a signal, or with `check` end after the walk; the exit code.

    Raises:
        ConfigurationError: it can't start here; the message says what to do.
    """
    console = make_console()
    walked = False
    try:
        with _interruptible(), _folder(folder) as place, Processes() as processes:
            console.print("Starting Envoy, a demo service and extauthz …", style="dim")
            demo = start(prepare(place, now=datetime.now(UTC)), processes)
            code = demo.authenticator.now()
            faults = _walk(console, demo, code)
            walked = True
            if not check:
                _stay(Invitation(console, demo, spent=code), processes)
    except ProcessFailed as error:
        console.print(error.tail, style="dim", markup=False, highlight=False)
        raise
    except KeyboardInterrupt:
        console.print("Stopped everything that was started.", style="dim")
        if not walked:
            return INTERRUPTED
    return DIFFERENT if check and faults else SUCCESS


def _walk(console: Console, demo: Demo, code: str) -> list[str]:
    with Walker(demo.layout, demo.url, code=code) as walker:
        outcomes = show_walk(console, walker.walk(STEPS))
    faults = list(differences(outcomes))
    for fault in faults:
        console.print(fault, style="red", markup=False, highlight=False)
    if not faults:
        console.print(f"{len(outcomes)} requests, each decided as expected.", style="green", highlight=False)
    return faults


def _stay(invitation: Invitation, processes: Processes) -> Never:
    """Until a signal: keep the file with the one-time code fresh, and end when a part ends."""
    invitation.show()
    with invitation.live_code() as refresh:
        while True:
            processes.check()
            refresh(time.time())
            time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    """The folder of this run. One that the user named stays, and must be empty: nothing of theirs is overwritten."""
    if named is not None:
        try:
            named.mkdir(parents=True, exist_ok=True)
            occupied = any(named.iterdir())
        except OSError as error:
            raise ConfigurationError(f"{named}: can't be used as a folder: {failure_of(error)}") from error
        if occupied:
            raise ConfigurationError(f"{named}: is not empty; name a new folder with --dir")
        yield named.absolute()
        return
    temporary = tempfile.TemporaryDirectory(prefix="extauthz-")
    try:
        yield Path(temporary.name)
    finally:
        with stop_signals_ignored():
            temporary.cleanup()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A signal that asks to stop (a closed terminal too) becomes `KeyboardInterrupt`, so that contexts are left."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in STOPPING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
