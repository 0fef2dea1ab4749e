"""Policies compiled by a process of their own, so that the decisions of this one go on at their pace.

Ten thousand rules take seconds of pure computing. A thread that does it slows every decision meanwhile; another
process does not. It is a fresh interpreter, never a fork: the threads of gRPC do not survive one. It says either
problems or a whole set; whatever else happens to it is a `CompilingFailed`, and no set.
"""

import os
import pickle
import subprocess
import sys
import threading
import traceback
from io import BufferedReader
from pathlib import Path
from typing import cast

import msgspec

from extauthz import __version__
from extauthz.app import portable
from extauthz.app.pace import Building, Pace
from extauthz.errors import ExtauthzError, failure_of
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.load import load
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.values.secret import without_secrets

LONGEST = 600.0
"""Seconds after which a compiler that has not ended is killed."""
_NICENESS = 10
_PROGRAM = "import gc; gc.disable(); from extauthz.app.compiling import main; gc.freeze(); gc.enable(); main()"
"""What is imported stays: to search it for garbage, at the end, too, would be a quarter of the time that it takes."""
_STACK = 256 * 1024 * 1024
_DEPTH = 100_000


class CompilingFailed(ExtauthzError):
    """The compiling process ended without a verdict."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What policies are compiled from; the arguments of `policy.load.load`."""

    paths: tuple[Path, ...]
    unpacked: tuple[tuple[str, bytes], ...] = ()
    declared: Declared = NOTHING_DECLARED

    def load(self) -> PolicySet:
        """Compile in this process. Raises `PolicyErrors`."""
        return load(self.paths, unpacked=self.unpacked, declared=self.declared)


_GREETING = (__version__, sys.version)
"""Who speaks: another version, installed meanwhile, would be misunderstood."""


class Compiler:
    """Starts compiling processes, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def compile(self, sources: Sources) -> PolicySet:
        """The policies, compiled elsewhere; blocks. Only one call at a time.

        Raises:
            PolicyErrors: the policies have problems.
            CompilingFailed: the process did not do its work.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is ours
                # -P: the folder that the server was started in is no place to import from.
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=without_secrets(os.environ),
                start_new_session=True,  # a terminal's signals are for the server
            )
        except OSError as error:
            raise CompilingFailed(f"can't start a process to compile policies: {failure_of(error)}") from error
        self._process = process
        if self._stopped:
            process.kill()
        watchdog = threading.Timer(LONGEST, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            with process:
                return _answer_of(process, sources)
        except (pickle.UnpicklingError, EOFError, OSError) as error:
            raise CompilingFailed(
                f"the process that compiles policies ended without a set (exit status {process.wait()})"
            ) from error
        finally:
            watchdog.cancel()
            process.kill()

    def stop(self) -> None:
        """End what runs; the server stops."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()


def _answer_of(process: subprocess.Popen[bytes], sources: Sources) -> PolicySet:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with process.stdin as request:
        pickle.dump(sources, request)
    stream = cast("BufferedReader", process.stdout)
    greeting = portable.read(stream, Pace().breathe)
    if greeting != _GREETING:
        raise CompilingFailed(
            f"version {greeting[0]} of extauthz is installed and {__version__} runs; restart the server"
        )
    with Building() as pace:
        answer = portable.read(stream, pace.breathe)
    match answer:
        case PolicySet():
            return answer
        case str():
            raise CompilingFailed(f"the process that compiles policies failed: {answer}")
        case _:
            raise PolicyErrors(answer)


def _told(error: Exception) -> str:
    """An error of our own in one line, with the place that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error!r} at {Path(last.filename).name}:{last.lineno}"


def main() -> None:
    """What the compiling process does."""
    os.nice(_NICENESS)  # decisions come first
    threading.stack_size(_STACK)
    worker = threading.Thread(target=_compile)
    worker.start()
    worker.join()


def _compile() -> None:
    sources: Sources = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent, over a pipe
    try:
        answer: PolicySet | tuple[Problem, ...] | str = sources.load()
    except PolicyErrors as error:
        answer = error.problems
    except Exception as error:  # noqa: BLE001 - whatever it is, our parent says it in its log
        answer = _told(error)
    # Expressions are pickled by recursion: deeper than they are compiled, and this thread's stack has room for it.
    sys.setrecursionlimit(_DEPTH)
    portable.write(sys.stdout.buffer, _GREETING)
    portable.write(sys.stdout.buffer, answer)
