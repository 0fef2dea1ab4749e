"""New keys while the server runs: the key file is read again when it changes, and when a key's moment has come.

The rule: a file that can't be used changes nothing. The keys that are in force stay, and the log says why.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from extauthz.app.key_file import read_keys
from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.errors import ConfigurationError
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.record.life import SERVER
from extauthz.stepup.keys import KeyRing

_LATEST: Final = 3600.0
"""Seconds after which the time of a key is looked at anew: clocks are set."""

_log = structlog.get_logger(__name__)


class KeyFollower:
    """Keeps `ring` as the file at `path` says. Belongs to one event loop."""

    def __init__(self, path: Path, ring: KeyRing, chronicle: Chronicle = SILENT) -> None:
        self._path = path
        self._ring = ring
        self._chronicle = chronicle
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Read the file now."""
        self._wanted.set()

    async def follow(self) -> None:
        """Read it whenever that is asked for, and when a key that was read is to make from then on; for ever."""
        read_at = 0.0  # nobody knows when: what has come since then is not missed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_until_next(self._ring, read_at)):
                    await self._wanted.wait()
            self._wanted.clear()
            read_at = time.time()
            await asyncio.to_thread(self._read_again)

    async def watch(self, seen: Fingerprint) -> None:
        """Read it whenever it changes, since its fingerprint was `seen`; for ever."""
        async for _ in _changes(self._path, seen):
            self.hurry()

    def _read_again(self) -> None:
        before = self._ring.keys
        try:
            found = read_keys(self._path)
        except ConfigurationError as error:
            _log.error("key-file-refused", error=str(error))
            return
        if found.keys != before:
            self._ring.turn(found)
            _log.info("keys-turned", makes=found.newest.kid, keys=len(found.keys))
            tell_changed(self._chronicle, found, by=SERVER)


def tell_changed(chronicle: Chronicle, ring: KeyRing, *, by: str) -> None:
    """These are the keys now: by their names, which are no secrets."""
    kids = tuple(key.kid for key in ring.keys)
    chronicle.tell("keys.changed", by=by, details={"makes": ring.newest.kid, "keys": kids})


def fingerprint_of(path: Path) -> Fingerprint:
    """What tells one state of the key file from another."""
    return _watched(path).fingerprint()


def _changes(path: Path, seen: Fingerprint) -> AsyncIterator[None]:
    return changes(_watched(path), seen)


def _watched(path: Path) -> Watched:
    return Watched(policies=(), files=(path,))


def _until_next(ring: KeyRing, read_at: float) -> float:
    """Seconds until the next key makes that did not yet when the ring was read; 0 if that was meanwhile.

    Timers of some event loops end a little early, and a key's moment may come while the file is read.
    """
    moments = (key.makes_from for key in ring.keys if key.makes_from > read_at)
    return max(min(moments, default=time.time() + _LATEST) - time.time(), 0.0)
