"""The index of decisions, kept by a process of its own, so that decisions go on at their pace.

The rules: of several servers on one audit one keeps its index at a time, and another when that one ends; and the
process ends with the server, however that ends.
"""

import asyncio
import fcntl
import json
import os
import select
import sys
from pathlib import Path
from typing import Final

import structlog

from extauthz.errors import ExtauthzError
from extauthz.values.secret import without_secrets

PAUSE: Final = 5.0
"""Seconds between two tries to be the one that keeps the index, or to start the process again."""
LOOK: Final = 0.5
"""Seconds between two looks for new lines."""
_NICENESS: Final = 10
_MOST_SAID: Final = 4096

_log = structlog.get_logger(__name__)


class DecisionIndex:
    """Keeps the index at `index` of the audit at `audit`."""

    def __init__(self, audit: Path, index: Path) -> None:
        self._audit = audit
        self._index = index

    async def follow(self) -> None:
        """Keep it for ever, or let another server do it."""
        lock: int | None = None
        try:
            while True:
                if lock is None:
                    lock = self._locked()
                if lock is not None:
                    await self._keep()
                await asyncio.sleep(PAUSE)
        finally:
            if lock is not None:
                os.close(lock)

    def _locked(self) -> int | None:
        """The lock on the index, unless another has it."""
        path = self._index.with_name(self._index.name + ".lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _log.error("decision-index-failed", error=f"{path}: {error.strerror}")
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    async def _keep(self) -> None:
        """Start the process, and log why it has ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: the folder that the server was started in is no place to import from.
                sys.executable,
                "-P",
                "-c",
                "from extauthz.app.decision_index import main; main()",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=without_secrets(os.environ),
                start_new_session=True,  # a terminal's signals are for the server
            )
        except OSError as error:
            _log.error("decision-index-failed", error=f"can't start a process: {error.strerror}")
            return
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            process.stdin.write(json.dumps([str(self._audit), str(self._index)]).encode() + b"\n")
            said = await process.stdout.read(_MOST_SAID)
            status = await process.wait()
            _log.error("decision-index-failed", error=said.decode().strip() or f"its process ended with {status}")
        finally:
            process.stdin.close()
            if process.returncode is None:
                process.kill()  # whatever it was at is as if it had not begun
                await process.communicate()  # its pipes end with the loop that they are of, or complain of it later


def main() -> None:
    """What the process does: it is told the files in one line, and ends when its input does."""
    # Imported here: the server that starts this process needs none of it.
    from extauthz.history.indexing import Indexer

    os.nice(_NICENESS)  # decisions come first
    audit, index = json.loads(sys.stdin.buffer.readline())
    try:
        with Indexer(Path(audit), Path(index)) as indexer:
            while not _has_ended(0.0 if indexer.step() else LOOK):
                pass
    except ExtauthzError as error:
        print(error)  # noqa: T201 - the server reads it, and logs it
        sys.exit(1)


def _has_ended(seconds: float) -> bool:
    """Whether the server has, within this time."""
    ready, _, _ = select.select([sys.stdin.buffer], [], [], seconds)
    return bool(ready)
