"""Has a recorded request decided by a draft of policies, in another process: a draft may be anything.

The rule: one at a time, and none longer than a moment, its turn included; a process that says nothing has tried
nothing.
"""

import asyncio
import os
import pickle
import sys
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from extauthz.history.trying import Limits, Tried
from extauthz.policy.declared import Declared
from extauthz.record.audit_line import DecisionLine
from extauthz.values.secret import without_secrets

LIMITS: Final = Limits(seconds=10, memory=1 << 30)
TURN: Final = 4.0
"""Seconds until somebody whose turn does not come is told so."""
PATIENCE: Final = 1.5 * LIMITS.seconds
"""Seconds until a process is given up that has not even used its time. With TURN less than what Envoy gives these
pages."""

Untried = Literal["busy", "too-much"]
"""Another draft had its turn for too long; or this one took too much to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Tries drafts. `declared` is what the settings say that policies may read."""

    declared: Declared
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def tried(self, text: str, line: DecisionLine) -> Tried | Untried:
        """What the draft would decide."""
        asked = pickle.dumps((LIMITS, text, msgspec.json.encode(line), self.declared))
        try:
            async with asyncio.timeout(TURN):
                await self._turn.acquire()
        except TimeoutError:
            return "busy"
        try:
            said = await _said_to(asked)
            return msgspec.json.decode(said, type=Tried)
        except (TimeoutError, msgspec.DecodeError):
            return "too-much"
        finally:
            self._turn.release()


async def _said_to(asked: bytes) -> bytes:
    """What a process says to this. Raises `TimeoutError`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        "from extauthz.history.trying import main; main()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=without_secrets(os.environ),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate(asked)
            return said
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # its pipes end with the loop that they are of, or complain of it later
