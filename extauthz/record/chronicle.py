"""Where what happens beside decisions is told: everybody to whom something happens has one chronicle for it.

The rules kept here: it is told after it has happened, by whoever has made it happen; to tell costs nothing and changes
nothing, whatever goes wrong.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
import structlog

from extauthz.record.decision import WallClock
from extauthz.record.life import SERVER, Detail, LifeKind, LifeRecord
from extauthz.record.tallies import Tallies
from extauthz.values.identity import Subject
from extauthz.values.origin import NO_ORIGIN, Origin
from extauthz.values.request import EMPTY
from extauthz.values.span_ids import SpanIds

REQUESTER: Final = "requester"
"""Who did what the caller of a request, or whoever is at a page for them, has done."""
ADMIN: Final = "operator:admin"
"""Who did what was asked for at the admin API, which knows nobody by name."""
COMMAND: Final = "command"
"""Who did what a command on the machine of the server has done."""

_log = structlog.get_logger(__name__)


def approver(person: str) -> str:
    """Who did what this person has done who approves."""
    return f"approver:{person}"


class Taker(Protocol):
    """Takes what is told: a recorder."""

    def record(self, record: LifeRecord) -> None:
        """Take one record."""


class Chronicle(msgspec.Struct, frozen=True, kw_only=True):
    """`recorder` is `None` where nobody wants records, `tallies` where nothing is counted; `clock` gives nanoseconds
    since the epoch."""

    recorder: Taker | None
    clock: WallClock
    tallies: Tallies | None = None

    def tell(
        self,
        kind: LifeKind,
        *,
        subject: Subject | None = None,
        by: str = SERVER,
        origin: Origin = NO_ORIGIN,
        beside: Origin = NO_ORIGIN,
        rule: str | None = None,
        revision: str | None = None,
        challenge: str | None = None,
        approval: str | None = None,
        grant: str | None = None,
        factor: str | None = None,
        reason: str | None = None,
        details: Mapping[str, Detail] = EMPTY,
        since: float | None = None,
    ) -> None:
        """Something has happened just now. `origin` is the decision that began it, `beside` another one that it belongs
        to, `since` (seconds since the epoch) when it began if it took time; the rest is as `LifeRecord` has it."""
        if self.recorder is None and self.tallies is None:
            return
        spans = (SpanIds.read(one.span) for one in (origin, beside))
        record = LifeRecord(
            kind=kind,
            at_ns=self.clock(),
            subject=subject,
            by=by,
            rule=rule or None,
            revision=revision or None,
            decision_id=origin.decision_id or None,
            challenge=challenge,
            approval=approval,
            grant=grant,
            factor=factor,
            reason=reason or None,
            details=details,
            links=tuple(span for span in spans if span is not None),
            started_ns=None if since is None else int(since * 1e9),
        )
        try:
            if self.tallies is not None:
                self.tallies.told(record)
            if self.recorder is not None:
                self.recorder.record(record)
        except Exception:  # noqa: BLE001 - it has happened, told or not
            _log.exception("event-not-recorded", kind=kind)


SILENT: Final = Chronicle(recorder=None, clock=lambda: 0)
"""For where nobody wants to hear of anything."""
