"""Starts child processes, watches them, and stops every one of them.

Rule kept here: nothing outlives its owner. Each child leads its own process group, which is stopped as a whole; on
Linux the kernel ends a child whose parent was killed without a chance to stop it. Nothing else is ever signalled.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from extauthz.errors import ExtauthzError

STOP_SECONDS = 8.0
POLL_SECONDS = 0.05
TAIL_LINES = 12

# Asks for SIGTERM at the death of its parent (PR_SET_PDEATHSIG is 1 in <linux/prctl.h>), looks whether that has come
# already, and becomes the command. In a process of its own: code between fork and exec is no place for Python.
LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent is gone")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessFailed(ExtauthzError):
    """A child ended or did not get ready; the message names it, `tail` is the end of its log."""

    def __init__(self, message: str, tail: str) -> None:
        super().__init__(message)
        self.tail = tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running process and the file that its output goes to."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def check(self) -> None:
        """Raise `ProcessFailed` if it is no longer running."""
        ended = self._ended()
        if ended is not None:
            killed = ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            how = f"was ended by signal {ended.si_status}" if killed else f"exited with {ended.si_status}"
            raise ProcessFailed(f"{self.name} {how}; its log is `{self.log}`", self.tail())

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll `ready` until it holds; `ProcessFailed` when the process ends first or the time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"{self.name} was not ready after {seconds:g} s; its log is `{self.log}`", self.tail()
                )
            time.sleep(POLL_SECONDS)

    def stop(self, *, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM to its group, SIGKILL to what is left of it after `seconds`; the exit code of the leader."""
        if self.process.returncode is not None:
            return self.process.returncode
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._ended() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.signal(signal.SIGKILL)
        return self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole group; nothing once `stop` is through."""
        if self.process.returncode is None:
            with contextlib.suppress(PermissionError):  # macOS, when the ended leader is all that is left
                os.killpg(self.process.pid, number)

    def _ended(self) -> "os.waitid_result | None":
        # WNOWAIT leaves the ended leader in place until `stop` reaps it, so that its number stays its group's own
        # and no signal can reach a stranger.
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


@dataclass(slots=True)
class Processes:
    """The children of one owner, stopped in reverse order when the context is left."""

    children: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `command` in `folder` with its output appended to `log`; `ProcessFailed` if it can't be executed."""
        try:
            with log.open("ab") as output, _stop_signals_later():
                process = subprocess.Popen(  # noqa: S603 - the command is ours, no shell reads it
                    [*_ending_with_parent(), *(str(word) for word in command)],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                child = Child(name=name, process=process, log=log)
                self.children.append(child)
        except OSError as error:
            raise ProcessFailed(f"{name} could not be started: {error}", "") from None
        return child

    def check(self) -> None:
        """Raise `ProcessFailed` for the first child that is no longer running."""
        for child in self.children:
            child.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with stop_signals_ignored():
            while self.children:
                self.children.pop().stop()


@contextlib.contextmanager
def stop_signals_ignored() -> Iterator[None]:
    """Within it a second Ctrl-C can't interrupt the clearing up (which is bounded in time)."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _stop_signals_later() -> Iterator[None]:
    """Within it Ctrl-C waits: a child that is there, and not yet among ours, would be left."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOPPING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _ending_with_parent() -> tuple[str, ...]:
    """What comes before a command so that it is stopped when this process dies, where the system knows how."""
    if sys.platform != "linux":
        return ()
    return (sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()))
