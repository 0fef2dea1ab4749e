"""Has a recorded request decided by a draft of policies, in another process: a draft may be anything.

The rule: one at a time, and none longer than a moment; a process that says nothing has tried nothing.
"""

import asyncio
import pickle
import sys
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extauthz.history.trying import LONGEST, Tried
from extauthz.policy.declared import Declared
from extauthz.record.audit_line import DecisionLine

PATIENCE: Final = 2.0 * LONGEST
"""Seconds until a process is given up that has not even used its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Tries drafts. `declared` is what the settings say that policies may read."""

    declared: Declared
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def tried(self, text: str, line: DecisionLine) -> Tried | None:
        """What the draft would decide; `None` if it took too much to say."""
        asked = pickle.dumps((text, msgspec.json.encode(line), self.declared))
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                "from extauthz.history.trying import main; main()",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(PATIENCE):
                    said, _ = await process.communicate(asked)
            except TimeoutError:
                return None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        try:
            return msgspec.json.decode(said, type=Tried)
        except msgspec.DecodeError:
            return None
