"""The end of this process's audit chain on its way into the store, where whoever cuts the file does not reach it.

The rule kept here: an end that the store knows is one whose line was written. No decision waits for it; a store that
is out of reach is told again as soon as it is there.
"""

import asyncio
import time
from typing import Final

import structlog

from extauthz.errors import ExtauthzError
from extauthz.record.audit_file import AuditFile
from extauthz.record.config import AuditSettings
from extauthz.store.audit_heads import AuditHead, AuditHeadStore

TICK: Final = 1.0
"""Seconds between two looks whether the end has moved."""
PATIENCE: Final = 5.0
"""Seconds that one call may take."""
MARGIN: Final = 30 * 86_400.0
"""Seconds for which an end is remembered longer than the retention keeps the file that it is in."""
FOR_EVER: Final = 3_650 * 86_400.0
"""Seconds for which it is remembered where files are never removed."""

_log = structlog.get_logger(__name__)


class AuditHeads:
    """Tells `store` of the end of the chain in `file`, when it has moved. Belongs to one event loop."""

    def __init__(self, store: AuditHeadStore, file: AuditFile, audit: AuditSettings) -> None:
        """`audit` says for how long the store has to remember it."""
        self._store = store
        self._file = file
        self._path = str(file.path.absolute())
        self._keep = _kept_for(audit)
        self._told = 0
        self._failing = False

    async def follow(self) -> None:
        """Tell of it now and then, for ever."""
        while True:
            await self.tell()
            await asyncio.sleep(TICK)

    async def tell(self) -> None:
        """Tell of it if it has moved. What the store does not take is told the next time; no error leaves."""
        head = self._file.head
        if head.seq <= self._told:
            return
        now = time.time()
        known = AuditHead(
            writer=head.writer, seq=head.seq, hash=head.hash, at=now, until=now + self._keep, file=self._path
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.put_audit_head(known, now=now)
        except (ExtauthzError, TimeoutError) as error:
            if not self._failing:
                _log.error("audit-head-not-told", error=str(error) or type(error).__name__)
            self._failing = True
            return
        self._told = head.seq
        if self._failing:
            _log.info("audit-head-told-again")
        self._failing = False


def _kept_for(audit: AuditSettings) -> float:
    """For how many seconds ends are remembered: longer than the files are kept."""
    retain = audit.retain
    return FOR_EVER if retain is None or retain.for_ is None else retain.for_ + MARGIN
